/// What a model learns with: the gradients of an update, summed over ranks (gradient_sums.hpp), and the optimizer's
/// step: moments, clipping, AdamW with decay groups.
///
/// Stages   what a rank holds besides its weights (A: an arena, P: its shard of one, about A / R):
///            0  whole gradients, moments in 2 A
///            1  whole gradients, moments in 2 P
///            2  sharded gradients, moments in 2 P
///            3  as 2; and of the weights its own parts only (rank_weights.hpp), each stepped where it stands
///          All bits of an update depend on the number of lanes alone: not on the ranks, and not on the stage.
/// Traffic  bytes that rank r sends in an update beside those of gradient_sums (P_r: the bytes of its shard):
///            all_gather  (R - 1) P_r, of gradients in stage 0, of weights in 1 and 2; none in 3, where passes gather
///          (half of it where weights are bfloat16), and 8 bytes for each unit of its shard to each other rank, for the
///          norm.
/// Norm     the square root of the sums of squares of the plan's units, joined serially over units in double.
/// Types    Weights that passes read in bfloat16 are a second arena (`rounded`), half as large, and whole but in stage
///          3. Those that step are then masters in float32, of which a rank needs no more than it steps: an arena in
///          stage 0, its own parts from 1 on.
/// Use      learns.begin(n);
///          for (int64_t j : learns.order(n)) {
///            if (j >= 0) { train(batch[j], learns.gradients(ctx, j), learns.segment_done(ctx)); }
///            learns.end_step(ctx);
///          }
///          learns.update(ctx, weights, rate);
///          (accumulate.hpp is this loop.) One rank alone may leave begin and end_step away.
/// Places   Sums and moments lie in host memory, or on a card, and with them the weights that `update` steps: all bits
///          are the same in both, but within a unit of 32 outputs the order is another (arena/card_arena.hpp).
/// Errors   lost_peer from everything that waits for other ranks.
#pragma once

#include "base/reals.hpp"
#include "engine/arena/paged_arena.hpp"
#include "engine/arena/shards.hpp"
#include "engine/optim/gradient_sums.hpp"
#include "engine/parallel/communicator.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace troupe::engine {

class inference_model;

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

/// Where a learner's arenas lie.
struct learner_place {
  device* on = nullptr;         ///< a card, which outlives it; null: host memory
  std::string model = "model";  ///< whose they are, where the card's memory runs out: "policy" has "policy gradients"
};

class learner {
public:
  /// `group`: the ranks that learn together; all call the same functions in the same order, and have the same kind of
  /// place. It exchanges host memory, wherever the arenas lie. Null: one rank alone.
  /// The layout (or net) must outlive the learner. All functions have a context that computes at `at`.
  /// Errors  bad_argument: lanes that are no power of two or no multiple of the ranks, a setting out of range.
  ///         out_of_memory.
  learner(const parameter_layout& layout, std::span<const arena_range> segments, const learner_settings& settings,
          communicator_ptr group = nullptr, const learner_place& at = {});
  learner(const inference_model& net, const learner_settings& settings, communicator_ptr group = nullptr,
          const learner_place& at = {});
  /// One rank alone.
  learner(const parameter_layout& layout, const adamw_settings& settings, int64_t lanes = 1);
  learner(learner&&) = delete;  // operations under way hold its buffers

  // The accumulation: see gradient_sums.
  std::vector<int64_t> order(int64_t n, int rank) const { return sums_.order(n, rank); }
  std::vector<int64_t> order(int64_t n) const { return order(n, rank_); }
  void begin(int64_t n) { sums_.begin(n); }
  void take_memory() { sums_.take_memory(); }
  float* gradients(context& ctx, int64_t micro_batch) { return sums_.summed_onto(ctx, micro_batch); }
  std::function<void(int64_t)> segment_done(context& ctx) { return sums_.segment_done(ctx); }
  bool lane_ends() const { return sums_.lane_ends(); }
  void end_step(context& ctx) { sums_.end_step(ctx); }
  /// Called by update; and to be called by all ranks alike before discard, unless all have ended the last step.
  void finish(context& ctx) { sums_.finish(ctx); }
  void discard() { sums_.discard(); }

  /// Clips, steps and zeroes the gradients. `weights` is a whole arena; in stage 3 only this rank's parts of it count.
  /// Errors  not_finite: the gradient norm is NaN or infinite, on all ranks alike; weights, moments and count are
  ///         then as before and the gradients dropped.
  /// `rounded`: a whole arena of bf16, what passes read in the place of `weights`: it becomes them, rounded. Then in
  /// stages 1 and 2 too only this rank's parts of `weights` count.
  update_report update(context& ctx, float* weights, double learning_rate, reals rounded = nullptr);

  /// Makes `rounded` anew from weights that came from elsewhere. Collective.
  void round(context& ctx, const float* weights, reals rounded);

  // For checkpoints. Moments are whole arenas, or shards (parts end to end), where the learner's place is.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  bool whole_moments() const { return settings_.zero == 0; }
  paged_arena& first_moment() { return first_moment_; }
  paged_arena& second_moment() { return second_moment_; }
  /// `arena` := all ranks' parts of it; it lies where the learner's place is. Collective.
  void gather(reals arena);

  const shard_plan_ptr& plan() const { return plan_; }
  device* on() const { return first_moment_.on(); }  ///< the card of its place; null: host memory
  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  const communicator_ptr& group() const { return group_; }  ///< null: one rank alone

  /// Bytes of gradients and moments that an update of so many micro-batches will hold.
  int64_t bytes(int64_t micro_batches) const;

private:
  struct decay_run {  ///< floats [first, last) of the arena share a decay
    arena_range range;
    bool decays = false;
  };
  struct step_scale {
    double learning_rate = 0, gradient = 1;
  };

  bool sharded_weights() const { return settings_.zero >= 3; }
  double norm(context& ctx);
  std::vector<double> gather_units(const std::vector<double>& mine);
  void step_range(context& ctx, arena_range range, const float* gradient, int64_t moment, const step_scale& scale,
                  float* weights, reals rounded);
  void step_weights(context& ctx, const float* whole_sums, const step_scale& scale, float* weights, reals rounded);
  void share_weights(reals weights);

  shard_plan_ptr plan_;
  communicator_ptr group_;
  communicator_ptr arenas_;  ///< the same ranks, for what lies at the learner's place
  int rank_, ranks_;
  learner_settings settings_;
  int64_t updates_ = 0;
  std::vector<decay_run> runs_;
  paged_arena first_moment_, second_moment_;
  gradient_sums sums_;  ///< last: what is under way ends before the rest does
};

/// Bytes of a rank beside its weights, without a learner.
struct learner_memory {
  int64_t sum_bytes = 0, moment_bytes = 0;
  int64_t transient_bytes = 0;  ///< while gradients are summed (gradient_sums::memory)
  int64_t arriving_bytes = 0;   ///< from other ranks, in the collectives' own buffers
};

learner_memory learner_memory_of(const shard_plan& plan, int rank, const learner_settings& settings,
                                 int64_t micro_batches);

}  // namespace troupe::engine
