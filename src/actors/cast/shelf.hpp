/// What an actor was sent ahead of the command that names it.
#pragma once

#include "base/error.hpp"

#include <cstdint>
#include <map>
#include <utility>

namespace troupe::actors {

/// Of handles to things with an `id`.
template <class Handle> class shelf {
public:
  /// `owner`, for errors: "the critic".
  explicit shelf(const char* owner) : owner_(owner) {}

  void keep(const Handle& one) { kept_[one->id] = one; }
  bool has(uint64_t id) const { return kept_.contains(id); }

  /// Errors  bad_argument: it was not sent, or has been taken.
  Handle take(uint64_t id) {
    const auto found = kept_.find(id);
    if (found == kept_.end()) {
      throw error(errc::bad_argument, "batch {} was not served to {}", id, owner_);
    }
    Handle one = std::move(found->second);
    kept_.erase(found);
    return one;
  }

private:
  const char* owner_;
  std::map<uint64_t, Handle> kept_;
};

}  // namespace troupe::actors
