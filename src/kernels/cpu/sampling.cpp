#include "kernels/cpu/sampling.hpp"

#include "base/error.hpp"
#include "kernels/cpu/log_prob.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace troupe::kernels::cpu {
namespace {

/// The tokens in falling order of their logits, ties by id, sorted only as far as anyone looks: a
/// draw rarely gets past the first few dozen of a vocabulary of fifty thousand.
class falling_order {
public:
  falling_order(std::span<const float> scaled_logits_V, const softmax_statistics& s, std::vector<uint64_t>& order)
      : logits_(scaled_logits_V), statistics_(s), order_(order) {
    order_.clear();
  }

  /// Whether there is a token of rank `rank`.
  bool reaches(size_t rank) {
    while (sorted_ <= rank) {
      if (!sort_more()) {
        return false;
      }
    }
    return true;
  }

  int32_t token(size_t rank) const { return static_cast<int32_t>(order_[rank] & 0xffffffffU); }

  double probability(size_t rank) const {
    return std::exp(static_cast<double>(log_prob_of(logits_.data(), statistics_, token(rank))));
  }

private:
  /// Rises as the logit falls, then with the id: whole numbers are sorted far sooner than ids by what they stand for.
  static uint64_t key_of(float logit, size_t id) {
    constexpr uint32_t sign = 0x80000000U;
    const auto bits = std::bit_cast<uint32_t>(logit + 0.0F);  // -0 becomes 0, which it ties with
    const uint32_t rising = (bits & sign) != 0 ? ~bits : bits | sign;
    return static_cast<uint64_t>(~rising) << 32 | id;
  }

  bool sort_more() {
    while (sorted_ == order_.size()) {
      if (order_.size() == logits_.size()) {
        return false;
      }
      collect_band();
    }
    const size_t piece = std::min(order_.size() - sorted_, std::max<size_t>(64, 3 * sorted_));
    const auto begin = order_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    const auto end = begin + static_cast<std::ptrdiff_t>(piece);
    if (end != order_.end()) {
      std::nth_element(begin, end, order_.end());
    }
    std::sort(begin, end);
    sorted_ += piece;
    return true;
  }

  /// Appends the tokens of the next band of logits below those collected: 4 nats under the maximum,
  /// then to 8, 16, ... and finally all.
  void collect_band() {
    const float ceiling = floor_;
    const bool last = depth_ > 1e4F;
    floor_ = last ? -std::numeric_limits<float>::infinity() : statistics_.maximum - depth_;
    depth_ *= 2;
    for (size_t v = 0; v < logits_.size(); ++v) {
      if (logits_[v] >= floor_ && logits_[v] < ceiling) {
        order_.push_back(key_of(logits_[v], v));
      }
    }
  }

  std::span<const float> logits_;
  softmax_statistics statistics_;
  std::vector<uint64_t>& order_;  ///< keys
  size_t sorted_ = 0;
  float floor_ = std::numeric_limits<float>::infinity();
  float depth_ = 4.0F;
};

/// The first ranks that the filters keep, and their probability in all.
struct kept_tokens {
  size_t count = 0;
  double mass = 0;
};

/// Each filter keeps a prefix of the falling order. top-p counts in what top-k has left.
kept_tokens apply_filters(falling_order& order, const sampling_settings& s, size_t vocabulary) {
  const size_t most = s.top_k > 0 ? std::min(static_cast<size_t>(s.top_k), vocabulary) : vocabulary;
  double mass = 1;
  if (s.top_k > 0) {
    mass = 0;
    for (size_t rank = 0; rank < most && order.reaches(rank); ++rank) {
      mass += order.probability(rank);
    }
  }
  const double enough = s.top_p < 1 ? s.top_p * mass : std::numeric_limits<double>::infinity();
  double least = 0;
  kept_tokens kept;
  while (kept.count < most && kept.mass < enough && order.reaches(kept.count)) {
    const double p = order.probability(kept.count);
    if (kept.count == 0) {
      least = s.min_p * p;
    } else if (p < least) {
      break;
    }
    kept.mass += p;
    ++kept.count;
  }
  return kept;
}

int32_t draw(falling_order& order, const sampling_settings& s, size_t vocabulary, double uniform) {
  const bool filtered = s.top_k > 0 || s.top_p < 1 || s.min_p > 0;
  const kept_tokens kept = filtered ? apply_filters(order, s, vocabulary) : kept_tokens{vocabulary, 1.0};
  double below = 0;
  int32_t chosen = -1;
  for (size_t rank = 0; rank < kept.count && order.reaches(rank); ++rank) {
    const double p = order.probability(rank);
    if (p == 0 && chosen >= 0) {
      break;  // rounding has left the sum of all below the number: the last possible token
    }
    chosen = order.token(rank);
    below += p;
    if (below > uniform * kept.mass) {
      break;
    }
  }
  return chosen;
}

/// A copy in which a positive logit of a seen token is divided and a negative one multiplied by the
/// penalty.
void penalise(std::span<const float> logits_V, std::span<const int32_t> context, float penalty,
              sampling_scratch& scratch) {
  scratch.logits.assign(logits_V.begin(), logits_V.end());
  std::vector<int32_t>& seen = scratch.seen;
  seen.assign(context.begin(), context.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const int32_t id : seen) {
    float& logit = scratch.logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void check_finite(const softmax_statistics& s) {
  if (!std::isfinite(s.maximum) || !std::isfinite(s.log_sum)) {
    throw error(errc::not_finite, "sampling: the logits are not finite (maximum {}, log of the sum {})", s.maximum,
                s.log_sum);
  }
}

}  // namespace

sampled_token sample_token(std::span<float> logits_V, const sampling_settings& settings,
                           std::span<const int32_t> context, double uniform, sampling_scratch& scratch) {
  const auto vocabulary = static_cast<int64_t>(logits_V.size());
  const bool greedy = settings.temperature == 0;
  const float temperature = greedy ? 1.0F : settings.temperature;
  std::span<float> chosen_from = logits_V;
  const bool penalised = settings.repetition_penalty != 1.0F && !context.empty();
  if (penalised) {
    penalise(logits_V, context, settings.repetition_penalty, scratch);
    chosen_from = scratch.logits;
  }
  const softmax_statistics plain = log_softmax_row(logits_V.data(), vocabulary, temperature);
  check_finite(plain);
  softmax_statistics s = plain;
  if (penalised) {
    s = log_softmax_row(chosen_from.data(), vocabulary, temperature);
    check_finite(s);
  }
  int32_t token = 0;
  if (greedy) {
    const auto best = std::find(chosen_from.begin(), chosen_from.end(), s.maximum);
    token = static_cast<int32_t>(best - chosen_from.begin());
  } else {
    falling_order order(chosen_from, s, scratch.order);
    token = draw(order, settings, logits_V.size(), uniform);
  }
  return {token, log_prob_of(logits_V.data(), plain, token)};
}

}  // namespace troupe::kernels::cpu
