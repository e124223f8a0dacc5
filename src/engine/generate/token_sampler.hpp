/// From hidden states to drawn tokens: head and sampling for the rows that need them. Private to
/// this folder.
#pragma once

#include "base/aligned.hpp"
#include "base/context.hpp"
#include "engine/generate/sequence.hpp"
#include "engine/models/inference_model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

/// A row of hidden states and the sequences that draw their next token from it.
struct sampling_row {
  int64_t row = 0;
  std::vector<sequence*> drawers;
};

class token_sampler {
public:
  /// Rows whose logits exist at one time.
  static constexpr int64_t rows_at_once = 32;

  /// Sets `drawn` of every drawer.
  /// Errors  not_finite: a logit is NaN or infinite (names the sequence).
  void sample(context& ctx, const inference_model& net, const float* weights, const float* hidden_ND,
              std::span<const sampling_row> rows);

private:
  void compute_logits(context& ctx, const inference_model& net, const float* weights, const float* hidden_ND,
                      std::span<const sampling_row> rows);

  struct thread_scratch {
    kernels::sampling_scratch sampling;
    std::vector<float> logits;  ///< a copy, where several draw from one row
  };
  static void draw(std::span<float> logits_V, const sampling_row& row, thread_scratch& scratch);

  aligned_buffer<float> hidden_RD_, logits_RV_;
  std::vector<thread_scratch> scratch_;
};

}  // namespace troupe::engine
