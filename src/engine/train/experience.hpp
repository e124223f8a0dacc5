/// From scored sequences to what PPO learns from: rewards, advantages, returns, and the statistics
/// of a rollout.
#pragma once

#include "engine/objectives/importance.hpp"
#include "engine/objectives/ppo.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace troupe::engine {

struct experience_settings {
  reward_scaling_settings scaling;
  reward_shaping shaping;
  gae_settings advantages;
  bool whiten = true;
  int64_t min_answer_tokens = 1;  ///< shorter answers take no part in updates
};

/// One rollout: B sequences by id, A answer tokens end to end. The lower half is filled by
/// finish_experience.
struct rollout_arrays {
  std::vector<int64_t> answer_offset_B1 = {0};
  std::vector<uint8_t> finished_B;
  /// The weighted sum of the reward sources. NaN: it could not be had. Such a sequence takes no part in updates, nor in
  /// what is reckoned over rewards; its rewards, advantages and returns are 0.
  std::vector<float> score_B;
  std::vector<float> logprob_old_A, logprob_ref_A, value_A;

  std::vector<float> reward_A;             ///< shaped
  std::vector<float> advantage_A;          ///< before whitening
  std::vector<float> return_A;             ///< advantage + value
  std::vector<float> learned_advantage_A;  ///< what the policy loss sees: whitened where the job says so
  std::vector<uint8_t> counts_A;           ///< 1: takes part in updates
  moments scaled_by;                       ///< of scores: what these were scaled by

  // Where another policy sampled (objectives/importance.hpp); empty: it was this one.
  std::vector<float> logprob_start_A;  ///< of the policy as its updates begin
  std::vector<float> importance_A;     ///< of each token in the policy's loss

  int64_t sequences() const { return static_cast<int64_t>(finished_B.size()); }
};

/// Scales and clips the scores, shapes the rewards, computes advantages and returns. `seen` are the
/// running moments of the scores. Returns the rollout's statistics by their names in metrics.jsonl:
/// reward/raw_mean, reward/shaped_mean, kl/per_token_nats, kl/per_sequence_nats,
/// answer/length_mean, answer/unfinished_share, reward/unscorable_share, ... Those over rewards are missing where no
/// sequence has one.
/// Errors  not_finite: a score is infinite, or a value or log-probability is not finite; the names say which.
std::map<std::string, double> finish_experience(const experience_settings& settings, moments& seen,
                                                rollout_arrays& rollout);

/// Appends answers that older policies have sampled to a finished rollout, so that updates learn from both. `stored`:
/// their upper half, and logprob_start_A. Their rewards are made as the rollout's, on the scale of its scores, which
/// they do not change. In the policy's loss each of their tokens counts by its importance, the rollout's own by 1
/// exactly, or as they did before; where advantages are whitened it is done over all. Returns what importance_weights
/// says of the appended.
/// Errors  not_finite; shape_mismatch.
std::map<std::string, double> mix_in(const experience_settings& settings, const importance_settings& importance,
                                     rollout_arrays stored, rollout_arrays& rollout);

}  // namespace troupe::engine
