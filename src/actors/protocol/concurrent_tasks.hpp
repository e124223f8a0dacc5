/// Several tasks at a time within one actor: each goes on when the reply that it awaits has come.
///
///     std::vector<task<>> tasks;
///     tasks.push_back(generate_all(...));
///     tasks.push_back(score_all(...));
///     co_await concurrent_.run(std::move(tasks));
///
/// A task may outlive whoever awaits it (see run), so it leaves its results in memory that both share: a shared_ptr.
#pragma once

#include "actors/protocol/task.hpp"

#include <algorithm>
#include <coroutine>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace troupe::actors {

/// Owned by the actor whose tasks it runs.
class concurrent_tasks {
  struct group;

public:
  class awaiter {
  public:
    explicit awaiter(std::shared_ptr<group> tasks) : tasks_(std::move(tasks)) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> waiting);
    void await_resume();

  private:
    std::shared_ptr<group> tasks_;
  };

  /// Awaits the end of all tasks and throws the first failure. A failure that may leave the others waiting for ever (in a
  /// collective with the rank that failed) is thrown at once; the other tasks then stay as they are.
  awaiter run(std::vector<task<>> tasks);

private:
  static task<> watch(task<> watched, group* of);

  std::vector<std::shared_ptr<group>> groups_;  ///< with a task that has not ended
};

}  // namespace troupe::actors
