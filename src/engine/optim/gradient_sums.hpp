/// The gradients of an update: summed in lanes, and over ranks while they are computed.
///
/// Lanes    Micro-batch j of an update is summed in lane j % S, each lane in the order of j. The lanes are then
///          joined by a fixed binary tree ((0+1)+(2+3))+... (lane_sums.hpp). So the sums, and with them all bits of
///          an update, depend on S alone: not on R, and not on who holds what.
/// Holding  what a rank holds (A: an arena, P: its shard of one, about A / R; n micro-batches):
///            whole    (1 + log2(S/R)) A. Rank r has the lanes [r S/R, (r+1) S/R) and joins them itself.
///            sharded  (1 + log2(S/R)) P, and a transient: A; or, where n <= S, the segments in flight, each
///                     given back as soon as it is reduced. Lane l is of rank l % R, and the ranks' lanes are
///                     joined first, one lane each at a time.
/// Traffic  bytes that rank r sends by reduce_scatter (P_r: the bytes of its shard; K = min(S/R, ceil(n/R)) lanes a
///          rank):
///            whole    A - P_r
///            sharded  K (A - P_r)
///          A segment's reduction starts when the last micro-batch (of a lane, where sharded) is through with it.
/// Errors   lost_peer from everything that waits for other ranks.
#pragma once

#include "base/context.hpp"
#include "engine/arena/paged_arena.hpp"
#include "engine/arena/shards.hpp"
#include "engine/optim/lane_sums.hpp"
#include "engine/parallel/communicator.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace troupe::engine {

struct sums_division {
  int64_t lanes = 1;     ///< S: a power of two that the number of ranks divides; or 1: one lane a rank, S = R
  bool sharded = false;  ///< each rank keeps its shard of the sums; whole on one rank alone
};

class gradient_sums {
public:
  /// `group`: the plan's ranks, which all call the same functions in the same order. Null: one rank alone. It takes
  /// arrays that lie at `at` (parallel/between_cards.hpp). All calls have a context that computes there.
  /// Errors  bad_argument: lanes that are no power of two or no multiple of the ranks.
  gradient_sums(shard_plan_ptr plan, communicator_ptr group, const sums_division& division, const arena_place& at = {});
  gradient_sums(gradient_sums&&) = delete;  // operations under way hold its buffers

  /// The order in which a rank computes n micro-batches; -1: a step in which it has none, but takes part.
  std::vector<int64_t> order(int64_t n, int rank) const;

  /// Starts the accumulation of n micro-batches: an update's, all of them.
  /// Errors  bad_argument: what was accumulated before was neither used nor discarded.
  void begin(int64_t n);

  /// Memory for what was begun, as far as it is held from its beginning to its end, and for what other ranks send:
  /// where all ranks have that, none stands without sums while the others reduce theirs.
  /// Errors  out_of_memory.
  void take_memory();

  /// The arena onto which to accumulate micro-batch j's gradient. Called in `order`; what was accumulated since the
  /// last `discard` stays. On a card, where sharded, a pass must be given `segment_done`: a segment has its memory from
  /// when the one behind it is done; the last segment, and the first, onto which a tied head's gradient goes before all
  /// others, from the beginning.
  /// Errors  bad_argument: a lane that was already left, or is another rank's. out_of_memory.
  float* summed_onto(context& ctx, int64_t micro_batch);

  /// For transformer::backward in this step; empty where nothing is reduced yet.
  std::function<void(int64_t)> segment_done(context& ctx);

  /// Whether the lane of this step has no other behind it.
  bool lane_ends() const;

  /// Ends a step of `order`.
  void end_step(context& ctx);

  /// Starts what has to be reduced still.
  /// Errors  bad_argument: steps of `order` are left.
  void finish(context& ctx);

  /// finish, and waits: from now on the sums can be read.
  void complete(context& ctx);

  /// This rank's part of the sum of segment s.
  const float* part(int64_t s) const;

  /// The whole arena of the sums, where they are not sharded: every rank gets the parts of all others.
  const float* gather_whole();

  /// Drops what has been accumulated; waits for what is under way.
  void discard();

  /// Floats that a rank holds for an update of so many micro-batches.
  struct memory {
    int64_t sums = 0;       ///< always
    int64_t transient = 0;  ///< while a lane is summed
    int64_t arriving = 0;   ///< at most: what other ranks send for the reductions under way
  };
  /// Sharded, `transient` is an upper bound where the head is not tied.
  static memory memory_of(const shard_plan& plan, int rank, const sums_division& division, int64_t micro_batches);

private:
  struct step {
    int64_t micro_batch = -1;
    int64_t lane = 0;   ///< among this rank's
    bool last = false;  ///< what was summed is reduced after it
  };

  std::vector<step> steps_for(int64_t n, int rank) const;
  int64_t lane_of(int64_t micro_batch) const;
  void require_open(int64_t micro_batch) const;
  float* lane_arena();
  void take_for_pass();
  void take_segment(int64_t s);

  // Each rank starts its reductions from the last segment to the first.
  void reduce_segment(context& ctx, int64_t s);
  void reduce_whole(context& ctx, int64_t s);
  void reduce_to_shard(context& ctx, int64_t s);
  void reduce_rest(context& ctx);
  void await_segment(int64_t s);
  void await_all();

  shard_plan_ptr plan_;
  communicator_ptr group_;
  int rank_, ranks_;
  bool sharded_;
  int64_t lanes_;      ///< S
  int64_t own_lanes_;  ///< S / R
  arena_place place_;

  std::vector<step> steps_;
  size_t step_ = 0;
  bool begun_ = false, finished_ = false;
  int64_t to_reduce_;  ///< segments [0, to_reduce_) have not started being reduced; of the lane, where sharded

  lane_sums sums_;                ///< arenas; where sharded shards
  paged_arena transient_;         ///< sharded: where a lane is summed
  float* shard_ = nullptr;        ///< sharded: where the lane's shard goes
  float* joined_ = nullptr;       ///< the lanes' sum: an arena, or where sharded a shard
  std::vector<pending> pending_;  ///< by segment. Last: it ends before the buffers do
};

/// `arena` := all ranks' parts of it, segment by segment.
/// Errors  lost_peer.
void gather_parts(communicator& group, const shard_plan& plan, reals arena);

}  // namespace troupe::engine
