/// From scores to advantages. Arrays over answer tokens are packed: answer b is [offset_B1[b],
/// offset_B1[b + 1]). Element a speaks of the decision that chose answer token a: its
/// log-probability, the value of the state before it, the reward that it brought. An empty answer
/// is allowed and gets nothing.
#pragma once

#include "engine/objectives/kl.hpp"
#include "engine/objectives/moments.hpp"

#include <cstdint>
#include <span>

namespace troupe::engine {

enum class reward_scaling { none, batch, running };

struct reward_scaling_settings {
  reward_scaling kind = reward_scaling::none;
  bool centre = false;  ///< subtract the mean too
};

/// score = (score - mean) / (std + 1e-8), with the statistics of these scores (`batch`) or of all
/// so far, these included (`running`, whose state `seen` is updated and belongs into the
/// checkpoint). A spread of zero leaves the scale alone. Returns those statistics.
/// Errors  not_finite: a score is NaN or infinite.
moments scale_rewards(const reward_scaling_settings& settings, moments& seen, std::span<float> score_B);

/// The same by statistics of other scores: what scale_rewards has returned for them.
/// Errors  not_finite.
void scale_rewards_by(const reward_scaling_settings& settings, const moments& of, std::span<float> score_B);

struct reward_shaping {
  double kl_coefficient = 0.1;  ///< 0 where the KL is a term of the loss instead
  kl_estimator estimator = kl_estimator::k1;
  double score_clip = 5.0;         ///< to [-clip, clip]; 0: off. DeepSpeed-Chat's value
  double missing_end_penalty = 0;  ///< taken from the clipped score of an unfinished answer
};

struct shape_rewards_args {
  std::span<float> reward_A;
  std::span<const float> logprob_old_A, logprob_ref_A;  ///< may be empty where kl_coefficient is 0
  std::span<const int64_t> offset_B1;
  std::span<const float> score_B;
  std::span<const uint8_t> finished_B;  ///< empty: all finished
};

/// reward_a = - kl_coefficient * k(logprob_old - logprob_ref); the score is added at each last
/// answer token.
/// Errors  shape_mismatch; not_finite.
void shape_rewards(const reward_shaping& settings, const shape_rewards_args& args);

struct gae_settings {
  double gamma = 1.0, lambda = 0.95;  ///< DeepSpeed-Chat's values
};

struct gae_args {
  std::span<float> advantage_A, return_A;  ///< return = advantage + value
  std::span<const float> reward_A, value_A;
  std::span<const int64_t> offset_B1;
};

/// Generalised advantage estimation:
///   delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lambda A_{t+1};  V past the end is 0
/// Errors  shape_mismatch.
/// Source  Schulman et al., arXiv:1506.02438.
void gae(const gae_settings& settings, const gae_args& args);

/// A = (A - mean) / sqrt(variance + 1e-8) where it counts, 0 elsewhere. `of` are the moments of the
/// counted advantages of the whole rollout (moments_of, merged over ranks).
void whiten(const moments& of, std::span<float> advantage_A, std::span<const uint8_t> counts_A = {});

}  // namespace troupe::engine
