/// A rank's sign of life: a counter of pieces of work done and the name of the one under way.
#pragma once

#include <atomic>
#include <cstdint>

namespace troupe::actors {

/// Touched by the actors that compute, read by the one that sends beats. Lock-free: it must not depend on anything that
/// can hang. Names are string literals.
class pulse {
public:
  void begin(const char* operation) {
    operation_.store(operation, std::memory_order_relaxed);
    touch();
  }
  void touch() { count_.fetch_add(1, std::memory_order_relaxed); }
  void end() { begin("idle"); }

  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  const char* operation() const { return operation_.load(std::memory_order_relaxed); }

private:
  std::atomic<uint64_t> count_{0};
  std::atomic<const char*> operation_{"start"};
};

/// Names an operation for the length of a scope.
class operation_scope {
public:
  operation_scope(pulse& p, const char* operation) : pulse_(p) { pulse_.begin(operation); }
  ~operation_scope() { pulse_.end(); }
  operation_scope(const operation_scope&) = delete;
  operation_scope& operator=(const operation_scope&) = delete;

private:
  pulse& pulse_;
};

}  // namespace troupe::actors
