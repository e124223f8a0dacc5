#include "engine/generate/token_sampler.hpp"

#include "engine/tensor/transfer.hpp"
#include "kernels/rows.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace troupe::engine {

namespace {

void check_logits(std::span<const float> logits_V, const sequence& s) {
  double sum = 0;
  for (const float z : logits_V) {
    sum += z;
  }
  if (!std::isfinite(sum)) {
    fail_not_finite(s);
  }
}

}  // namespace

/// Who draws, with a row of logits each, and what the card is told of them.
struct token_sampler::card_draws {
  std::vector<sequence*> drawers;
  std::vector<int64_t> row_D;  ///< of the hidden states
  std::vector<kernels::row_draw> draw_D;
  std::vector<int32_t> context;
  bool penalties = false;

  int64_t count() const { return static_cast<int64_t>(drawers.size()); }

  void add(int64_t row, sequence* s) {
    const kernels::sampling_settings& settings = s->request->sampling;
    const auto begin = static_cast<int64_t>(context.size());
    if (settings.repetition_penalty != 1.0F) {
      context.insert(context.end(), s->tokens.begin(), s->tokens.end());
      penalties = true;
    }
    drawers.push_back(s);
    row_D.push_back(row);
    draw_D.push_back({.settings = settings,
                      .uniform = uniform_of(*s, s->length()),
                      .context_begin = begin,
                      .context_end = static_cast<int64_t>(context.size())});
  }
};

void token_sampler::compute_logits(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                                   std::span<const sampling_row> rows) {
  const int64_t width = net.description().embedding_width;
  const int64_t vocabulary = net.description().vocabulary;
  const auto count = static_cast<int64_t>(rows.size());
  hidden_RD_.reserve(count * width);
  logits_RV_.reserve(count * vocabulary);
  row_R_.clear();
  for (const sampling_row& row : rows) {
    row_R_.push_back(row.row);
  }
  kernels::gather_rows(ctx, {hidden_RD_.data(), hidden_ND, row_R_.data(), count, width});
  net.logits(ctx, weights, count, hidden_RD_.data(), logits_RV_.data());
}

void token_sampler::draw(std::span<float> logits_V, const sampling_row& row, thread_scratch& scratch) {
  check_logits(logits_V, *row.drawers.front());
  for (sequence* s : row.drawers) {
    std::span<float> logits = logits_V;
    if (s != row.drawers.back()) {
      // Sampling scales the logits in place, by each request's own temperature.
      scratch.logits.assign(logits_V.begin(), logits_V.end());
      logits = scratch.logits;
    }
    const generation_request& request = *s->request;
    s->drawn =
        kernels::sample_token(logits, request.sampling, s->tokens, uniform_of(*s, s->length()), scratch.sampling);
  }
}

void token_sampler::sample(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                           std::span<const sampling_row> rows) {
  ctx.on == nullptr ? sample_on_host(ctx, net, weights, hidden_ND, rows)
                    : sample_on_card(ctx, net, weights, hidden_ND, rows);
}

void token_sampler::sample_on_host(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                                   std::span<const sampling_row> rows) {
  const auto vocabulary = static_cast<size_t>(net.description().vocabulary);
  scratch_.resize(static_cast<size_t>(ctx.pool.threads()));
  for (size_t first = 0; first < rows.size(); first += rows_at_once) {
    const auto block = rows.subspan(first, std::min<size_t>(rows_at_once, rows.size() - first));
    compute_logits(ctx, net, weights, hidden_ND, block);
    ctx.pool.parallel_for(static_cast<int64_t>(block.size()), [&](int64_t r) {
      const std::span<float> logits(logits_RV_.data() + static_cast<size_t>(r) * vocabulary, vocabulary);
      draw(logits, block[static_cast<size_t>(r)], scratch_[static_cast<size_t>(thread_pool::current_thread())]);
    });
  }
}

/// Each sequence has a row of logits of its own, since they are scaled in place; a row's bits do not depend on others.
void token_sampler::sample_on_card(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                                   std::span<const sampling_row> rows) {
  card_draws draws;
  for (const sampling_row& row : rows) {
    for (sequence* s : row.drawers) {
      draws.add(row.row, s);
      if (draws.count() == rows_at_once) {
        draw_on_card(ctx, net, weights, hidden_ND, std::exchange(draws, {}));
      }
    }
  }
  if (draws.count() > 0) {
    draw_on_card(ctx, net, weights, hidden_ND, draws);
  }
}

void token_sampler::draw_on_card(context& ctx, const inference_model& net, const_reals weights, const_reals hidden_ND,
                                 const card_draws& draws) {
  const int64_t width = net.description().embedding_width;
  const int64_t vocabulary = net.description().vocabulary;
  const int64_t count = draws.count();
  sheet_.begin();
  const size_t row = sheet_.add(std::span<const int64_t>(draws.row_D));
  const size_t draw = sheet_.add(std::span<const kernels::row_draw>(draws.draw_D));
  const size_t context_ids = sheet_.add(std::span<const int32_t>(draws.context));
  sheet_.send(ctx);
  const reals hidden_DE = drawn_hidden_.room(ctx, hidden_ND.type(), count * width);
  float* const logits_DV = drawn_logits_.floats(ctx, count * vocabulary);
  auto* const drawn_D = reinterpret_cast<kernels::sampled_token*>(
      drawn_.bytes(ctx, count * static_cast<int64_t>(sizeof(kernels::sampled_token))));
  kernels::gather_rows(ctx, {hidden_DE, hidden_ND, sheet_.at<int64_t>(row), count, width});
  net.logits(ctx, weights, count, hidden_DE, logits_DV);
  kernels::sample_rows(ctx, {.logits_NV = logits_DV,
                             .draw_N = sheet_.at<kernels::row_draw>(draw),
                             .context = sheet_.at<int32_t>(context_ids),
                             .token_N = drawn_D,
                             .n = count,
                             .vocabulary = vocabulary,
                             .penalties = draws.penalties});
  std::vector<kernels::sampled_token> drawn(draws.drawers.size());
  fetch(ctx, std::span(drawn), drawn_D);
  for (size_t d = 0; d < drawn.size(); ++d) {
    if (drawn[d].token < 0) {
      fail_not_finite(*draws.drawers[d]);
    }
    draws.drawers[d]->drawn = drawn[d];
  }
}

}  // namespace troupe::engine
