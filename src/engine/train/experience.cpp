#include "engine/train/experience.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace troupe::engine {

namespace {

void require_finite(std::span<const float> values, const char* what) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw error(errc::not_finite, "{} {} of the rollout is {}", what, i, values[i]);
    }
  }
}

/// A score may be missing (NaN).
void require_scores(std::span<const float> score_B) {
  for (size_t b = 0; b < score_B.size(); ++b) {
    if (std::isinf(score_B[b])) {
      throw error(errc::not_finite, "the reward of sequence {} of the rollout is {}", b, score_B[b]);
    }
  }
}

/// Which sequences have a score.
std::vector<uint8_t> scored_sequences(std::span<const float> score_B) {
  std::vector<uint8_t> scored;
  for (const float score : score_B) {
    scored.push_back(std::isnan(score) ? 0 : 1);
  }
  return scored;
}

/// The scores that there are, which `scale` scales together; 0 where there is none.
template <class Scale> std::vector<float> scaled(std::span<const float> score_B, const Scale& scale) {
  std::vector<float> present;
  std::copy_if(score_B.begin(), score_B.end(), std::back_inserter(present),
               [](float score) { return !std::isnan(score); });
  scale(present);
  std::vector<float> out;
  size_t next = 0;
  for (const float score : score_B) {
    out.push_back(std::isnan(score) ? 0.0F : present[next++]);
  }
  return out;
}

/// Nothing is known of the answers without a score.
void clear_unscored(std::span<const uint8_t> scored_B, rollout_arrays& rollout) {
  const auto& offset = rollout.answer_offset_B1;
  for (size_t b = 0; b + 1 < offset.size(); ++b) {
    if (scored_B[b] == 0) {
      for (std::vector<float>* values : {&rollout.reward_A, &rollout.advantage_A, &rollout.return_A}) {
        std::fill(values->begin() + offset[b], values->begin() + offset[b + 1], 0.0F);
      }
    }
  }
}

/// Which answer tokens learn: those of answers that are long enough and have a score.
std::vector<uint8_t> counted_tokens(const rollout_arrays& rollout, std::span<const uint8_t> scored_B,
                                    int64_t min_answer_tokens) {
  std::vector<uint8_t> counts(rollout.logprob_old_A.size(), 0);
  const auto& offset = rollout.answer_offset_B1;
  for (size_t b = 0; b + 1 < offset.size(); ++b) {
    if (scored_B[b] != 0 && offset[b + 1] - offset[b] >= min_answer_tokens) {
      std::fill(counts.begin() + offset[b], counts.begin() + offset[b + 1], uint8_t{1});
    }
  }
  return counts;
}

void require_numbers(const rollout_arrays& rollout) {
  require_scores(rollout.score_B);
  require_finite(rollout.value_A, "the value of answer token");
  require_finite(rollout.logprob_old_A, "the log-probability of answer token");
  require_finite(rollout.logprob_ref_A, "the reference log-probability of answer token");
}

/// From scaled scores to advantages and returns, and which tokens count.
void estimate(const experience_settings& settings, std::span<const float> scaled_B, rollout_arrays& rollout) {
  const size_t tokens = rollout.logprob_old_A.size();
  rollout.reward_A.assign(tokens, 0.0F);
  rollout.advantage_A.assign(tokens, 0.0F);
  rollout.return_A.assign(tokens, 0.0F);
  shape_rewards(settings.shaping, {.reward_A = rollout.reward_A,
                                   .logprob_old_A = rollout.logprob_old_A,
                                   .logprob_ref_A = rollout.logprob_ref_A,
                                   .offset_B1 = rollout.answer_offset_B1,
                                   .score_B = scaled_B,
                                   .finished_B = rollout.finished_B});
  gae(settings.advantages, {.advantage_A = rollout.advantage_A,
                            .return_A = rollout.return_A,
                            .reward_A = rollout.reward_A,
                            .value_A = rollout.value_A,
                            .offset_B1 = rollout.answer_offset_B1});
  const std::vector<uint8_t> scored_B = scored_sequences(rollout.score_B);
  clear_unscored(scored_B, rollout);
  rollout.counts_A = counted_tokens(rollout, scored_B, settings.min_answer_tokens);
}

