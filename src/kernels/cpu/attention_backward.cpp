#include "kernels/base/aligned.hpp"
#include "kernels/cpu/attention.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_backward.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/attention_tile-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

/// One sequence and one key/value head: with D_i = dout_i . out_i, p from the saved lse, ds = p (dp
/// - D) scale,
///   dp_ij = dout_i . v_j;   dv_j = sum_i p_ij dout_i;   dk_j = sum_i ds_ij q_i;   dq_i = sum_j ds_ij k_j
/// Tiles of 64 keys from first to last; within a tile the group's heads in order; within a head
/// blocks of 64 queries from first to last. So each sum has one order, whatever the threads do.
class backward_unit {
public:
  backward_unit(const attention_backward_args& args, int64_t sequence, int64_t kv_head)
      : args_(args), shape_(args.shape), width_(shape_.head_width), row_(shape_.row_width()),
        out_row_(shape_.heads * width_), group_(shape_.heads / shape_.kv_heads), first_head_(kv_head * group_),
        key_column_((shape_.heads + kv_head) * width_), start_(args.offset_B1[static_cast<size_t>(sequence)]),
        rows_(args.offset_B1[static_cast<size_t>(sequence) + 1] - start_), keys_K64_(width_ * attention_tile),
        values_K64_(width_ * attention_tile), p_Q64_(attention_tile * attention_tile),
        ds_Q64_(attention_tile * attention_tile), delta_(group_ * rows_) {
    std::fill(std::begin(ones_), std::end(ones_), 1.0F);
  }

  void run() {
    find_deltas();
    for (int64_t first = 0; first < rows_; first += attention_tile) {
      const int64_t keys = std::min(attention_tile, rows_ - first);
      const float* key = args_.qkv_NE + (start_ + first) * row_ + key_column_;
      transpose_tile(key, row_, keys, width_, keys_K64_.data());
      transpose_tile(key + shape_.kv_heads * width_, row_, keys, width_, values_K64_.data());
      for (int64_t h = 0; h < group_; ++h) {
        for (int64_t query = first; query < rows_; query += attention_tile) {
          fold_block(h, query, first, keys);
        }
      }
    }
  }

private:
  /// D of every head and row: what the softmax's normalisation takes off each dp.
  void find_deltas() {
    for (int64_t h = 0; h < group_; ++h) {
      for (int64_t i = 0; i < rows_; ++i) {
        const int64_t at = (start_ + i) * out_row_ + (first_head_ + h) * width_;
        delta_[h * rows_ + i] = math::Dot(math::float_tag(), args_.dout_NHK + at, args_.out_NHK + at, width_);
      }
    }
  }

  /// p and ds of head h, queries from `query` on, keys from `first` on; then what they add to dq,
  /// dk and dv.
  void fold_block(int64_t h, int64_t query, int64_t first, int64_t keys) {
    const int64_t queries = std::min(attention_tile, rows_ - query);
    const int64_t head = first_head_ + h;
    const int64_t row = start_ + query;
    const int64_t q_at = row * row_ + head * width_;
    const float* dout = args_.dout_NHK + row * out_row_ + head * width_;
    const row_block block{.query = args_.qkv_NE + q_at,
                          .query_row = row_,
                          .rows = queries,
                          .position = query,
                          .position_step = 1,
                          .slope = shape_.alibi_slope_H == nullptr ? nullptr : shape_.alibi_slope_H + head};
    for (int64_t r = 0; r < queries; r += product_rows) {
      const int64_t rows = std::min(product_rows, queries - r);
      const int64_t seen = std::min(keys, keys_seen(block, r, rows, first));
      find_probabilities(block, h, r, rows, first, seen, dout);
      tile_product({.a = ds_Q64_.data() + r * attention_tile,
                    .a_row = attention_tile,
                    .b = args_.qkv_NE + (start_ + first) * row_ + key_column_,
                    .b_row = row_,
                    .c = args_.dqkv_NE + q_at + r * row_,
                    .c_row = row_,
                    .factor = first == 0 ? nullptr : ones_,
                    .rows = rows,
                    .columns = width_,
                    .steps = seen});
    }
    const float* factor = h == 0 && query == first ? nullptr : ones_;
    float* dkey = args_.dqkv_NE + (start_ + first) * row_ + key_column_;
    for (int64_t j = 0; j < keys; j += product_rows) {
      // On the diagonal, queries before key j do not see it.
      const int64_t skipped = query == first ? j : 0;
      const int64_t rows = std::min(product_rows, keys - j);
      const int64_t at = skipped * attention_tile + j;
      tile_product({.a = ds_Q64_.data() + at,
                    .a_row = 1,
                    .a_step = attention_tile,
                    .b = block.query + skipped * row_,
                    .b_row = row_,
                    .c = dkey + j * row_,
                    .c_row = row_,
                    .factor = factor,
                    .rows = rows,
                    .columns = width_,
                    .steps = queries - skipped});
      tile_product({.a = p_Q64_.data() + at,
                    .a_row = 1,
                    .a_step = attention_tile,
                    .b = dout + skipped * out_row_,
                    .b_row = out_row_,
                    .c = dkey + shape_.kv_heads * width_ + j * row_,
                    .c_row = row_,
                    .factor = factor,
                    .rows = rows,
                    .columns = width_,
                    .steps = queries - skipped});
    }
  }

