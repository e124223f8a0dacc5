#include "engine/models/saved_activations.hpp"

namespace troupe::engine {

void saved_activations::storage::prepare(const model_description& d, int64_t tokens) {
  n = tokens;
  layers = d.layers;
  width = d.width;
  heads = d.heads;
  query_width = d.heads * d.head_width;
  qkv_width = (d.heads + 2 * d.kv_heads) * d.head_width;
  up_width = d.gated ? 2 * d.feed_forward : d.feed_forward;
  const int64_t rows = (checkpointing ? 1 : layers) * n;
  input_LND.reserve((layers + 1) * n * width);
  qkv_LNE.reserve(rows * qkv_width);
  attention_LNHK.reserve(rows * query_width);
  lse_LNH.reserve(rows * heads);
  up_LNU.reserve(rows * up_width);
  if (!d.parallel_residual) {
    middle_LND.reserve(rows * width);
  }
  if (!d.norm_first) {
    sum_LND.reserve(rows * width);
  }
}

block_buffers saved_activations::storage::block(int64_t layer) {
  const int64_t row = checkpointing ? 0 : layer * n;
  const auto rows_of = [&](aligned_buffer<float>& buffer, int64_t row_width) {
    return buffer.empty() ? nullptr : buffer.data() + row * row_width;
  };
  return {.input_ND = input(layer),
          .qkv_NE = rows_of(qkv_LNE, qkv_width),
          .attention_NHK = rows_of(attention_LNHK, query_width),
          .lse_NH = rows_of(lse_LNH, heads),
          .middle_ND = rows_of(middle_LND, width),
          .up_NU = rows_of(up_LNU, up_width),
          .sum_ND = rows_of(sum_LND, width)};
}

int64_t saved_activations::storage::bytes() const {
  const int64_t floats = input_LND.size() + qkv_LNE.size() + attention_LNHK.size() + lse_LNH.size() +
                         middle_LND.size() + up_LNU.size() + sum_LND.size();
  return floats * static_cast<int64_t>(sizeof(float));
}

saved_activations::saved_activations(bool checkpointing) : storage_(std::make_unique<storage>()) {
  storage_->checkpointing = checkpointing;
}

saved_activations::~saved_activations() = default;
saved_activations::saved_activations(saved_activations&&) noexcept = default;

int64_t saved_activations::bytes() const { return storage_->bytes(); }

}  // namespace troupe::engine
