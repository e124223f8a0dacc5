#include "base/thread_pool.hpp"

#include "base/spin.hpp"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe {

static thread_local int this_thread = 0;

static int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

/// One job at a time. Workers wait for `generation` to change, take indices from `next` until they run out, and count
/// themselves out through `busy`; the caller takes part too and then waits for `busy` to reach 0.
struct thread_pool::state {
  int threads = 1;
  std::vector<std::thread> workers;

  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::atomic<uint64_t> generation{0};
  std::atomic<bool> stopping{false};

  const std::function<void(int64_t)>* body = nullptr;
  int64_t n = 0;
  std::atomic<int64_t> next{0};
  std::atomic<int> busy{0};
  std::exception_ptr failure;

  void take_indices() {
    for (;;) {
      const int64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= n) {
        return;
      }
      try {
        (*body)(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) {
          failure = std::current_exception();
        }
        next.store(n, std::memory_order_relaxed);
      }
    }
  }

  void wait_for_job(uint64_t seen) {
    for (int spin = 0; spin < spins; ++spin) {
      if (generation.load(std::memory_order_acquire) != seen) {
        return;
      }
      spin_pause(spin);
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
  }

  void work(int index) {
    this_thread = index;
    uint64_t seen = 0;
    for (;;) {
      wait_for_job(seen);
      seen = generation.load(std::memory_order_acquire);
      if (stopping.load(std::memory_order_acquire)) {
        return;
      }
      take_indices();
      if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        const std::lock_guard lock(mutex);
        done.notify_one();
      }
    }
  }

  void wait_for_workers() {
    for (int spin = 0; spin < spins; ++spin) {
      if (busy.load(std::memory_order_acquire) == 0) {
        return;
      }
      spin_pause(spin);
    }
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return busy.load(std::memory_order_acquire) == 0; });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping.store(true, std::memory_order_release);
      generation.fetch_add(1, std::memory_order_acq_rel);
    }
    wake.notify_all();
    for (std::thread& worker : workers) {
      worker.join();
    }
  }

  /// About 50 microseconds before sleeping: longer than the gap between two kernels of a decode step.
  static constexpr int spins = 2000;
};

thread_pool::thread_pool(int threads) : state_(std::make_unique<state>()) {
  state_->threads = threads > 0 ? threads : available_cores();
  state_->workers.reserve(static_cast<size_t>(state_->threads - 1));
  try {
    for (int i = 1; i < state_->threads; ++i) {
      state_->workers.emplace_back([this, i] { state_->work(i); });
    }
  } catch (...) {  // a thread that is never joined would end the process without a word
    state_->stop();
    throw;
  }
}

thread_pool::~thread_pool() { state_->stop(); }

int thread_pool::threads() const { return state_->threads; }

int thread_pool::current_thread() { return this_thread; }

void thread_pool::parallel_for(int64_t n, const std::function<void(int64_t)>& body) {
  if (n <= 0) {
    return;
  }
  if (n == 1 || state_->threads == 1) {
    for (int64_t i = 0; i < n; ++i) {
      body(i);
    }
    return;
  }
  state& s = *state_;
  s.body = &body;
  s.n = n;
  s.failure = nullptr;
  s.next.store(0, std::memory_order_relaxed);
  s.busy.store(s.threads - 1, std::memory_order_relaxed);
  {
    const std::lock_guard lock(s.mutex);
    s.generation.fetch_add(1, std::memory_order_acq_rel);
  }
  s.wake.notify_all();
  s.take_indices();
  s.wait_for_workers();
  if (s.failure) {
    std::rethrow_exception(s.failure);
  }
}

}  // namespace troupe
