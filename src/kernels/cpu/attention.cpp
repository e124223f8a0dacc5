#include "kernels/cpu/attention.hpp"

#include "base/aligned.hpp"
#include "base/round_up.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/attention_tile-inl.hpp"
// clang-format on

#ifndef TROUPE_ATTENTION_UNITS
#define TROUPE_ATTENTION_UNITS
namespace troupe::kernels {

/// Query positions that one task takes: enough rows to reuse a tile of keys, few enough to share
/// out.
static constexpr int64_t queries_per_unit = 64;

/// Rows [begin, end) of one sequence (counted from its first row in the call) and the heads of one
/// key/value head.
struct attention_unit {
  int64_t sequence = 0, kv_head = 0, begin = 0, end = 0;
};

}  // namespace troupe::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

/// Running maximum, sum and rescaling factor of the rows of a block.
struct running_softmax {
  float* maximum = nullptr;
  float* sum = nullptr;
};

/// Replaces a row of dot products by exp(score - maximum), and updates the running maximum and sum.
/// Returns the factor by which what was accumulated before has to shrink.
static HWY_INLINE float fold_row(const row_scores& scores, float* row_64, int64_t columns, bool first, float& maximum,
                                 float& sum) {
  const math::float_tag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto top = hn::Set(d, first ? -std::numeric_limits<float>::infinity() : maximum);
  for (int64_t c = 0; c < columns; c += lanes) {
    const auto score = scores.at(d, row_64, c);
    hn::StoreU(score, d, row_64 + c);
    top = hn::Max(top, score);
  }
  const auto new_maximum = hn::MaxOfLanes(d, top);
  const auto added = math::FoldLanes(d, columns, 0.0F, [&](hn::Vec<math::float_tag> acc, int64_t c, int64_t) HWY_ATTR {
    const auto p = math::Exp(d, hn::Sub(hn::LoadU(d, row_64 + c), new_maximum));
    hn::StoreU(p, d, row_64 + c);
    return hn::Add(acc, p);
  });
  const float total = math::SumLanes(d, added);
  const float factor = first ? 0.0F : hn::GetLane(math::Exp(d, hn::Sub(hn::Set(d, maximum), new_maximum)));
  sum = first ? total : sum * factor + total;
  maximum = hn::GetLane(new_maximum);
  return factor;
}

/// Folds one tile of keys into a block's rows.
static void attend_to_tile(const attention_shape& shape, const row_block& block, const key_tile& tile,
                           const running_softmax& running) {
  HWY_ALIGN float scores_R64[product_rows * attention_tile];
  float factor_R[product_rows];
  const bool first = tile.first == 0;
  for (int64_t row = 0; row < block.rows; row += product_rows) {
    const int64_t rows = std::min(product_rows, block.rows - row);
    const int64_t keys = keys_seen(block, row, rows, tile.first);
    if (keys <= 0) {
      continue;
    }
    const int64_t columns = round_up_to_16(keys);
    dot_products(block.query + row * block.query_row, block.query_row, tile.keys_K64, shape.head_width, rows, columns,
                 scores_R64);
    for (int64_t r = 0; r < rows; ++r) {
      const row_scores scores(block, row + r, shape.scale, tile.first);
      factor_R[r] = fold_row(scores, scores_R64 + r * attention_tile, columns, first, running.maximum[row + r],
                             running.sum[row + r]);
    }
    tile_product({.a = scores_R64,
                  .a_row = attention_tile,
                  .b = tile.values,
                  .b_row = tile.value_row,
                  .c = block.out + row * block.out_row,
                  .c_row = block.out_row,
                  .factor = first ? nullptr : factor_R,
                  .rows = rows,
                  .columns = shape.head_width,
                  .steps = keys});
  }
}

