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

/// A token that counts.
void add(const kernels::token_loss& loss, size_t a, float logprob, float entropy, policy_statistics& s) {
  const kernels::token_terms& terms = loss.terms_N[a];
  check_finite(terms.ratio, "ratio", a);
  check_finite(loss.advantage_N[a], "advantage_A", a);
  check_finite(terms.loss, "loss", a);
  const double weight = loss.weight_N[a];
  const double log_ratio = static_cast<double>(logprob) - loss.logprob_old_N[a];
  const policy_settings& settings = loss.policy;
  ++s.tokens;
  s.different += std::bit_cast<uint32_t>(logprob) == std::bit_cast<uint32_t>(loss.logprob_old_N[a]) ? 0 : 1;
  s.loss += weight * terms.loss;
  s.surrogate_loss += weight * terms.surrogate_loss;
  s.entropy_nats += entropy;
  s.clipped += terms.ratio < 1.0 - settings.clip_low || terms.ratio > 1.0 + settings.clip_high ? 1 : 0;
  s.ratio += terms.ratio;
  s.ratio_max = std::max(s.ratio_max, terms.ratio);
  s.k1_nats -= log_ratio;
  s.k3_nats += std::expm1(log_ratio) - log_ratio;
  if (loss.logprob_ref_N != nullptr) {
    s.ref_kl_nats += static_cast<double>(logprob) - loss.logprob_ref_N[a];
  }
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

policy_statistics policy_sums(const kernels::token_loss& loss, std::span<const float> logprob_A,
                              std::span<const float> entropy_A) {
  policy_statistics sums;
  for (size_t a = 0; a < logprob_A.size(); ++a) {
    if (loss.weight_N[a] != 0) {
      add(loss, a, logprob_A[a], entropy_A[a], sums);
    }
  }
  return sums;
}

}  // namespace troupe::engine
