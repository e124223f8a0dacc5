/// Several plans at a time within one actor: each goes on whenever what it awaits has come.
///
///     std::vector<task<>> parts;
///     parts.push_back(generate_all(...));
///     parts.push_back(score_all(...));
///     co_await beside_.run(std::move(parts));
///
/// What the parts find they leave in memory that they share (a shared_ptr): a part may outlive who awaits it.
#pragma once

#include "actors/protocol/task.hpp"

#include <algorithm>
#include <coroutine>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace troupe::actors {

/// Owned by the actor whose plans it runs.
class side_by_side {
  struct group;

public:
  class awaiter {
  public:
    explicit awaiter(std::shared_ptr<group> parts) : parts_(std::move(parts)) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> plan);
    void await_resume();

  private:
    std::shared_ptr<group> parts_;
  };

  /// Awaits the end of all parts, and throws the first failure. One that the other parts may never end after (they could be
  /// in a collective with a rank that has failed) is thrown at once; the others are then left where they are.
  awaiter run(std::vector<task<>> parts);

private:
  static task<> watch(task<> part, group* of);

  std::vector<std::shared_ptr<group>> groups_;  ///< with a part that has not ended
};

}  // namespace troupe::actors
