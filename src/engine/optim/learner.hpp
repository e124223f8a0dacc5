/// An optimizer's arenas and its update: gradients in lanes, moments, clipping, AdamW with decay
/// groups.
///
/// Lanes   Micro-batch j of an update is summed in lane j % S, each lane in the order of j; the
/// lanes are then joined
///         by a fixed binary tree ((0+1)+(2+3))+... So the sums do not depend on how lanes are
///         dealt to ranks. One rank visits the micro-batches lane by lane (`order`), which needs 1
///         + log2(S) gradient arenas, not S.
/// Use     for (int64_t j : learner.order(n)) { train(batch[j], learner.gradients(ctx, j)); }
///         learner.update(ctx, weights, rate);
#pragma once

#include "engine/models/parameters.hpp"
#include "kernels/base/aligned.hpp"
#include "kernels/base/context.hpp"

#include <cstdint>
#include <vector>

namespace troupe::engine {

struct adamw_settings {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0;  ///< on parameters with `decays`; the rest have none
  double clip_norm = 1.0;   ///< g *= min(1, clip / (norm + 1e-6)); 0: off
};

struct update_report {
  int64_t update = 0;        ///< 1 for the first
  double gradient_norm = 0;  ///< before clipping
  double learning_rate = 0;
};

class learner {
public:
  /// Errors  bad_argument: lanes is not a power of two, or a setting is out of range.
  learner(const parameter_layout& layout, const adamw_settings& settings, int64_t lanes = 1);

  /// The order in which to compute n micro-batches.
  std::vector<int64_t> order(int64_t n) const;

  /// The arena onto which to accumulate micro-batch j's gradient. Called in `order`; what was
  /// accumulated since the last update stays.   Errors  bad_argument: a lane that was already left.
  float* gradients(context& ctx, int64_t micro_batch);

  /// Joins the lanes: the update's gradient (zeros where there was no micro-batch). The optimizer
  /// may reduce it over ranks before `update`.
  float* joined(context& ctx);

  /// Clips, steps and zeroes the gradients.
  /// Errors  not_finite: the gradient norm is NaN or infinite; weights, moments and count are then
  /// as before and
  ///         the gradients dropped.
  update_report update(context& ctx, float* weights, double learning_rate);

  /// Drops what has been accumulated.
  void discard();

  // For checkpoints.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  aligned_buffer<float>& first_moment() { return first_moment_; }
  aligned_buffer<float>& second_moment() { return second_moment_; }

  /// Bytes of all arenas that an update with `micro_batches` micro-batches will hold.
  int64_t bytes(int64_t micro_batches) const;

private:
  struct lane_sum {
    int64_t level = 0;   ///< sum of 2^level lanes
    int64_t arena = -1;  ///< in arenas_; -1: no micro-batch, that is zero
  };
  void enter_lane(context& ctx, int64_t lane);
  void close_lane(context& ctx);
  lane_sum join(context& ctx, const lane_sum& left, const lane_sum& right);
  int64_t take_arena();
  void step_groups(context& ctx, float* weights, double learning_rate, double scale);

  struct decay_run {  ///< floats [first, first + count) of the arena share a decay
    int64_t first = 0, count = 0;
    bool decays = false;
  };
  std::vector<decay_run> runs_;
  adamw_settings settings_;
  int64_t lanes_ = 1, arena_size_ = 0, updates_ = 0;
  int64_t lane_ = -1;  ///< being summed; -1: none since the last update
  std::vector<aligned_buffer<float>> arenas_;
  std::vector<int64_t> free_arenas_;
  std::vector<lane_sum> sums_;  ///< of the closed lanes, the largest first; the last is the open lane's
  aligned_buffer<float> first_moment_, second_moment_;
};

}  // namespace troupe::engine
