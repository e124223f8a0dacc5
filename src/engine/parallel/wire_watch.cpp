#include "engine/parallel/wire_watch.hpp"

#include "base/error.hpp"
#include "engine/parallel/end_process.hpp"

#include <sys/prctl.h>

#include <algorithm>

namespace troupe::engine {

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr std::chrono::milliseconds nap{1};
constexpr std::chrono::seconds head_start_of_the_dead{1};
/// Of what passes between two looks no more counts: the process was suspended.
constexpr std::chrono::milliseconds longest_step{50};

}  // namespace

wire_watch::~wire_watch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void wire_watch::begin(const wire_operation_ptr& one, mark begins) {
  const std::lock_guard lock(mutex_);
  one->begins = begins;
  under_way_.push_back(one);
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { live(); });
  }
  changed_.notify_all();
}

void wire_watch::called(wire_operation& one, mark ends) {
  const std::lock_guard lock(mutex_);
  one.ends = ends;
}

void wire_watch::await(wire_operation& one) {
  const std::lock_guard lock(mutex_);
  one.awaited = true;
}

void wire_watch::drop(const wire_operation_ptr& one) {
  const std::lock_guard lock(mutex_);
  under_way_.remove(one);
}

void wire_watch::live() {
  prctl(PR_SET_NAME, "wire watch");
  std::unique_lock lock(mutex_);
  clock::time_point last = clock::now();
  while (!stopping_) {
    if (under_way_.empty()) {
      on_.set_waits_for_others(false);
      changed_.wait(lock);
      last = clock::now();
      continue;
    }
    const clock::time_point now = clock::now();
    try {
      look(std::min<microseconds>(std::chrono::duration_cast<microseconds>(now - last), longest_step));
    } catch (const std::exception&) {  // the card has failed: whoever uses it is told
      under_way_.clear();
      on_.set_waits_for_others(false);
    }
    last = now;
    changed_.wait_for(lock, nap, [this] { return stopping_; });
  }
}

void wire_watch::look(microseconds since_last) {
  while (!under_way_.empty() && under_way_.front()->ends && on_.passed(*under_way_.front()->ends)) {
    under_way_.front()->waits.set(false);
    under_way_.front()->under_way.reset();
    under_way_.pop_front();
  }
  bool awaited = false;
  bool any_is_ready = false;
  for (auto one = under_way_.rbegin(); one != under_way_.rend(); ++one) {
    wire_operation& it = **one;
    awaited = awaited || it.awaited || !it.ends;
    const bool is_ready = on_.passed(it.begins);
    const bool stands = awaited && is_ready;
    any_is_ready = any_is_ready || is_ready;
    it.waits.set(stands);
    it.waited += stands ? since_last : microseconds(0);
  }
  on_.set_waits_for_others(any_is_ready);
  for (const wire_operation_ptr& one : under_way_) {
    if (const std::string failure = one->by->failure(); !failure.empty()) {
      // The supervisor is to lose the rank that died before those that only noticed (crash_watch.hpp).
      std::this_thread::sleep_for(head_start_of_the_dead);
      give_up(*one, failure);
    }
    if (one->waited > one->deadline) {
      give_up(*one, late_text(one->deadline));
    }
  }
}

void wire_watch::give_up(const wire_operation& on, const std::string& why) {
  end_process(on.who, why, [by = on.by] { by->abort(); });
}

}  // namespace troupe::engine
