#include "actors/protocol/concurrent_tasks.hpp"

namespace troupe::actors {

struct concurrent_tasks::group {
  std::vector<task<>> watches;  ///< one for each task; they stay until all have ended
  size_t missing = 0;
  std::exception_ptr failure;
  std::coroutine_handle<> waiting;  ///< who awaits the end

  void end(const std::exception_ptr& failed);
  bool ended() const {
    return std::all_of(watches.begin(), watches.end(), [](const task<>& watch) { return watch.done(); });
  }
};

/// Whether other ranks, and so the other tasks, may wait for ever.
static bool leaves_others(const std::exception_ptr& failed) {
  if (!failed) {
    return false;
  }
  try {
    std::rethrow_exception(failed);
  } catch (const error& failure) {
    return !found_by_all(failure);
  } catch (...) {
    return false;  // the task's own: a stop
  }
}

void concurrent_tasks::group::end(const std::exception_ptr& failed) {
  --missing;
  if (failed && !failure) {
    failure = failed;
  }
  if (missing == 0 || leaves_others(failed)) {
    if (const auto waiter = std::exchange(waiting, nullptr)) {
      waiter.resume();
    }
  }
}

task<> concurrent_tasks::watch(task<> watched, group* of) {
  std::exception_ptr failed;
  try {
    co_await watched;
  } catch (...) {
    failed = std::current_exception();
  }
  of->end(failed);
}

concurrent_tasks::awaiter concurrent_tasks::run(std::vector<task<>> tasks) {
  std::erase_if(groups_, [](const std::shared_ptr<group>& earlier) { return earlier->ended(); });
  auto all = std::make_shared<group>();
  all->missing = tasks.size();
  for (task<>& each : tasks) {
    all->watches.push_back(watch(std::move(each), all.get()));
  }
  groups_.push_back(all);
  return awaiter(std::move(all));
}

bool concurrent_tasks::awaiter::await_suspend(std::coroutine_handle<> waiting) {
  for (task<>& watch : tasks_->watches) {
    watch.start();
  }
  const bool over = tasks_->missing == 0 || leaves_others(tasks_->failure);
  tasks_->waiting = over ? nullptr : waiting;
  return !over;
}

void concurrent_tasks::awaiter::await_resume() {
  if (tasks_->failure) {
    std::rethrow_exception(tasks_->failure);
  }
}

}  // namespace troupe::actors