/// Divides by the sums. Adding 0 turns -0, which depends on keys that do not count, into 0.
static void finish(const attention_shape& shape, const row_block& block, const running_softmax& running) {
  const math::float_tag d;
  for (int64_t row = 0; row < block.rows; ++row) {
    const auto sum = hn::Set(d, running.sum[row]);
    float* out = block.out + row * block.out_row;
    math::ForEachVector(d, shape.head_width, [&](int64_t i, int64_t count) HWY_ATTR {
      const auto mean = hn::Div(math::PartialLoad(d, out + i, count), sum);
      math::PartialStore(hn::Add(mean, hn::Zero(d)), d, out + i, count);
    });
    if (block.lse != nullptr) {
      block.lse[row * block.lse_row] = running.maximum[row] + std::log(running.sum[row]);
    }
  }
}

/// The blocks of a unit whose first row stands at row `row` of the call and at `position` of its
/// sequence.
static std::vector<row_block> blocks_of(const attention_shape& shape, const attention_unit& unit, int64_t row,
                                        int64_t position, const float* qkv_NE, float* out_NHK, float* lse_NH) {
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t head = unit.kv_head * group;
  const int64_t queries = unit.end - unit.begin;
  row_block block{.query = qkv_NE + row * shape.row_width() + head * shape.head_width,
                  .query_row = shape.head_width,
                  .out = out_NHK + (row * shape.heads + head) * shape.head_width,
                  .out_row = shape.head_width,
                  .lse = lse_NH == nullptr ? nullptr : lse_NH + row * shape.heads + head,
                  .lse_row = 1,
                  .rows = group,
                  .position = position,
                  .slope = shape.alibi_slope_H == nullptr ? nullptr : shape.alibi_slope_H + head,
                  .slope_step = 1};
  if (queries == 1) {
    return {block};
  }
  std::vector<row_block> blocks;
  block.rows = queries;
  block.query_row = shape.row_width();
  block.out_row = shape.heads * shape.head_width;
  block.lse_row = shape.heads;
  block.position_step = 1;
  block.slope_step = 0;
  for (int64_t h = 0; h < group; ++h) {
    blocks.push_back(block);
    block.query += shape.head_width;
    block.out += shape.head_width;
    block.lse += block.lse == nullptr ? 0 : 1;
    block.slope += block.slope == nullptr ? 0 : 1;
  }
  return blocks;
}

/// Attends from every block to the keys of positions [0, end); tile_at(first) yields the tile that
/// starts there.
template <class TileAt>
static void attend(const attention_shape& shape, const std::vector<row_block>& blocks, int64_t end,
                   const TileAt& tile_at) {
  const int64_t rows = blocks.front().rows;
  aligned_buffer<float> state(2 * rows * static_cast<int64_t>(blocks.size()));
  const auto running = [&](size_t b) {
    float* maximum = state.data() + 2 * rows * static_cast<int64_t>(b);
    return running_softmax{maximum, maximum + rows};
  };
  for (int64_t first = 0; first < end; first += attention_tile) {
    const key_tile tile = tile_at(first);
    for (size_t b = 0; b < blocks.size(); ++b) {
      attend_to_tile(shape, blocks[b], tile, running(b));
    }
  }
  for (size_t b = 0; b < blocks.size(); ++b) {
    finish(shape, blocks[b], running(b));
  }
}

void attend_packed(const attention_args& args, const attention_unit& unit) {
  const attention_shape& shape = args.shape;
  const int64_t start = args.offset_B1[static_cast<size_t>(unit.sequence)];
  const float* keys = args.qkv_NE + start * shape.row_width() + (shape.heads + unit.kv_head) * shape.head_width;
  const float* values = keys + shape.kv_heads * shape.head_width;
  aligned_buffer<float> keys_K64(shape.head_width * attention_tile);
  const auto blocks = blocks_of(shape, unit, start + unit.begin, unit.begin, args.qkv_NE, args.out_NHK, args.lse_NH);
  attend(shape, blocks, unit.end, [&](int64_t first) {
    const int64_t count = std::min(attention_tile, unit.end - first);
    const int64_t offset = first * shape.row_width();
    transpose_tile(keys + offset, shape.row_width(), count, shape.head_width, keys_K64.data());
    return key_tile{keys_K64.data(), values + offset, shape.row_width(), first};
  });
}

