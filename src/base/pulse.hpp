/// The sign of life of one part of a program: what it is doing, whether it gets on, and whether it waits for others.
#pragma once

#include <atomic>
#include <cstdint>

namespace troupe {

/// Written by the thread that works, read by the one that watches. Lock-free: it must not depend on anything that can
/// hang. Operations are named by string literals.
class pulse {
public:
  /// The next piece of work, or operation, is under way.
  void touch() { count_.fetch_add(1, std::memory_order_relaxed); }

  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  const char* operation() const { return operation_.load(std::memory_order_relaxed); }  ///< null: nothing to do
  /// In the midst of its operation it waits for other processes: if it does not get on, that is their fault.
  bool waits() const { return waits_.load(std::memory_order_relaxed) > 0; }

private:
  friend class operation_scope;
  friend class waiting_scope;
  friend class waiting_behind;

  std::atomic<uint64_t> count_{0};
  std::atomic<const char*> operation_{nullptr};
  std::atomic<int32_t> waits_{0};
};

/// An operation of a part of the program, for as long as the scope lasts; this thread is the one that does it.
class operation_scope {
public:
  operation_scope(pulse& of, const char* operation) : pulse_(of), outer_(current()) {
    current() = &pulse_;
    begin(operation);
  }
  ~operation_scope() {
    begin(nullptr);
    current() = outer_;
  }
  operation_scope(const operation_scope&) = delete;
  operation_scope& operator=(const operation_scope&) = delete;

  /// A piece of the work is done.
  void touch() const { pulse_.touch(); }

private:
  friend class waiting_scope;
  friend class waiting_behind;

  /// Of this thread's innermost operation; null: it is in none.
  static pulse*& current() {
    thread_local pulse* of_this_thread = nullptr;
    return of_this_thread;
  }
  void begin(const char* operation) {
    pulse_.operation_.store(operation, std::memory_order_relaxed);
    pulse_.touch();
  }

  pulse& pulse_;
  pulse* outer_;
};

/// The thread waits for other processes while the scope lasts, whatever operation it is in.
class waiting_scope {
public:
  waiting_scope() : pulse_(operation_scope::current()) { add(1); }
  ~waiting_scope() { add(-1); }
  waiting_scope(const waiting_scope&) = delete;
  waiting_scope& operator=(const waiting_scope&) = delete;

private:
  void add(int32_t more) {
    if (pulse_ != nullptr) {
      pulse_->waits_.fetch_add(more, std::memory_order_relaxed);
    }
  }

  pulse* pulse_;
};

/// The same for what a thread has begun and does not stand in: it belongs to the operation in which it was made, and
/// whoever sees to it tells whether it waits. It ends before its operation's pulse does.
class waiting_behind {
public:
  waiting_behind() : pulse_(operation_scope::current()) {}
  ~waiting_behind() { set(false); }
  waiting_behind(const waiting_behind&) = delete;
  waiting_behind& operator=(const waiting_behind&) = delete;

  void set(bool waits) {
    if (pulse_ != nullptr && waits != waits_) {
      waits_ = waits;
      pulse_->waits_.fetch_add(waits ? 1 : -1, std::memory_order_relaxed);
    }
  }

private:
  pulse* pulse_;
  bool waits_ = false;
};

}  // namespace troupe
