#include "engine/parallel/arriving_room.hpp"

#include "base/error.hpp"
#include "base/round_up.hpp"

#include <algorithm>
#include <utility>

namespace troupe::engine {

arriving_room::~arriving_room() {
  if (at_ != nullptr) {
    on_.free(at_);
  }
}

int64_t arriving_room::rounded(int64_t bytes) { return round_up<int64_t>(bytes, 256); }

std::byte* arriving_room::map(int64_t bytes) {
  std::byte* const at = on_.reserve(bytes, "arriving pieces");
  try {
    on_.map(at, bytes);
  } catch (const error&) {
    on_.free(at);
    throw;
  }
  return at;
}

/// Of a range from which nothing is taken.
void arriving_room::grow(int64_t bytes) {
  if (bytes <= bytes_) {
    return;
  }
  if (at_ != nullptr) {
    bytes_ = 0;
    on_.free(std::exchange(at_, nullptr));
  }
  at_ = map(bytes);
  bytes_ = bytes;
}

void arriving_room::reserve(int64_t bytes) {
  wanted_ = std::max(wanted_, bytes);
  if (taken_.empty()) {
    grow(wanted_);
  }
}

std::optional<int64_t> arriving_room::place_for(int64_t bytes) const {
  int64_t end = bytes_;
  if (taken_.empty() ? end >= bytes : taken_.front().first >= bytes) {
    return 0;
  }
  for (auto block = taken_.rbegin(); block != taken_.rend(); ++block) {
    if (end - block->last >= bytes) {
      return end - bytes;
    }
    end = block->first;
  }
  return std::nullopt;
}

arriving_room::piece arriving_room::take(int64_t bytes) {
  bytes = rounded(bytes);
  reserve(bytes);
  if (const auto first = place_for(bytes)) {
    const auto behind =
        std::find_if(taken_.begin(), taken_.end(), [&](const block& one) { return one.first > *first; });
    taken_.insert(behind, {*first, *first + bytes});
    return {at_ + *first, bytes};
  }
  int64_t together = bytes;
  for (const block& one : taken_) {
    together += one.last - one.first;
  }
  wanted_ = std::max(wanted_, together);
  return {map(bytes), bytes};
}

void arriving_room::give_back(const piece& used) {
  const auto of_range =
      std::find_if(taken_.begin(), taken_.end(), [&](const block& one) { return used.at == at_ + one.first; });
  if (of_range != taken_.end()) {
    taken_.erase(of_range);
  } else {
    on_.free(used.at);
  }
}

}  // namespace troupe::engine
