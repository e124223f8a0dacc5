#include "engine/models/saved_activations.hpp"

namespace troupe::engine {

saved_activations::storage::row_widths::row_widths(const model_description& d)
    : input(d.width), qkv((d.heads + 2 * d.kv_heads) * d.head_width), attention(d.heads * d.head_width), lse(d.heads),
      middle(d.parallel_residual ? 0 : d.width), up((d.gated ? 2 : 1) * d.feed_forward),
      sum(d.norm_first ? 0 : d.width) {}

void saved_activations::storage::prepare(context& ctx, const model_description& d, int64_t tokens, dtype type) {
  n = tokens;
  layers = d.layers;
  width = d.width;
  widths = row_widths(d);
  const int64_t rows = (checkpointing ? 1 : layers) * n;
  input_LND.room(ctx, type, (layers + 1) * n * widths.input);
  qkv_LNE.room(ctx, type, rows * widths.qkv);
  attention_LNHK.room(ctx, type, rows * widths.attention);
  lse_LNH.floats(ctx, rows * widths.lse);
  middle_LND.room(ctx, type, rows * widths.middle);
  up_LNU.room(ctx, type, rows * widths.up);
  sum_LND.room(ctx, type, rows * widths.sum);
}

block_buffers saved_activations::storage::block(int64_t layer) {
  const int64_t row = checkpointing ? 0 : layer * n;
  const auto rows_of = [&](const buffer& kept, int64_t row_width) {
    return kept.empty() ? reals(nullptr) : kept.data() + row * row_width;
  };
  return {.input_ND = input(layer),
          .qkv_NE = rows_of(qkv_LNE, widths.qkv),
          .attention_NHK = rows_of(attention_LNHK, widths.attention),
          .lse_NH = rows_of(lse_LNH, widths.lse),
          .middle_ND = rows_of(middle_LND, widths.middle),
          .up_NU = rows_of(up_LNU, widths.up),
          .sum_ND = rows_of(sum_LND, widths.sum)};
}

int64_t saved_activations::storage::bytes() const {
  return input_LND.size_bytes() + qkv_LNE.size_bytes() + attention_LNHK.size_bytes() + lse_LNH.size_bytes() +
         middle_LND.size_bytes() + up_LNU.size_bytes() + sum_LND.size_bytes();
}

saved_activations::saved_activations(bool checkpointing) : storage_(std::make_unique<storage>()) {
  storage_->checkpointing = checkpointing;
}

saved_activations::~saved_activations() = default;
saved_activations::saved_activations(saved_activations&&) noexcept = default;
saved_activations& saved_activations::operator=(saved_activations&&) noexcept = default;

int64_t saved_activations::bytes() const { return storage_->bytes(); }

int64_t saved_activations::bytes_for(const model_description& description, int64_t tokens, bool checkpointing) {
  const storage::row_widths widths(description);
  const int64_t blocks = checkpointing ? 1 : description.layers;
  const int64_t row = (description.layers + 1) * widths.input + blocks * widths.block();
  return row * tokens * static_cast<int64_t>(sizeof(float));
}

}  // namespace troupe::engine
