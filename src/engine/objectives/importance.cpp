#include "engine/objectives/importance.hpp"

#include "engine/objectives/checks.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::engine {

importance_settings importance_of(importance_rule rule, double low, double high) {
  if (high > 0) {
    return {rule, low, high};
  }
  switch (rule) {
  case importance_rule::none:
  case importance_rule::truncated:
    return {rule, 0, 2};
  case importance_rule::masked:
    return {rule, 0.5, 5};
  case importance_rule::sequence_mask:
    return {rule, 0, 3};
  case importance_rule::geometric_mask:
    return {rule, 0.999, 1.002};
  }
  return {};
}

namespace {

constexpr double most_log_ratio = 20;

double ratio_of(double log_ratio) { return std::exp(std::clamp(log_ratio, -most_log_ratio, most_log_ratio)); }

/// Of the weights before any bound.
struct sample_size {
  double count = 0, sum = 0, squares = 0;

  void add(double w) {
    ++count;
    sum += w;
    squares += w * w;
  }
  double share() const { return count > 0 ? sum * sum / (count * squares) : 1.0; }
  double chi2() const { return count > 0 ? squares / count - 1 : 0.0; }
};

/// Of one answer, over the tokens that count.
struct answer_ratio {
  double sum = 0;  ///< of d
  int64_t tokens = 0;

  double mean() const { return tokens > 0 ? sum / static_cast<double>(tokens) : 0.0; }
};

class weighing {
public:
  weighing(const importance_settings& settings, const importance_args& args) : settings_(settings), args_(args) {}

  void weigh_all() {
    for (size_t b = 0; b + 1 < args_.offset_B1.size(); ++b) {
      const auto first = static_cast<size_t>(args_.offset_B1[b]);
      const auto last = static_cast<size_t>(args_.offset_B1[b + 1]);
      weigh(b, first, last, ratio_of_answer(first, last));
    }
  }
  std::map<std::string, double> statistics() const;

private:
  bool counts(size_t a) const { return args_.counts_A.empty() || args_.counts_A[a] != 0; }
  double log_ratio(size_t a) const { return static_cast<double>(args_.logprob_now_A[a]) - args_.logprob_old_A[a]; }
  bool within(double w) const { return w >= settings_.low && w <= settings_.high; }
  double mean(double sum) const { return tokens_ > 0 ? sum / static_cast<double>(tokens_) : 0.0; }

  answer_ratio ratio_of_answer(size_t first, size_t last) const {
    answer_ratio answer;
    for (size_t a = first; a < last; ++a) {
      if (counts(a)) {
        answer.sum += log_ratio(a);
        ++answer.tokens;
      }
    }
    return answer;
  }

  double weight_of(double w, const answer_ratio& answer) const {
    switch (settings_.rule) {
    case importance_rule::none:
      return 1;
    case importance_rule::truncated:
      return std::clamp(w, settings_.low, settings_.high);
    case importance_rule::masked:
      return within(w) ? w : 0;
    case importance_rule::sequence_mask:
      return within(ratio_of(answer.sum)) ? ratio_of(answer.sum) : 0;
    case importance_rule::geometric_mask:
      return within(ratio_of(answer.mean())) ? w : 0;
    }
    return 0;
  }

  void add_answer(size_t b, double product) {
    answers_.add(product);
    if (!args_.score_B.empty() && std::isfinite(args_.score_B[b])) {
      scored_ += product;
      scores_ += product * args_.score_B[b];
    }
  }

  void weigh(size_t b, size_t first, size_t last, const answer_ratio& answer) {
    if (answer.tokens > 0) {
      add_answer(b, ratio_of(answer.sum));
    }
    for (size_t a = first; a < last; ++a) {
      if (!counts(a)) {
        args_.weight_A[a] = 0;
        continue;
      }
      const double d = log_ratio(a);
      const double w = ratio_of(d);
      tokens_raw_.add(w);
      const double weight = weight_of(w, answer);
      args_.weight_A[a] = static_cast<float>(weight);
      ++tokens_;
      masked_ += weight == 0 ? 1 : 0;
      weights_ += weight;
      heaviest_ = std::max(heaviest_, weight);
      k1_nats_ -= d;
      k3_nats_ += std::expm1(std::clamp(d, -most_log_ratio, most_log_ratio)) - d;
      farthest_ = std::max(farthest_, std::abs(d));
    }
  }

  const importance_settings& settings_;
  const importance_args& args_;
  sample_size tokens_raw_, answers_;
  double scored_ = 0, scores_ = 0;  ///< products of answers with a score, and these times their scores
  int64_t tokens_ = 0, masked_ = 0;
  double weights_ = 0, heaviest_ = 0, k1_nats_ = 0, k3_nats_ = 0, farthest_ = 0;
};

std::map<std::string, double> weighing::statistics() const {
  const sample_size& raw = settings_.rule == importance_rule::sequence_mask ? answers_ : tokens_raw_;
  std::map<std::string, double> found = {{"ess_share", raw.share()},
                                         {"chi2", raw.chi2()},
                                         {"sequence_ess_share", answers_.share()},
                                         {"weight_mean", tokens_ > 0 ? mean(weights_) : 1.0},
                                         {"weight_max", tokens_ > 0 ? heaviest_ : 1.0},
                                         {"masked_share", mean(static_cast<double>(masked_))},
                                         {"behaviour_kl_nats", mean(k1_nats_)},
                                         {"behaviour_kl_k3_nats", mean(k3_nats_)},
                                         {"log_ratio_max", farthest_}};
  if (scored_ > 0) {
    found["score_estimate"] = scores_ / scored_;
  }
  return found;
}

}  // namespace

std::map<std::string, double> importance_weights(const importance_settings& settings, const importance_args& args) {
  const size_t answers = args.logprob_old_A.size();
  check_offsets(args.offset_B1, answers, "logprob_old_A");
  check_size("weight_A", args.weight_A.size(), "logprob_old_A", answers);
  check_size("logprob_now_A", args.logprob_now_A.size(), "logprob_old_A", answers);
  if (!args.score_B.empty()) {
    check_size("score_B", args.score_B.size(), "the answers", args.offset_B1.size() - 1);
  }
  if (!args.counts_A.empty()) {
    check_size("counts_A", args.counts_A.size(), "logprob_old_A", answers);
  }
  weighing all(settings, args);
  all.weigh_all();
  return all.statistics();
}

}  // namespace troupe::engine