/// Where the unit's head begins in the page of a position, in keys as in values.
static int64_t page_offset(const paged_attention_args& args, const attention_unit& unit, int64_t position) {
  const int64_t page = args.where.page_SP[unit.sequence * args.where.stride + position / attention_tile];
  return page * args.pages.page_floats(args.shape) + unit.kv_head * args.shape.head_width * attention_tile;
}

void attend_paged(const paged_attention_args& args, const attention_unit& unit) {
  const attention_shape& shape = args.shape;
  const int64_t row = args.where.row_S1[unit.sequence], position = args.where.position_S[unit.sequence];
  const auto blocks =
      blocks_of(shape, unit, row + unit.begin, position + unit.begin, args.qkv_NE, args.out_NHK, nullptr);
  attend(shape, blocks, position + unit.end, [&](int64_t first) {
    const int64_t offset = page_offset(args, unit, first);
    return key_tile{args.pages.keys + offset, args.pages.values + offset, shape.head_width, first};
  });
}

/// Writes the unit's keys and values into their pages.
void append_to_pages(const paged_attention_args& args, const attention_unit& unit) {
  const attention_shape& shape = args.shape;
  const int64_t width = shape.head_width;
  for (int64_t row = unit.begin; row < unit.end;) {
    const int64_t position = args.where.position_S[unit.sequence] + row;
    const int64_t column = position % attention_tile;
    const int64_t count = std::min(attention_tile - column, unit.end - row);
    const int64_t offset = page_offset(args, unit, position);
    const float* key = args.qkv_NE + (args.where.row_S1[unit.sequence] + row) * shape.row_width() +
                       (shape.heads + unit.kv_head) * width;
    const float* value = key + shape.kv_heads * width;
    transpose_tile(key, shape.row_width(), count, width, args.pages.keys + offset + column);
    for (int64_t j = 0; j < count; ++j) {
      std::copy_n(value + j * shape.row_width(), width, args.pages.values.as<float>() + offset + (column + j) * width);
    }
    row += count;
  }
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(attend_packed);
HWY_EXPORT(attend_paged);
HWY_EXPORT(append_to_pages);

/// Adds the units of a sequence of `rows` rows. Late rows see the most keys: they come first, so
/// that the threads finish together.
static void add_units(std::vector<attention_unit>& units, int64_t sequence, int64_t rows, int64_t kv_heads) {
  const int64_t blocks = divide_up(rows, queries_per_unit);
  for (int64_t block = blocks - 1; block >= 0; --block) {
    const int64_t begin = block * queries_per_unit;
    for (int64_t g = 0; g < kv_heads; ++g) {
      units.push_back({sequence, g, begin, std::min(begin + queries_per_unit, rows)});
    }
  }
}

void cpu::attention_forward(context& ctx, const attention_args& args) {
  std::vector<attention_unit> units;
  for (size_t b = 0; b + 1 < args.offset_B1.size(); ++b) {
    add_units(units, static_cast<int64_t>(b), args.offset_B1[b + 1] - args.offset_B1[b], args.shape.kv_heads);
  }
  ctx.pool.parallel_for(static_cast<int64_t>(units.size()), [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(attend_packed)(args, units[static_cast<size_t>(i)]);
  });
}

void cpu::paged_attention_forward(context& ctx, const paged_attention_args& args) {
  std::vector<attention_unit> units;
  for (int64_t s = 0; s < args.where.sequences; ++s) {
    add_units(units, s, args.where.row_S1[s + 1] - args.where.row_S1[s], args.shape.kv_heads);
  }
  const auto count = static_cast<int64_t>(units.size());
  ctx.pool.parallel_for(count, [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(append_to_pages)(args, units[static_cast<size_t>(i)]);
  });
  ctx.pool.parallel_for(count, [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(attend_paged)(args, units[static_cast<size_t>(i)]);
  });
}

}  // namespace troupe::kernels
#endif  // HWY_ONCE
