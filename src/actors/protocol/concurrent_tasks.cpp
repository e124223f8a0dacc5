#include "actors/protocol/concurrent_tasks.hpp"

namespace troupe::actors {

struct side_by_side::group {
  std::vector<task<>> watches;  ///< one for each part; they stay until all have ended
  size_t missing = 0;
  std::exception_ptr failure;
  std::coroutine_handle<> plan;

  void end(const std::exception_ptr& failed);
  bool ended() const {
    return std::all_of(watches.begin(), watches.end(), [](const task<>& one) { return one.done(); });
  }
};

/// Whether other ranks, and so the other parts, may wait for ever.
static bool leaves_others(const std::exception_ptr& failed) {
  if (!failed) {
    return false;
  }
  try {
    std::rethrow_exception(failed);
  } catch (const error& failure) {
    return !found_by_all(failure);
  } catch (...) {
    return false;  // the plan's own: a stop
  }
}

void side_by_side::group::end(const std::exception_ptr& failed) {
  --missing;
  if (failed && !failure) {
    failure = failed;
  }
  if (missing == 0 || leaves_others(failed)) {
    if (const auto waiting = std::exchange(plan, nullptr)) {
      waiting.resume();
    }
  }
}

task<> side_by_side::watch(task<> part, group* of) {
  std::exception_ptr failed;
  try {
    co_await part;
  } catch (...) {
    failed = std::current_exception();
  }
  of->end(failed);
}

side_by_side::awaiter side_by_side::run(std::vector<task<>> parts) {
  std::erase_if(groups_, [](const std::shared_ptr<group>& one) { return one->ended(); });
  auto all = std::make_shared<group>();
  all->missing = parts.size();
  for (task<>& part : parts) {
    all->watches.push_back(watch(std::move(part), all.get()));
  }
  groups_.push_back(all);
  return awaiter(std::move(all));
}

bool side_by_side::awaiter::await_suspend(std::coroutine_handle<> plan) {
  for (task<>& one : parts_->watches) {
    one.start();
  }
  const bool over = parts_->missing == 0 || leaves_others(parts_->failure);
  parts_->plan = over ? nullptr : plan;
  return !over;
}

void side_by_side::awaiter::await_resume() {
  if (parts_->failure) {
    std::rethrow_exception(parts_->failure);
  }
}

}  // namespace troupe::actors