  /// Rows [r, r + rows) of p and ds; exactly 0 for the keys that a row does not see.
  void find_probabilities(const row_block& block, int64_t h, int64_t r, int64_t rows, int64_t first, int64_t seen,
                          const float* dout) {
    const math::float_tag d;
    float* p_R64 = p_Q64_.data() + r * attention_tile;
    float* ds_R64 = ds_Q64_.data() + r * attention_tile;
    const int64_t columns = round_up_to_16(seen);
    dot_products(block.query + r * row_, row_, keys_K64_.data(), width_, rows, columns, p_R64);
    dot_products(dout + r * out_row_, out_row_, values_K64_.data(), width_, rows, columns, ds_R64);
    for (int64_t i = 0; i < rows; ++i, p_R64 += attention_tile, ds_R64 += attention_tile) {
      const int64_t query = block.position + r + i;
      const row_scores scores(block, r + i, shape_.scale, first);
      const auto lse = hn::Set(d, args_.lse_NH[(start_ + query) * shape_.heads + first_head_ + h]);
      const auto delta = hn::Set(d, delta_[h * rows_ + query]);
      const auto scale = hn::Set(d, shape_.scale);
      for (int64_t c = 0; c < columns; c += static_cast<int64_t>(hn::Lanes(d))) {
        const auto p = math::Exp(d, hn::Sub(scores.at(d, p_R64, c), lse));
        const auto ds = hn::Mul(hn::Mul(p, scale), hn::Sub(hn::LoadU(d, ds_R64 + c), delta));
        hn::StoreU(p, d, p_R64 + c);
        hn::StoreU(ds, d, ds_R64 + c);
      }
      std::fill(p_R64 + columns, p_R64 + attention_tile, 0.0F);
      std::fill(ds_R64 + columns, ds_R64 + attention_tile, 0.0F);
    }
  }

  const attention_backward_args& args_;
  const attention_shape& shape_;
  const int64_t width_, row_, out_row_, group_, first_head_, key_column_, start_, rows_;
  aligned_buffer<float> keys_K64_, values_K64_, p_Q64_, ds_Q64_;
  aligned_buffer<float> delta_;
  float ones_[product_rows];
};

void attend_backward(const attention_backward_args& args, int64_t sequence, int64_t kv_head) {
  backward_unit(args, sequence, kv_head).run();
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(attend_backward);

void cpu::attention_backward(context& ctx, const attention_backward_args& args) {
  const int64_t kv_heads = args.shape.kv_heads;
  const auto sequences = static_cast<int64_t>(args.offset_B1.size()) - 1;
  ctx.pool.parallel_for(sequences * kv_heads, [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(attend_backward)(args, i / kv_heads, i % kv_heads);
  });
}

}  // namespace troupe::kernels
#endif  // HWY_ONCE
