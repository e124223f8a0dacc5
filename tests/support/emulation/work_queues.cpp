#include "support/emulation/work_queues.hpp"

#include "base/assert.hpp"

#include <utility>

namespace troupe::emulation {

work_queues::work_queues(const std::array<bool, 4>& late) {
  for (size_t i = 0; i < lines_.size(); ++i) {
    lines_[i].late = late[i];
  }
}

work_queues::~work_queues() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (wire_.joinable()) {
    wire_.join();
  }
}

void work_queues::push(queue in, item what) {
  line& of = line_of(in);
  ++of.called;
  of.waiting.push_back(std::move(what));
  if (in == queue::wire) {
    if (!wire_.joinable()) {
      wire_ = std::thread([this] { do_wire_work(); });
    }
    changed_.notify_all();
  }
}

void work_queues::add(queue in, work what) {
  held lock(mutex_);
  push(in, {.what = std::move(what)});
  if (line& of = line_of(in); in != queue::wire && !of.late) {
    do_until(lock, of, of.called);
  }
}

mark work_queues::record(queue in) {
  const std::lock_guard lock(mutex_);
  return line_of(in).called * lines_.size() + static_cast<size_t>(in);
}

void work_queues::await(queue in, mark moment) {
  const std::lock_guard lock(mutex_);
  push(in, {.awaited = moment});
}

bool work_queues::passed(mark moment) {
  const std::lock_guard lock(mutex_);
  return line_of(moment).done >= moment / lines_.size();
}

void work_queues::finish(mark moment) {
  held lock(mutex_);
  do_until(lock, line_of(moment), moment / lines_.size());
}

void work_queues::finish_all() {
  held lock(mutex_);
  for (line& of : lines_) {
    do_until(lock, of, of.called);
  }
}

/// Another thread may go on with the same queue while this one waits for the wire's.
void work_queues::do_until(held& lock, line& of, uint64_t call) {
  TROUPE_ASSERT(call <= of.called);
  while (of.done < call) {
    if (&of == &line_of(queue::wire) || !do_first(lock, of)) {
      changed_.wait(lock);
    }
  }
}

/// The first of a queue's work. False: another queue's has to come before, and this thread cannot do it.
bool work_queues::do_first(held& lock, line& of) {
  const mark awaited = of.waiting.front().awaited;
  line& other = line_of(awaited);
  if (const uint64_t call = awaited / lines_.size(); other.done < call) {
    if (&other == &line_of(queue::wire)) {
      return false;
    }
    do_until(lock, other, call);
    return true;  // meanwhile the first may be another
  }
  const work what = std::move(of.waiting.front().what);
  of.waiting.pop_front();
  ++of.done;
  if (what) {
    what();
  }
  changed_.notify_all();
  return true;
}

/// Cards whose work waits for each other's do it without a lock.
void work_queues::do_wire_work() {
  held lock(mutex_);
  line& wire = line_of(queue::wire);
  while (!stopping_) {
    if (wire.waiting.empty()) {
      changed_.wait(lock);
      continue;
    }
    const item first = std::move(wire.waiting.front());
    wire.waiting.pop_front();
    if (first.awaited != 0) {
      do_until(lock, line_of(first.awaited), first.awaited / lines_.size());
    }
    if (first.what) {
      lock.unlock();
      first.what();
      lock.lock();
    }
    ++wire.done;
    changed_.notify_all();
  }
}

}  // namespace troupe::emulation
