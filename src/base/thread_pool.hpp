/// The threads of one device. A device's models take the pool in turn: one piece of compute at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace troupe {

/// Threads sleep (after a short spin) when there is nothing to do, and yield while they wait for each other, so a
/// pool does not starve other programs on the same cores.
class thread_pool {
public:
  /// `threads` workers in all, the caller's own thread counted in; 0: one per available core.
  explicit thread_pool(int threads = 0);
  ~thread_pool();
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  int threads() const;

  /// Calls `body(i)` once for each i in [0, n), on any thread, and returns when all have returned. Calls begin in
  /// rising order, so body(i) may wait for what body(j) does where j < i; never where j > i. The first exception is
  /// rethrown here. Not re-entrant; one caller at a time.
  void parallel_for(int64_t n, const std::function<void(int64_t)>& body);

  /// Which of the pool's threads the caller is, in [0, threads()): an index for per-thread scratch.
  static int current_thread();

private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe
