/// An optimizer's arenas and its update: gradients in lanes, reduced over ranks, moments, clipping, AdamW with decay groups.
///
/// Lanes    Micro-batch j of an update is summed in lane j % S, each lane in the order of j; the lanes are then joined by a
///          fixed binary tree ((0+1)+(2+3))+... (lane_sums.hpp). S is settings.lanes where that is above 1, and the number
///          of ranks R divides it; else S = R. So the sums, and with them all bits of an update, depend on S alone: not on
///          R, and not on the ZeRO stage.
/// Stages   what a rank holds besides its weights (A: an arena, P: its shard of one, about A / R; n micro-batches):
///            0  gradients in (1 + log2(S/R)) A, moments in 2 A
///            1  gradients in (1 + log2(S/R)) A, moments in 2 P
///            2  gradients in (1 + log2(S/R)) P, moments in 2 P, and a transient: A; or, where n <= S, the segments in
///               flight, each given back as soon as it is reduced
///            3  as 2; and of the weights its own parts only (rank_weights.hpp), each stepped where it stands
///          In stages 0 and 1 rank r has the lanes [r S/R, (r+1) S/R) and joins them itself; in stage 2 lane l is of rank
///          l % R, and the ranks' lanes are joined first, one lane each at a time.
/// Traffic  bytes that rank r sends in an update (P_r: the bytes of its shard; K = min(S/R, ceil(n/R)) lanes a rank):
///            reduce_scatter: A - P_r in stages 0 and 1, K (A - P_r) in stage 2
///            all_gather:     (R - 1) P_r, of gradients in stage 0, of weights in 1 and 2; none in 3, where passes gather
///          and 8 bytes for each unit of its shard to each other rank, for the norm.
///          A segment's reduction starts when the last micro-batch (of a lane, in stage 2) is through with it.
/// Norm     the square root of the sums of squares of the plan's units, joined serially over units in double.
/// Use      learns.begin(n);
///          for (int64_t j : learns.order(n)) {
///            if (j >= 0) { train(batch[j], learns.gradients(ctx, j), learns.segment_done(ctx)); }
///            learns.end_step(ctx);
///          }
///          learns.update(ctx, weights, rate);
///          (accumulate.hpp is this loop.) One rank alone may leave begin and end_step away.
/// Errors   lost_peer from everything that waits for other ranks.
#pragma once

#include "engine/models/transformer.hpp"
#include "engine/optim/lane_sums.hpp"
#include "engine/optim/paged_arena.hpp"
#include "engine/parallel/communicator.hpp"
#include "engine/parallel/shards.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace troupe::engine {

struct adamw_settings {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0;  ///< on parameters with `decays`; the rest have none
  double clip_norm = 1.0;   ///< g *= min(1, clip / (norm + 1e-6)); 0: off
};

struct learner_settings {
  adamw_settings adamw;
  int64_t lanes = 1;  ///< a power of two that the number of ranks divides; 1: one lane a rank
  int zero = 0;       ///< 0 to 3
};

struct update_report {
  int64_t update = 0;        ///< 1 for the first
  double gradient_norm = 0;  ///< before clipping
  double learning_rate = 0;
};

class learner {
public:
  /// `group`: the ranks that learn together; all call the same functions in the same order. Null: one rank alone.
  /// The layout (or net) must outlive the learner.
  /// Errors  bad_argument: lanes that are no power of two or no multiple of the ranks, a setting out of range.
  learner(const parameter_layout& layout, std::span<const arena_range> segments, const learner_settings& settings,
          communicator_ptr group = nullptr);
  learner(const transformer& net, const learner_settings& settings, communicator_ptr group = nullptr);
  /// One rank alone.
  learner(const parameter_layout& layout, const adamw_settings& settings, int64_t lanes = 1);
  learner(learner&&) = delete;  // operations under way hold its buffers

  /// The order in which a rank computes n micro-batches; -1: a step in which it has none, but takes part.
  std::vector<int64_t> order(int64_t n, int rank) const;
  std::vector<int64_t> order(int64_t n) const { return order(n, rank_); }

  /// Starts the accumulation of n micro-batches: an update's, all of them.
  /// Errors  bad_argument: what was accumulated before was neither used nor discarded.
  void begin(int64_t n);

  /// The arena onto which to accumulate micro-batch j's gradient. Called in `order`; what was accumulated since the last
  /// update stays.   Errors  bad_argument: a lane that was already left, or is another rank's.
  float* gradients(context& ctx, int64_t micro_batch);

  /// For transformer::backward in this step; empty where nothing is reduced yet.
  std::function<void(int64_t)> segment_done(context& ctx);

  /// Ends a step of `order`.
  void end_step(context& ctx);

  /// Starts what has to be reduced still. Called by update; and to be called by all ranks alike before discard, unless
  /// all have ended the last step.
  void finish(context& ctx);

  /// Clips, steps and zeroes the gradients. `weights` is a whole arena; in stage 3 only this rank's parts of it count.
  /// Errors  not_finite: the gradient norm is NaN or infinite, on all ranks alike; weights, moments and count are then as
  ///         before and the gradients dropped.
  update_report update(context& ctx, float* weights, double learning_rate);

  /// Drops what has been accumulated; waits for what is under way.
  void discard();

  // For checkpoints. Moments are whole arenas, or shards (parts end to end).
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  bool whole_moments() const { return zero_ == 0; }
  aligned_buffer<float>& first_moment() { return first_moment_; }
  aligned_buffer<float>& second_moment() { return second_moment_; }

  /// Completes a whole arena of which each rank has its own parts of each segment. All ranks alike; nothing where there is one.
  void gather(float* arena);

  const shard_plan_ptr& plan() const { return plan_; }
  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  const communicator_ptr& group() const { return group_; }  ///< null: one rank alone

  /// Bytes of gradients and moments that an update of `micro_batches` micro-batches will hold.
  int64_t bytes(int64_t micro_batches) const;

private:
  struct step {
    int64_t micro_batch = -1;
    int64_t lane = 0;   ///< among this rank's
    bool last = false;  ///< what was summed is reduced after it
  };
  struct decay_run {  ///< floats [first, last) of the arena share a decay
    arena_range range;
    bool decays = false;
  };

  std::vector<step> steps_for(int64_t n, int rank) const;
  int64_t lane_of(int64_t micro_batch) const;
  void require_open(int64_t micro_batch) const;
  bool sharded_gradients() const { return zero_ >= 2; }
  bool sharded_weights() const { return zero_ >= 3; }

  float* lane_arena();  ///< stage 2 and above: where a lane is summed

  // Reductions, by segment; each rank starts them from the last segment to the first.
  void reduce_segment(context& ctx, int64_t s);
  void reduce_rest(context& ctx);
  void await_segment(int64_t s);
  void await_all();

  // An update's parts.
  struct step_scale {
    double learning_rate = 0, gradient = 1;
  };
  int64_t part_offset(int64_t s) const;
  double norm(context& ctx);
  std::vector<double> gather_units(const std::vector<double>& mine);
  void step_range(context& ctx, arena_range range, const float* gradient, int64_t moment, const step_scale& scale,
                  float* weights);
  void step_weights(context& ctx, const step_scale& scale, float* weights);

  shard_plan_ptr plan_;
  communicator_ptr group_;
  adamw_settings settings_;
  int rank_ = 0, ranks_ = 1, zero_ = 0;
  int64_t lanes_ = 1;      ///< S
  int64_t own_lanes_ = 1;  ///< S / R
  int64_t updates_ = 0;
  std::vector<decay_run> runs_;

  std::vector<step> steps_;
  size_t step_ = 0;
  bool begun_ = false, finished_ = false;
  int64_t to_reduce_ = 0;  ///< segments [0, to_reduce_) have not started being reduced; of the lane, in stage 2

  lane_sums sums_;           ///< arenas; in stage 2 shards
  paged_arena transient_;    ///< stage 2: where a lane is summed
  float* shard_ = nullptr;   ///< stage 2: where the lane's shard goes
  float* joined_ = nullptr;  ///< the lanes' sum: an arena, or in stage 2 a shard
  aligned_buffer<float> first_moment_, second_moment_;
  std::vector<pending> pending_;  ///< by segment. Last: it ends before the buffers do
};

/// learner::bytes of a rank, without a learner. In stage 2 an upper bound where the head is not tied.
int64_t learner_bytes(const shard_plan& plan, int rank, const learner_settings& settings, int64_t micro_batches);

}  // namespace troupe::engine
