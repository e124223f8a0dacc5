#include "engine/train/experience.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::engine {

namespace {

void require_finite(std::span<const float> values, const char* what) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw error(errc::not_finite, "{} {} of the rollout is {}", what, i, values[i]);
    }
  }
}

/// Which answer tokens learn: those of answers that are long enough.
std::vector<uint8_t> counted_tokens(const rollout_arrays& rollout, int64_t min_answer_tokens) {
  std::vector<uint8_t> counts(rollout.logprob_old_A.size(), 0);
  const auto& offset = rollout.answer_offset_B1;
  for (size_t b = 0; b + 1 < offset.size(); ++b) {
    if (offset[b + 1] - offset[b] >= min_answer_tokens) {
      std::fill(counts.begin() + offset[b], counts.begin() + offset[b + 1], uint8_t{1});
    }
  }
  return counts;
}

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

void add_kl_statistics(const rollout_arrays& rollout, std::map<std::string, double>& out) {
  double k1 = 0;
  double k2 = 0;
  double k3 = 0;
  for (size_t a = 0; a < rollout.logprob_ref_A.size(); ++a) {
    const double x = static_cast<double>(rollout.logprob_old_A[a]) - static_cast<double>(rollout.logprob_ref_A[a]);
    k1 += kl_estimate(kl_estimator::k1, x);
    k2 += kl_estimate(kl_estimator::k2, x);
    k3 += kl_estimate(kl_estimator::k3, x);
  }
  const auto tokens = static_cast<double>(std::max<size_t>(1, rollout.logprob_ref_A.size()));
  out["kl/per_token_nats"] = k1 / tokens;
  out["kl/per_sequence_nats"] = k1 / static_cast<double>(std::max<int64_t>(1, rollout.sequences()));
  out["kl/k2_per_token_nats"] = k2 / tokens;
  out["kl/k3_per_token_nats"] = k3 / tokens;
}

void add_length_statistics(const rollout_arrays& rollout, int64_t min_answer_tokens,
                           std::map<std::string, double>& out) {
  const auto& offset = rollout.answer_offset_B1;
  int64_t longest = 0;
  int64_t too_short = 0;
  int64_t unfinished = 0;
  for (size_t b = 0; b + 1 < offset.size(); ++b) {
    const int64_t length = offset[b + 1] - offset[b];
    longest = std::max(longest, length);
    too_short += length < min_answer_tokens ? 1 : 0;
    unfinished += rollout.finished_B[b] == 0 ? 1 : 0;
  }
  out["answer/length_mean"] = share(offset.back(), rollout.sequences());
  out["answer/length_max"] = static_cast<double>(longest);
  out["answer/unfinished_share"] = share(unfinished, rollout.sequences());
  out["answer/too_short_share"] = share(too_short, rollout.sequences());
}

}  // namespace

std::map<std::string, double> finish_experience(const experience_settings& settings, moments& seen,
                                                rollout_arrays& rollout) {
  require_finite(rollout.score_B, "the reward of sequence");
  require_finite(rollout.value_A, "the value of answer token");
  require_finite(rollout.logprob_old_A, "the log-probability of answer token");
  require_finite(rollout.logprob_ref_A, "the reference log-probability of answer token");

  std::map<std::string, double> out;
  const moments raw = moments_of(rollout.score_B);
  out["reward/raw_mean"] = raw.mean;
  out["reward/raw_std"] = std::sqrt(raw.variance());

  std::vector<float> score_B = rollout.score_B;
  scale_rewards(settings.scaling, seen, score_B);
  const size_t tokens = rollout.logprob_old_A.size();
  rollout.reward_A.assign(tokens, 0.0F);
  rollout.advantage_A.assign(tokens, 0.0F);
  rollout.return_A.assign(tokens, 0.0F);
  shape_rewards(settings.shaping, {.reward_A = rollout.reward_A,
                                   .logprob_old_A = rollout.logprob_old_A,
                                   .logprob_ref_A = rollout.logprob_ref_A,
                                   .offset_B1 = rollout.answer_offset_B1,
                                   .score_B = score_B,
                                   .finished_B = rollout.finished_B});
  gae(settings.advantages, {.advantage_A = rollout.advantage_A,
                            .return_A = rollout.return_A,
                            .reward_A = rollout.reward_A,
                            .value_A = rollout.value_A,
                            .offset_B1 = rollout.answer_offset_B1});

  rollout.counts_A = counted_tokens(rollout, settings.min_answer_tokens);
  rollout.learned_advantage_A = rollout.advantage_A;
  const moments advantages = moments_of(rollout.advantage_A, rollout.counts_A);
  if (settings.whiten) {
    whiten(advantages, rollout.learned_advantage_A, rollout.counts_A);
  }

  double shaped = 0;
  for (const float reward : rollout.reward_A) {
    shaped += static_cast<double>(reward);
  }
  out["reward/shaped_mean"] = shaped / static_cast<double>(std::max<int64_t>(1, rollout.sequences()));
  out["advantage/mean"] = advantages.mean;
  out["advantage/std"] = std::sqrt(advantages.variance());
  out["return/mean"] = moments_of(rollout.return_A, rollout.counts_A).mean;
  add_kl_statistics(rollout, out);
  add_length_statistics(rollout, settings.min_answer_tokens, out);
  return out;
}

}  // namespace troupe::engine
