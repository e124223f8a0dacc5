#include "base/aligned.hpp"
#include "base/round_up.hpp"
#include "base/spin.hpp"
#include "kernels/cpu/attention.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_backward.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/attention_tile-inl.hpp"
// clang-format on

#ifndef TROUPE_ATTENTION_BACKWARD_UNITS
#define TROUPE_ATTENTION_BACKWARD_UNITS
namespace troupe::kernels {

/// How many of its blocks a tile of keys has folded.
class tile_progress {
public:
  void advance() { done_.fetch_add(1, std::memory_order_release); }
  void finish() { done_.store(std::numeric_limits<int64_t>::max(), std::memory_order_release); }
  void wait_for(int64_t blocks) const {
    for (int spin = 0; done_.load(std::memory_order_acquire) < blocks; spin = (spin + 1) % 64) {
      spin_pause(spin);
    }
  }

private:
  std::atomic<int64_t> done_{0};
};

/// Keys [first_key, first_key + 64) of one sequence and one key/value head.
struct backward_unit {
  int64_t start = 0, rows = 0;  ///< the sequence's first row in the call, and its rows
  int64_t kv_head = 0, first_key = 0;
};

}  // namespace troupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

/// D_i = dout_i . out_i of rows [begin, end) and every head: what the softmax's normalisation takes off each dp.
void find_deltas(const attention_backward_args& args, int64_t begin, int64_t end, float* delta_NH) {
  const int64_t heads = args.shape.heads, width = args.shape.head_width;
  for (int64_t i = begin * heads; i < end * heads; ++i) {
    delta_NH[i] = math::Dot(math::float_tag(), args.dout_NHK + i * width, args.out_NHK + i * width, width);
  }
}

/// A tile of 64 keys: with D_i from find_deltas, p from the saved lse, ds = p (dp - D) scale,
///   dp_ij = dout_i . v_j;   dv_j = sum_i p_ij dout_i;   dk_j = sum_i ds_ij q_i;   dq_i = sum_j ds_ij k_j
/// Within a tile the group's heads in order; within a head blocks of 64 queries from first to last. A query's tiles
/// from first to last: a block waits until the tile before has folded it. So each sum has one order, whatever the
/// threads do.
class backward_tile {
public:
  backward_tile(const attention_backward_args& args, const float* delta_NH, const backward_unit& unit)
      : args_(args), shape_(args.shape), delta_NH_(delta_NH), width_(shape_.head_width), row_(shape_.row_width()),
        out_row_(shape_.heads * width_), group_(shape_.heads / shape_.kv_heads), first_head_(unit.kv_head * group_),
        key_column_((shape_.heads + unit.kv_head) * width_), start_(unit.start), rows_(unit.rows),
        first_(unit.first_key), keys_K64_(width_ * attention_tile), values_K64_(width_ * attention_tile),
        p_Q64_(attention_tile * attention_tile), ds_Q64_(attention_tile * attention_tile) {
    std::fill(std::begin(ones_), std::end(ones_), 1.0F);
  }

  /// `before`: of the tile before, null for the first.
  void run(const tile_progress* before, tile_progress& progress) {
    const int64_t keys = std::min(attention_tile, rows_ - first_);
    const float* key = args_.qkv_NE + (start_ + first_) * row_ + key_column_;
    transpose_tile(key, row_, keys, width_, keys_K64_.data());
    transpose_tile(key + shape_.kv_heads * width_, row_, keys, width_, values_K64_.data());
    const int64_t blocks = divide_up(rows_ - first_, attention_tile);
    for (int64_t h = 0; h < group_; ++h) {
      for (int64_t block = 0; block < blocks; ++block) {
        if (before != nullptr) {
          before->wait_for(h * (blocks + 1) + block + 2);  // it begins one block earlier in every head
        }
        fold_block(h, first_ + block * attention_tile, first_, keys);
        progress.advance();
      }
    }
  }

private:
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
      const auto delta = hn::Set(d, delta_NH_[(start_ + query) * shape_.heads + first_head_ + h]);
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
  const float* delta_NH_;
  const int64_t width_, row_, out_row_, group_, first_head_, key_column_, start_, rows_, first_;
  aligned_buffer<float> keys_K64_, values_K64_, p_Q64_, ds_Q64_;
  float ones_[product_rows];
};

void attend_backward(const attention_backward_args& args, const float* delta_NH, const backward_unit& unit,
                     const tile_progress* before, tile_progress& progress) {
  backward_tile(args, delta_NH, unit).run(before, progress);
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(find_deltas);
HWY_EXPORT(attend_backward);

static constexpr int64_t delta_rows = 64;

/// The tiles of a sequence and head stand one after the other: what a tile waits for is always under way before it.
static std::vector<backward_unit> units_of(const attention_backward_args& args) {
  std::vector<backward_unit> units;
  for (size_t b = 0; b + 1 < args.offset_B1.size(); ++b) {
    const int64_t start = args.offset_B1[b];
    const int64_t rows = args.offset_B1[b + 1] - start;
    for (int64_t kv_head = 0; kv_head < args.shape.kv_heads; ++kv_head) {
      for (int64_t first = 0; first < rows; first += attention_tile) {
        units.push_back({start, rows, kv_head, first});
      }
    }
  }
  return units;
}

void cpu::attention_backward(context& ctx, const attention_backward_args& args) {
  const int64_t first = args.offset_B1.front(), last = args.offset_B1.back();
  aligned_buffer<float> delta_NH(last * args.shape.heads);
  ctx.pool.parallel_for(divide_up(last - first, delta_rows), [&](int64_t i) {
    const int64_t begin = first + i * delta_rows;
    HWY_DYNAMIC_DISPATCH(find_deltas)(args, begin, std::min(begin + delta_rows, last), delta_NH.data());
  });
  const std::vector<backward_unit> units = units_of(args);
  std::vector<tile_progress> progress(units.size());
  ctx.pool.parallel_for(static_cast<int64_t>(units.size()), [&](int64_t i) {
    const backward_unit& unit = units[static_cast<size_t>(i)];
    tile_progress& own = progress[static_cast<size_t>(i)];
    const tile_progress* before = unit.first_key == 0 ? nullptr : &own - 1;
    try {
      HWY_DYNAMIC_DISPATCH(attend_backward)(args, delta_NH.data(), unit, before, own);
    } catch (...) {
      own.finish();  // the call fails; nobody may wait for this tile
      throw;
    }
  });
}

}  // namespace troupe::kernels
#endif  // HWY_ONCE
