/// Exponential moving average of the weights, folded in once per optimizer update.
///   average = decay * average + (1 - decay) * weights,   started at the first weights
/// Each rank keeps and folds its own shard (parts end to end): for one rank alone that is the arena.
#pragma once

#include "engine/parallel/communicator.hpp"
#include "engine/parallel/shards.hpp"
#include "kernels/base/aligned.hpp"
#include "kernels/base/context.hpp"

#include <cstdint>

namespace troupe::engine {

class weight_average {
public:
  /// Starts at `weights`, a whole arena.   Errors  bad_argument: decay outside of [0, 1).
  weight_average(shard_plan_ptr plan, int rank, const float* weights, double decay);

  /// `weights`: a whole arena, of which the rank's parts are read.
  void fold(context& ctx, const float* weights);

  aligned_buffer<float>& shard() { return shard_; }  ///< of the averaged weights; also for checkpoints
  const aligned_buffer<float>& shard() const { return shard_; }
  const shard_plan& plan() const { return *plan_; }

  /// The whole averaged arena, on every rank. Collective; `group` is null for one rank alone.
  aligned_buffer<float> gathered(const communicator_ptr& group) const;

private:
  shard_plan_ptr plan_;
  int rank_;
  aligned_buffer<float> shard_;
  double decay_;
};

}  // namespace troupe::engine
