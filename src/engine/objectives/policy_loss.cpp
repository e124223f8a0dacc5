#include "engine/objectives/policy_loss.hpp"

#include "engine/objectives/checks.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace troupe::engine {

namespace {

int64_t counted(std::span<const int64_t> offset_B1, std::span<const uint8_t> counts_A, size_t b) {
  if (counts_A.empty()) {
    return offset_B1[b + 1] - offset_B1[b];
  }
  const auto count = [](uint8_t c) { return c != 0; };
  return std::count_if(counts_A.begin() + offset_B1[b], counts_A.begin() + offset_B1[b + 1], count);
}

size_t checked_answers(std::span<const int64_t> offset_B1, std::span<const uint8_t> counts_A) {
  const auto answers = offset_B1.empty() ? 0 : static_cast<size_t>(offset_B1.back());
  check_offsets(offset_B1, answers, "the answers");
  if (!counts_A.empty()) {
    check_size("counts_A", counts_A.size(), "the answers", answers);
  }
  return answers;
}

void check_arguments(const policy_settings& settings, const policy_loss_args& args) {
  const size_t answers = args.logprob_A.size();
  check_size("dlogprob_A", args.dlogprob_A.size(), "logprob_A", answers);
  check_size("dentropy_A", args.dentropy_A.size(), "logprob_A", answers);
  check_size("entropy_A", args.entropy_A.size(), "logprob_A", answers);
  check_size("logprob_old_A", args.logprob_old_A.size(), "logprob_A", answers);
  check_size("advantage_A", args.advantage_A.size(), "logprob_A", answers);
  check_size("weight_A", args.weight_A.size(), "logprob_A", answers);
  if (settings.kl_coefficient != 0 || !args.logprob_ref_A.empty()) {
    check_size("logprob_ref_A", args.logprob_ref_A.size(), "logprob_A", answers);
  }
}

/// The clipped surrogate of one token and its derivative by the log-probability.
struct surrogate {
  double loss = 0, slope = 0;
};

surrogate clipped_surrogate(const policy_settings& settings, double ratio, double advantage) {
  const double clipped = std::clamp(ratio, 1.0 - settings.clip_low, 1.0 + settings.clip_high);
  const double plain_loss = -advantage * ratio;
  const double clipped_loss = -advantage * clipped;
  // Where clipping decides, the ratio is outside of the range and the loss does not depend on it.
  return plain_loss >= clipped_loss ? surrogate{plain_loss, plain_loss} : surrogate{clipped_loss, 0.0};
}

void count_ratio(const policy_settings& settings, double log_ratio, double ratio, policy_statistics& s) {
  s.clipped += ratio < 1.0 - settings.clip_low || ratio > 1.0 + settings.clip_high ? 1 : 0;
  s.ratio += ratio;
  s.ratio_max = std::max(s.ratio_max, ratio);
  s.k1_nats -= log_ratio;
  s.k3_nats += std::expm1(log_ratio) - log_ratio;
}

void token_loss(const policy_settings& settings, const policy_loss_args& args, size_t a, policy_statistics& s) {
  const double weight = args.weight_A[a];
  const double log_ratio = static_cast<double>(args.logprob_A[a]) - args.logprob_old_A[a];
  const double ratio = std::exp(log_ratio);
  check_finite(ratio, "ratio", a);
  check_finite(args.advantage_A[a], "advantage_A", a);
  const surrogate first = clipped_surrogate(settings, ratio, args.advantage_A[a]);
  double slope = first.slope;
  double loss = first.loss - settings.entropy_coefficient * args.entropy_A[a];
  if (!args.logprob_ref_A.empty()) {
    const double x = static_cast<double>(args.logprob_A[a]) - args.logprob_ref_A[a];
    s.ref_kl_nats += x;
    const double weight_of_kl = settings.kl_coefficient * ratio;
    loss += weight_of_kl * kl_estimate(settings.estimator, x);
    slope += weight_of_kl * kl_gradient(settings.estimator, x);
  }
  check_finite(loss, "loss", a);
  args.dlogprob_A[a] = static_cast<float>(weight * slope);
  args.dentropy_A[a] = static_cast<float>(-weight * settings.entropy_coefficient);
  ++s.tokens;
  s.different += std::bit_cast<uint32_t>(args.logprob_A[a]) == std::bit_cast<uint32_t>(args.logprob_old_A[a]) ? 0 : 1;
  s.loss += weight * loss;
  s.surrogate_loss += weight * first.loss;
  s.entropy_nats += args.entropy_A[a];
  count_ratio(settings, log_ratio, ratio, s);
}

}  // namespace

answer_counts count_answers(std::span<const int64_t> offset_B1, std::span<const uint8_t> counts_A) {
  checked_answers(offset_B1, counts_A);
  answer_counts counts;
  for (size_t b = 0; b + 1 < offset_B1.size(); ++b) {
    const int64_t tokens = counted(offset_B1, counts_A, b);
    counts.tokens += static_cast<double>(tokens);
    counts.sequences += tokens > 0 ? 1 : 0;
  }
  return counts;
}

/// By what each token of an answer is divided.
static double divisor(loss_mean mean, const answer_counts& global, int64_t answer_tokens) {
  switch (mean) {
  case loss_mean::token:
    return global.tokens;
  case loss_mean::sequence:
    return global.sequences * static_cast<double>(answer_tokens);
  }
  return 0;
}

std::vector<double> answer_weights(loss_mean mean, const answer_counts& global, std::span<const int64_t> offset_B1,
                                   std::span<const uint8_t> counts_A) {
  std::vector<double> weight_A(checked_answers(offset_B1, counts_A), 0.0);
  for (size_t b = 0; b + 1 < offset_B1.size(); ++b) {
    const int64_t tokens = counted(offset_B1, counts_A, b);
    if (tokens == 0) {
      continue;
    }
    const double total = divisor(mean, global, tokens);
    if (!(total > 0)) {
      throw error(errc::bad_argument,
                  "answer {} has {} tokens to weigh, but the update's counts are {} tokens, {} "
                  "sequences: count them over all micro-batches",
                  b, tokens, global.tokens, global.sequences);
    }
    for (auto a = static_cast<size_t>(offset_B1[b]); a < static_cast<size_t>(offset_B1[b + 1]); ++a) {
      weight_A[a] = counts_A.empty() || counts_A[a] != 0 ? 1.0 / total : 0.0;
    }
  }
  return weight_A;
}

void policy_statistics::add(const policy_statistics& other) {
  tokens += other.tokens;
  clipped += other.clipped;
  different += other.different;
  loss += other.loss;
  surrogate_loss += other.surrogate_loss;
  ratio += other.ratio;
  ratio_max = std::max(ratio_max, other.ratio_max);
  k1_nats += other.k1_nats;
  k3_nats += other.k3_nats;
  ref_kl_nats += other.ref_kl_nats;
  entropy_nats += other.entropy_nats;
}

void policy_loss(const policy_settings& settings, const policy_loss_args& args, policy_statistics& statistics) {
  check_arguments(settings, args);
  for (size_t a = 0; a < args.logprob_A.size(); ++a) {
    if (args.weight_A[a] == 0) {
      args.dlogprob_A[a] = 0;
      args.dentropy_A[a] = 0;
      continue;
    }
    token_loss(settings, args, a, statistics);
  }
}

}  // namespace troupe::engine
