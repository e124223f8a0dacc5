/// Exponential moving average of the weights, folded in once per optimizer update.
///   average = decay * average + (1 - decay) * weights,   started at the first weights
/// Each rank keeps and folds its own shard, in every ZeRO stage; who wants all of it fetches it by segments, as any
/// sharded weights (rank_weights.hpp). For one rank alone the shard is the arena.
#pragma once

#include "base/context.hpp"
#include "engine/arena/shards.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/parallel/communicator.hpp"

namespace troupe::engine {

class weight_average {
public:
  /// Starts at `weights`, a whole arena, of which the rank's parts are read. `group`: the plan's ranks, for gathers
  /// of the average and nothing else; null: one rank alone. The average lies at `at`, as the weights do, and contexts
  /// compute there.
  /// Errors  bad_argument: decay outside of [0, 1); a plan for another number of ranks. out_of_memory.
  weight_average(shard_plan_ptr plan, communicator_ptr group, const float* weights, double decay,
                 const arena_place& at = {});

  /// `weights`: a whole arena, of which the rank's parts are read.
  void fold(context& ctx, const float* weights);

  rank_weights& weights() { return average_; }
  const shard_plan& plan() const { return *plan_; }

private:
  shard_plan_ptr plan_;
  int rank_;
  double decay_;
  rank_weights average_;
};

}  // namespace troupe::engine