/// Returns the moments of the advantages before they were whitened.
moments set_learned_advantages(const experience_settings& settings, rollout_arrays& rollout) {
  rollout.learned_advantage_A = rollout.advantage_A;
  const moments advantages = moments_of(rollout.advantage_A, rollout.counts_A);
  if (settings.whiten) {
    whiten(advantages, rollout.learned_advantage_A, rollout.counts_A);
  }
  return advantages;
}

/// All but the learned advantages, which are made of both together.
void append(const rollout_arrays& from, rollout_arrays& to) {
  if (to.logprob_start_A.empty()) {
    to.logprob_start_A = to.logprob_old_A;
  }
  to.importance_A.resize(to.logprob_old_A.size(), 1.0F);
  const int64_t before = to.answer_offset_B1.back();
  for (size_t b = 1; b < from.answer_offset_B1.size(); ++b) {
    to.answer_offset_B1.push_back(before + from.answer_offset_B1[b]);
  }
  const auto add = [&](auto rollout_arrays::*values) {
    (to.*values).insert((to.*values).end(), (from.*values).begin(), (from.*values).end());
  };
  for (auto values : {&rollout_arrays::score_B, &rollout_arrays::logprob_old_A, &rollout_arrays::logprob_ref_A,
                      &rollout_arrays::value_A, &rollout_arrays::reward_A, &rollout_arrays::advantage_A,
                      &rollout_arrays::return_A, &rollout_arrays::logprob_start_A, &rollout_arrays::importance_A}) {
    add(values);
  }
  add(&rollout_arrays::finished_B);
  add(&rollout_arrays::counts_A);
}

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

/// `raw`: of the scores that there are.
void add_reward_statistics(const rollout_arrays& rollout, const moments& raw, std::map<std::string, double>& out) {
  double shaped = 0;
  for (const float reward : rollout.reward_A) {
    shaped += static_cast<double>(reward);
  }
  out["reward/raw_mean"] = raw.mean;
  out["reward/raw_std"] = std::sqrt(raw.variance());
  out["reward/shaped_mean"] = shaped / static_cast<double>(std::max<int64_t>(1, raw.count));
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
  require_numbers(rollout);
  std::map<std::string, double> out;
  const moments raw = moments_of(rollout.score_B, scored_sequences(rollout.score_B));
  out["reward/unscorable_share"] = share(rollout.sequences() - raw.count, rollout.sequences());

  const std::vector<float> score_B = scaled(rollout.score_B, [&](std::span<float> present) {
    rollout.scaled_by = scale_rewards(settings.scaling, seen, present);
  });
  estimate(settings, score_B, rollout);
  const moments advantages = set_learned_advantages(settings, rollout);
  if (raw.count > 0 || rollout.sequences() == 0) {
    add_reward_statistics(rollout, raw, out);
  }
  out["advantage/mean"] = advantages.mean;
  out["advantage/std"] = std::sqrt(advantages.variance());
  out["return/mean"] = moments_of(rollout.return_A, rollout.counts_A).mean;
  add_kl_statistics(rollout, out);
  add_length_statistics(rollout, settings.min_answer_tokens, out);
  return out;
}

std::map<std::string, double> mix_in(const experience_settings& settings, const importance_settings& importance,
                                     rollout_arrays stored, rollout_arrays& rollout) {
  require_numbers(stored);
  require_finite(stored.logprob_start_A, "the policy's log-probability of answer token");
  const std::vector<float> score_B = scaled(stored.score_B, [&](std::span<float> present) {
    scale_rewards_by(settings.scaling, rollout.scaled_by, present);
  });
  estimate(settings, score_B, stored);
  stored.importance_A.assign(stored.logprob_old_A.size(), 0.0F);
  auto found = importance_weights(importance, {.weight_A = stored.importance_A,
                                               .logprob_now_A = stored.logprob_start_A,
                                               .logprob_old_A = stored.logprob_old_A,
                                               .offset_B1 = stored.answer_offset_B1,
                                               .counts_A = stored.counts_A});
  append(stored, rollout);
  set_learned_advantages(settings, rollout);
  return found;
}

}  // namespace troupe::engine
