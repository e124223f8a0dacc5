#include "engine/optim/average.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/optimizer.hpp"

#include <algorithm>

namespace troupe::engine {

static double checked(double decay) {
  if (!(decay >= 0) || !(decay < 1)) {
    throw error(errc::bad_argument, "the average's decay is {}: it lies in [0, 1)", decay);
  }
  return decay;
}

static rank_weights zeros(const shard_plan_ptr& plan, communicator_ptr group, const arena_place& at) {
  return group ? rank_weights(plan, std::move(group), dtype::f32, at)
               : rank_weights(plan->arena_size(), dtype::f32, at);
}

weight_average::weight_average(shard_plan_ptr plan, communicator_ptr group, const float* weights, double decay,
                               const arena_place& at)
    : plan_(std::move(plan)), rank_(group ? group->rank() : 0), decay_(checked(decay)),
      average_(zeros(plan_, std::move(group), at)) {
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range part = plan_->part(s, rank_);
    if (at.on == nullptr) {
      std::copy(weights + part.first, weights + part.last, average_.begin() + part.first);
    } else if (part.size() > 0) {
      at.on->copy(queue::compute, average_.begin() + part.first, weights + part.first,
                  part.size() * size_of(dtype::f32));
    }
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
