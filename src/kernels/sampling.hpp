/// Choosing the next token from a row of logits.
#pragma once

#include "base/context.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::kernels {

struct sampling_settings {
  float temperature = 1.0F;         ///< 0: greedy
  int64_t top_k = 0;                ///< 0: off
  float top_p = 1.0F;               ///< 1: off.  Holtzman et al., arXiv:1904.09751
  float min_p = 0.0F;               ///< 0: off.  Keeps p >= min_p * max p (arXiv:2407.01082)
  float repetition_penalty = 1.0F;  ///< 1: off.  Keskar et al., arXiv:1909.05858
};

/// Errors  bad_argument: a setting out of range, by its name and what it may be.
void check_sampling(const sampling_settings& settings);

struct sampled_token {
  int32_t token = 0;
  float logprob = 0;  ///< log softmax(logits / temperature), before top-k, top-p, min-p and penalty;
                      ///< greedy: temperature 1
};

/// Scratch that a caller keeps between calls.
struct sampling_scratch {
  std::vector<float> logits;
  std::vector<int32_t> seen;
  std::vector<uint64_t> order;
};

/// Draws by inverse transform from `uniform` in [0, 1): tokens in falling order of probability,
/// ties by id. Greedy takes the lowest id among the largest logits. `context` are the ids that the
/// repetition penalty looks at: a positive logit of one is divided by it, a negative one
/// multiplied, once however often the id occurs. Each filter keeps a prefix of that order: the k
/// first; of those, the fewest that have top_p of their sum; of those, the ones with p >= min_p *
/// the first's. The order is found only as far as it is needed.
/// Errors  bad_argument: a setting, number or id out of range; not_finite: the logits give no distribution.
/// Bits    logits_V is divided by the temperature in place by log_softmax_row (log_prob.hpp).
sampled_token sample_token(std::span<float> logits_V, const sampling_settings& settings,
                           std::span<const int32_t> context, double uniform, sampling_scratch& scratch);

/// How the token of one row is drawn.
struct row_draw {
  sampling_settings settings;
  double uniform = 0;
  int64_t context_begin = 0, context_end = 0;  ///< of the ids that its repetition penalty looks at
};

struct sample_rows_args {
  float* logits_NV = nullptr;  ///< divided by the temperatures in place
  const row_draw* draw_N = nullptr;
  const int32_t* context = nullptr;  ///< ids of all rows
  sampled_token* token_N = nullptr;  ///< token -1: the row's logits give no distribution
  int64_t n = 0, vocabulary = 0;
  int64_t stride = 0;      ///< floats between rows of logits; 0: vocabulary
  bool penalties = false;  ///< some row has a repetition penalty; if not set, none counts
};

/// sample_token for each row, but for what is said above.
/// Errors  shape_mismatch; bad_argument, as sample_token, where the arrays are the host's.
void sample_rows(context& ctx, const sample_rows_args& args);

}  // namespace troupe::kernels
