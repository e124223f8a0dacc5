#include "engine/objectives/rewards.hpp"

#include "engine/objectives/checks.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::engine {

static void check_scores(std::span<const float> score_B) {
  for (size_t b = 0; b < score_B.size(); ++b) {
    check_finite(score_B[b], "score_B", b);
  }
}

moments scale_rewards(const reward_scaling_settings& settings, moments& seen, std::span<float> score_B) {
  moments of;
  switch (settings.kind) {
  case reward_scaling::none:
    break;
  case reward_scaling::batch:
    of = moments_of(score_B);
    break;
  case reward_scaling::running:
    check_scores(score_B);  // before they are part of a state that stays
    seen.merge(moments_of(score_B));
    of = seen;
    break;
  }
  scale_rewards_by(settings, of, score_B);
  return of;
}

void scale_rewards_by(const reward_scaling_settings& settings, const moments& of, std::span<float> score_B) {
  check_scores(score_B);
  if (settings.kind == reward_scaling::none) {
    return;
  }
  const double spread = std::sqrt(of.variance());
  const double scale = spread > 0 ? 1.0 / (spread + 1e-8) : 1.0;
  const double centre = settings.centre ? of.mean : 0.0;
  for (float& score : score_B) {
    score = static_cast<float>((score - centre) * scale);
  }
}

namespace {

void check_arguments(const reward_shaping& settings, const shape_rewards_args& args) {
  check_offsets(args.offset_B1, args.reward_A.size(), "reward_A");
  check_size("score_B", args.score_B.size(), "the batch's answers", args.offset_B1.size() - 1);
  if (!args.finished_B.empty()) {
    check_size("finished_B", args.finished_B.size(), "score_B", args.score_B.size());
  }
  if (settings.kl_coefficient != 0) {
    check_size("logprob_old_A", args.logprob_old_A.size(), "reward_A", args.reward_A.size());
    check_size("logprob_ref_A", args.logprob_ref_A.size(), "reward_A", args.reward_A.size());
  }
}

}  // namespace

void shape_rewards(const reward_shaping& settings, const shape_rewards_args& args) {
  check_arguments(settings, args);
  for (size_t b = 0; b < args.score_B.size(); ++b) {
    const auto first = static_cast<size_t>(args.offset_B1[b]);
    const auto last = static_cast<size_t>(args.offset_B1[b + 1]);
    check_finite(args.score_B[b], "score_B", b);
    double score = args.score_B[b];
    if (settings.score_clip > 0) {
      score = std::clamp(score, -settings.score_clip, settings.score_clip);
    }
    if (!args.finished_B.empty() && args.finished_B[b] == 0) {
      score -= settings.missing_end_penalty;
    }
    for (size_t a = first; a < last; ++a) {
      double reward = a + 1 == last ? score : 0.0;
      if (settings.kl_coefficient != 0) {
        const double log_ratio = static_cast<double>(args.logprob_old_A[a]) - args.logprob_ref_A[a];
        reward -= settings.kl_coefficient * kl_estimate(settings.estimator, log_ratio);
      }
      check_finite(reward, "reward_A", a);
      args.reward_A[a] = static_cast<float>(reward);
    }
  }
}

void gae(const gae_settings& settings, const gae_args& args) {
  const size_t answers = args.reward_A.size();
  check_offsets(args.offset_B1, answers, "reward_A");
  check_size("value_A", args.value_A.size(), "reward_A", answers);
  check_size("advantage_A", args.advantage_A.size(), "reward_A", answers);
  check_size("return_A", args.return_A.size(), "reward_A", answers);
  for (size_t b = 0; b + 1 < args.offset_B1.size(); ++b) {
    double next_value = 0;
    double next_advantage = 0;
    for (int64_t i = args.offset_B1[b + 1] - 1; i >= args.offset_B1[b]; --i) {
      const auto a = static_cast<size_t>(i);
      const double delta = args.reward_A[a] + settings.gamma * next_value - args.value_A[a];
      next_advantage = delta + settings.gamma * settings.lambda * next_advantage;
      next_value = args.value_A[a];
      args.advantage_A[a] = static_cast<float>(next_advantage);
      args.return_A[a] = static_cast<float>(next_advantage + next_value);
    }
  }
}

void whiten(const moments& of, std::span<float> advantage_A, std::span<const uint8_t> counts_A) {
  if (!counts_A.empty()) {
    check_size("counts_A", counts_A.size(), "advantage_A", advantage_A.size());
  }
  const double scale = 1.0 / std::sqrt(of.variance() + 1e-8);
  for (size_t a = 0; a < advantage_A.size(); ++a) {
    const bool counts = counts_A.empty() || counts_A[a] != 0;
    advantage_A[a] = counts ? static_cast<float>((advantage_A[a] - of.mean) * scale) : 0.0F;
  }
}

}  // namespace troupe::engine
