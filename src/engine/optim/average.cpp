#include "engine/optim/average.hpp"

#include "kernels/optimizer.hpp"

#include <algorithm>

namespace troupe::engine {

weight_average::weight_average(shard_plan_ptr plan, int rank, const float* weights, double decay)
    : plan_(std::move(plan)), rank_(rank), shard_(plan_->shard_size(rank)), decay_(decay) {
  if (!(decay >= 0) || !(decay < 1)) {
    throw error(errc::bad_argument, "the average's decay is {}: it lies in [0, 1)", decay);
  }
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range part = plan_->part(s, rank_);
    std::copy(weights + part.first, weights + part.last, shard_.data() + plan_->shard_offset(s, rank_));
  }
}

void weight_average::fold(context& ctx, const float* weights) {
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range part = plan_->part(s, rank_);
    kernels::fold_average(ctx, shard_.data() + plan_->shard_offset(s, rank_), weights + part.first, part.size(),
                          static_cast<float>(decay_));
  }
}

aligned_buffer<float> weight_average::gathered(const communicator_ptr& group) const {
  aligned_buffer<float> arena(plan_->arena_size());
  for (int64_t s = 0; s < plan_->segments(); ++s) {
    const arena_range part = plan_->part(s, rank_);
    std::copy_n(shard_.data() + plan_->shard_offset(s, rank_), part.size(), arena.data() + part.first);
    if (group) {
      const arena_range segment = plan_->segment(s);
      const std::span<float> whole(arena.data() + segment.first, static_cast<size_t>(segment.size()));
      group->all_gather(whole, plan_->offset_R1(s)).wait();
    }
  }
  return arena;
}

}  // namespace troupe::engine
