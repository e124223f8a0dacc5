#include "engine/generate/token_sampler.hpp"

#include "base/error.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::engine {

namespace {

void check_logits(std::span<const float> logits_V, const sequence& s) {
  double sum = 0;
  for (const float z : logits_V) {
    sum += z;
  }
  if (!std::isfinite(sum)) {
    throw error(errc::not_finite,
                "the logits after token {} of sequence {} are not finite: the weights have "
                "diverged or are damaged",
                s.length() - 1, s.id);
  }
}

}  // namespace

void token_sampler::compute_logits(context& ctx, const inference_model& net, const float* weights,
                                   const float* hidden_ND, std::span<const sampling_row> rows) {
  const int64_t width = net.description().embedding_width;
  const int64_t vocabulary = net.description().vocabulary;
  const auto count = static_cast<int64_t>(rows.size());
  hidden_RD_.reserve(count * width);
  logits_RV_.reserve(count * vocabulary);
  for (int64_t r = 0; r < count; ++r) {
    const float* from = hidden_ND + rows[static_cast<size_t>(r)].row * width;
    std::copy_n(from, width, hidden_RD_.data() + r * width);
  }
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
    const double uniform =
        random_uniform({request.seed, s->id, random_purpose::sampling}, static_cast<uint64_t>(s->length()));
    s->drawn = kernels::sample_token(logits, request.sampling, s->tokens, uniform, scratch.sampling);
  }
}

void token_sampler::sample(context& ctx, const inference_model& net, const float* weights, const float* hidden_ND,
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

}  // namespace troupe::engine
