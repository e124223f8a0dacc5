/// From hidden states to drawn tokens: head and sampling for the rows that need them.
#pragma once

#include "base/aligned.hpp"
#include "base/context.hpp"
#include "engine/generate/sequence.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/tensor/buffer.hpp"
#include "engine/tensor/call_sheet.hpp"

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
  void sample(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
              std::span<const sampling_row> rows);

private:
  void compute_logits(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                      std::span<const sampling_row> rows);

  void sample_on_host(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                      std::span<const sampling_row> rows);
  struct card_draws;
  void draw_on_card(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                    const card_draws& draws);
  void sample_on_card(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                      std::span<const sampling_row> rows);

  struct thread_scratch {
    kernels::sampling_scratch sampling;
    std::vector<float> logits;  ///< a copy, where several draw from one row
  };
  static void draw(std::span<float> logits_V, const sampling_row& row, thread_scratch& scratch);

  std::vector<int64_t> row_R_;
  aligned_buffer<float> hidden_RD_, logits_RV_;
  std::vector<thread_scratch> scratch_;

  // on a card
  call_sheet sheet_;
  buffer drawn_hidden_, drawn_logits_, drawn_;
};

}  // namespace troupe::engine
