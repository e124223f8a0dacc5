#include "actors/director/company.hpp"

#include <algorithm>

namespace troupe::actors {

bool company::has(cast_part part) const { return share_ranks(part, part); }

bool company::share_ranks(cast_part part, cast_part other) const {
  return std::any_of(by_rank_.begin(), by_rank_.end(),
                     [=](const cast& rank) { return rank.*part != nullptr && rank.*other != nullptr; });
}

}  // namespace troupe::actors
