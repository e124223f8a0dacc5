#include "engine/optim/average.hpp"

#include "base/error.hpp"
#include "kernels/optimizer.hpp"

#include <algorithm>

namespace troupe::engine {

weight_average::weight_average(shard_plan_ptr plan, communicator_ptr group, const float* weights, double decay)
    : plan_(std::move(plan)), rank_(group ? group->rank() : 0), average_(plan_->arena_size()), decay_(decay) {
  if (!(decay >= 0) || !(decay < 1)) {
    throw error(errc::bad_argument, "the average's decay is {}: it lies in [0, 1)", decay);
  }
  if (group) {
    average_.shard(plan_, std::move(group));
  }
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range part = plan_->part(s, rank_);
    std::copy(weights + part.first, weights + part.last, average_.begin() + part.first);
  }
}

void weight_average::fold(context& ctx, const float* weights) {
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range part = plan_->part(s, rank_);
    kernels::fold_average(ctx, average_.begin() + part.first, weights + part.first, part.size(),
                          static_cast<float>(decay_));
  }
}

}  // namespace troupe::engine
