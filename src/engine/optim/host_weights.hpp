/// The use of a model's weights by what reads them in host memory, in the host's order, wherever they lie: saved
/// models, digests. See gathered_weights, whose rules hold here too.
#pragma once

#include "base/context.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/arena/paged_arena.hpp"
#include "engine/arena/shards.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/optim/rank_weights.hpp"

#include <cstdint>
#include <vector>

namespace troupe::engine {

class host_weights final : public weight_access {
public:
  /// `net`: whose weights they are. It outlives this, as `of` does.
  /// Errors  those of gathered_weights; out_of_memory.
  host_weights(context& ctx, rank_weights& of, const inference_model& net);

  /// Of weights on a card: with access always, and in host memory are the segments in use alone.
  weights_view view();

  void prefetch(int64_t segment) override;
  /// Errors  those of gathered_weights; device_failure.
  void acquire(context& ctx, int64_t segment) override;
  void release(int64_t segment) override;

private:
  context at_;  ///< computes where they lie
  rank_weights& of_;
  gathered_weights gathered_;
  shard_plan plan_;                ///< of one rank: for its segments
  paged_arena copy_;               ///< of those on a card
  std::vector<int> holds_S_ = {};  ///< by segment
  staging through_;
};

}  // namespace troupe::engine
