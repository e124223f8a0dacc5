/// Batches that an actor was sent ahead of the command that names them.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <map>
#include <utility>

namespace troupe::actors {

/// `Handle`: of batches with an `id`.
template <class Handle> class pending_batches {
public:
  /// `owner`, for errors: "the critic".
  explicit pending_batches(const char* owner) : owner_(owner) {}

  void add(const Handle& batch) { pending_[batch->id] = batch; }
  bool has(uint64_t id) const { return pending_.contains(id); }

  /// Errors  bad_argument: it was not sent, or has been taken.
  Handle take(uint64_t id) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) {
      throw error(errc::bad_argument, "batch {} was not served to {}", id, owner_);
    }
    Handle batch = std::move(found->second);
    pending_.erase(found);
    return batch;
  }

private:
  const char* owner_;
  std::map<uint64_t, Handle> pending_;
};

}  // namespace troupe::actors
