#include "engine/objectives/pairwise.hpp"

#include "engine/objectives/checks.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::engine {

namespace {

/// log(1 + exp(-x)) = -log sigmoid(x), without overflow.
double minus_log_sigmoid(double x) { return x > 0 ? std::log1p(std::exp(-x)) : -x + std::log1p(std::exp(x)); }

/// d/dx of minus_log_sigmoid: -sigmoid(-x).
double minus_log_sigmoid_slope(double x) {
  return x > 0 ? -std::exp(-x) / (1.0 + std::exp(-x)) : -1.0 / (1.0 + std::exp(x));
}

/// One sequence of a pair: rows [first, first + rows) of the batch, `end` of them before the pads.
struct side {
  int64_t first = 0, rows = 0, end = 0;

  /// Where index t is scored: past the last row, at that row.
  size_t row(int64_t t) const { return static_cast<size_t>(first + std::min(t, rows - 1)); }
};

struct pair_of_sides {
  side chosen, rejected;
};

side side_of(const pair_loss_args& args, size_t sequence) {
  side s;
  s.first = args.offset_B1[sequence];
  s.rows = args.offset_B1[sequence + 1] - s.first;
  s.end = args.end_B.empty() ? s.rows : args.end_B[sequence];
  if (s.end < 1 || s.end > s.rows) {
    throw error(errc::bad_argument,
                "sequence {} of the pairs has {} tokens, {} of them before its end: at least one "
                "token is needed to score it",
                sequence, s.rows, s.end);
  }
  return s;
}

void check_arguments(const pair_loss_args& args, pair_loss kind) {
  check_offsets(args.offset_B1, args.score_N.size(), "score_N");
  const size_t sequences = args.offset_B1.size() - 1;
  if (sequences % 2 != 0) {
    throw error(errc::bad_argument, "{} sequences are not pairs of chosen and rejected", sequences);
  }
  if (!args.end_B.empty()) {
    check_size("end_B", args.end_B.size(), "the batch's sequences", sequences);
  }
  if (kind == pair_loss::span) {
    check_size("token_N", args.token_N.size(), "score_N", args.score_N.size());
  }
  if (!args.dscore_N.empty()) {
    check_size("dscore_N", args.dscore_N.size(), "score_N", args.score_N.size());
    if (sequences > 0 && !(args.pairs > 0)) {
      throw error(errc::bad_argument,
                  "the update's pair count is {}: count them over all "
                  "micro-batches",
                  args.pairs);
    }
  }
}

/// The span [d, E); e_r becomes e_c where the pair is identical.
struct span_range {
  int64_t first = 0, last = 0;
};

span_range diverging_span(const pair_loss_args& args, const pair_of_sides& p) {
  const int64_t common = std::min(p.chosen.rows, p.rejected.rows);
  const int32_t* chosen = args.token_N.data() + p.chosen.first;
  const int32_t* rejected = args.token_N.data() + p.rejected.first;
  const int64_t d = std::mismatch(chosen, chosen + common, rejected).first - chosen;
  if (d == p.chosen.rows && d == p.rejected.rows) {
    return {d - 1, d};
  }
  return {d, std::max({p.chosen.end, p.rejected.end, d + 1})};
}

double span_loss(const pair_loss_args& args, const pair_of_sides& p) {
  const span_range range = diverging_span(args, p);
  const auto length = static_cast<double>(range.last - range.first);
  double sum = 0;
  for (int64_t t = range.first; t < range.last; ++t) {
    const size_t c = p.chosen.row(t);
    const size_t r = p.rejected.row(t);
    const double x = static_cast<double>(args.score_N[c]) - args.score_N[r];
    sum += minus_log_sigmoid(x);
    if (!args.dscore_N.empty()) {
      const auto slope = static_cast<float>(minus_log_sigmoid_slope(x) / (length * args.pairs));
      args.dscore_N[c] += slope;
      args.dscore_N[r] -= slope;
    }
  }
  return sum / length;
}

double end_loss(const pair_loss_args& args, size_t c, size_t r) {
  const double x = static_cast<double>(args.score_N[c]) - args.score_N[r];
  if (!args.dscore_N.empty()) {
    const auto slope = static_cast<float>(minus_log_sigmoid_slope(x) / args.pairs);
    args.dscore_N[c] += slope;
    args.dscore_N[r] -= slope;
  }
  return minus_log_sigmoid(x);
}

double centring_loss(const pair_loss_args& args, double coefficient, size_t c, size_t r) {
  const double sum = static_cast<double>(args.score_N[c]) + args.score_N[r];
  if (!args.dscore_N.empty()) {
    const auto slope = static_cast<float>(2 * coefficient * sum / args.pairs);
    args.dscore_N[c] += slope;
    args.dscore_N[r] += slope;
  }
  return coefficient * sum * sum;
}

}  // namespace

void pair_statistics::add(const pair_statistics& other) {
  pairs += other.pairs;
  right += other.right;
  loss += other.loss;
  margin += other.margin;
  chosen_score += other.chosen_score;
  rejected_score += other.rejected_score;
}

pair_statistics pairwise_loss(const pair_settings& settings, const pair_loss_args& args) {
  check_arguments(args, settings.kind);
  std::fill(args.dscore_N.begin(), args.dscore_N.end(), 0.0F);
  pair_statistics statistics;
  for (size_t b = 0; b + 2 < args.offset_B1.size(); b += 2) {
    const pair_of_sides p{side_of(args, b), side_of(args, b + 1)};
    const size_t c = p.chosen.row(p.chosen.end - 1);
    const size_t r = p.rejected.row(p.rejected.end - 1);
    check_finite(args.score_N[c], "score_N", c);
    check_finite(args.score_N[r], "score_N", r);
    switch (settings.kind) {
    case pair_loss::end_token:
      statistics.loss += end_loss(args, c, r);
      break;
    case pair_loss::span:
      statistics.loss += span_loss(args, p);
      break;
    }
    if (settings.centring != 0) {
      statistics.loss += centring_loss(args, settings.centring, c, r);
    }
    const double margin = static_cast<double>(args.score_N[c]) - args.score_N[r];
    ++statistics.pairs;
    statistics.right += rightness(margin);
    statistics.margin += margin;
    statistics.chosen_score += args.score_N[c];
    statistics.rejected_score += args.score_N[r];
  }
  return statistics;
}

}  // namespace troupe::engine
