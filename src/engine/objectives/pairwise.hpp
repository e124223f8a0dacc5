/// Losses of a reward model on pairs: sequence 2p of the packed batch is the chosen one of pair p,
/// 2p + 1 the rejected.
///
///   end_token   - log sigmoid(c - r),  c, r the scores at the two last tokens (Bradley-Terry)
///   span        mean over t in [d, E) of - log sigmoid(c_t - r_t)  (DeepSpeed-Chat)
///               d: the first index where the ids differ; E: the end of the longer sequence. Past its last row a
///               sequence counts with that row's score. DeepSpeed-Chat scores its pads there: pass them as tokens,
///               with `end_B`. Identical pair: d is the last row, E the end of the rows.
///   centring    + centring * (c + r)^2 at the end scores, which keeps them near 0
/// The loss of an update is the sum over its pairs divided by `pairs`, the global count.
/// Units   scores are the model's own; accuracy compares end scores (rightness).
/// Source  end_token: Ouyang et al., arXiv:2203.02155, eq. 1; span: docs of DeepSpeed-Chat's reward_model.py;
///         centring: arXiv:2312.09244.
#pragma once

#include <cstdint>
#include <span>

namespace troupe::engine {

enum class pair_loss { end_token, span };

struct pair_settings {
  pair_loss kind = pair_loss::end_token;
  double centring = 0;
};

/// What a pair adds to the accuracy: a tie is half a win, so that a model which cannot tell is at one half.
inline double rightness(double margin) { return margin > 0 ? 1 : margin == 0 ? 0.5 : 0; }

struct pair_statistics {
  int64_t pairs = 0;
  double right = 0;   ///< sum of rightness
  double loss = 0;    ///< sum over pairs, centring included
  double margin = 0;  ///< sums of c - r, c, r
  double chosen_score = 0, rejected_score = 0;

  void add(const pair_statistics& other);
  double mean_loss() const { return mean(loss); }
  double accuracy() const { return mean(right); }
  double mean_margin() const { return mean(margin); }
  double mean_chosen() const { return mean(chosen_score); }
  double mean_rejected() const { return mean(rejected_score); }

private:
  double mean(double sum) const { return pairs > 0 ? sum / static_cast<double>(pairs) : 0.0; }
};

struct pair_loss_args {
  std::span<float> dscore_N;           ///< overwritten; empty: statistics only
  std::span<const float> score_N;      ///< at every row
  std::span<const int32_t> token_N;    ///< for `span` only
  std::span<const int64_t> offset_B1;  ///< B even
  std::span<const int64_t> end_B;      ///< tokens of each sequence that are not pads; empty: all
  double pairs = 0;                    ///< global count of pairs; needed where dscore_N is
};

/// Errors  shape_mismatch; bad_argument: an odd number of sequences, an empty sequence; not_finite.
pair_statistics pairwise_loss(const pair_settings& settings, const pair_loss_args& args);

}  // namespace troupe::engine
