#include "kernels/cpu/matrix.hpp"

#include "base/aligned.hpp"
#include "kernels/cpu/matrix_plan.hpp"

#include <algorithm>
#include <functional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matrix.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/matrix_tile-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

using cpu::a_layout;
using cpu::b_layout;
using cpu::packed_span;
using cpu::product_args;
using cpu::product_task;

int64_t largest_tile() { return max_tile_rows; }

/// Packs one tile of rows over one block of k.
void pack_tile(const product_args& args, const packed_span& span, int64_t block, int64_t tile, float* packed) {
  const int64_t row = span.row_begin + span.tile_begin(tile);
  const int64_t k = span.k_begin + block * span.k_block;
  const int64_t rows = span.tile_rows(tile);
  const int64_t k_size = span.block_size(block);
  float* to = packed + span.tile_offset(block, tile);
  switch (args.a_kind) {
  case a_layout::rows:
    pack_rows(args.a + row * args.a_stride + k, args.a_stride, rows, k_size, to);
    break;
  case a_layout::columns:
    pack_columns(args.a + k * args.a_stride + row, args.a_stride, rows, k_size, to);
    break;
  }
}

/// Packs block [k, k + k_size) of panel `panel` of B.
static void pack_block(const product_args& args, int64_t panel, int64_t k, int64_t k_size, float* to) {
  const int64_t column = panel * panel_width;
  const int64_t columns = std::min(panel_width, args.n - column);
  const bool narrow = args.b.type() == dtype::bf16;
  const const_reals transposed = args.b + (k * args.n + column * panel_width);
  switch (args.b_kind) {
  case b_layout::panels:
    widen_panel(args.b.as<bf16>() + (panel * args.k + k) * panel_width, k_size, to);
    break;
  case b_layout::rows:
    pack_panel_rows(args.b.as<float>() + k * args.b_stride + column, args.b_stride, columns, k_size, to);
    break;
  case b_layout::transposed_panels:
    narrow ? pack_panel_transposed(transposed.as<bf16>(), args.n * panel_width, columns, k_size, to)
           : pack_panel_transposed(transposed.as<float>(), args.n * panel_width, columns, k_size, to);
    break;
  }
}

/// Where the chains of one panel start in the first block of k.
struct chain_start {
  HWY_ALIGN float values[panel_width] = {};

  chain_start(const product_args& args, int64_t panel) {
    if (args.bias != nullptr) {
      const int64_t columns = std::min(panel_width, args.n - panel * panel_width);
      const const_reals bias = args.bias + panel * panel_width;
      if (bias.type() == dtype::bf16) {
        std::transform(bias.as<bf16>(), bias.as<bf16>() + columns, values, [](bf16 value) { return to_float(value); });
      } else {
        std::memcpy(values, bias.as<float>(), static_cast<size_t>(columns) * sizeof(float));
      }
    }
  }
};

static void copy_tile(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows,
                      int64_t columns) {
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * to_stride, from + r * from_stride, static_cast<size_t>(columns) * sizeof(float));
  }
}

/// A tile of which only `columns` columns exist in C goes through a copy.
template <class Real> static void multiply_narrow_tile(const tile_args<Real>& args, int64_t rows, int64_t columns) {
  HWY_ALIGN float c[max_tile_rows * panel_width] = {};
  tile_args<Real> copy = args;
  copy.c = c;
  copy.c_stride = panel_width;
  if (args.start == args.c) {
    copy_tile(args.c, args.c_stride, c, panel_width, rows, columns);
    copy.start = c;
    copy.start_stride = panel_width;
  }
  multiply_tile_of_rows<Real>[static_cast<size_t>(rows - 1)](copy);
  copy_tile(c, panel_width, args.c, args.c_stride, rows, columns);
}

/// A tile begins by loading its part of C: asked for while the tile before it is computed.
static void prefetch_tile(const float* c, int64_t c_stride, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    hwy::Prefetch(c + r * c_stride);
    hwy::Prefetch(c + r * c_stride + panel_width / 2);
  }
}

/// All tiles of the task in one panel and one block of k.
template <class Real>
static void multiply_panel(const product_args& args, const packed_span& span, const product_task& task, int64_t panel,
                           int64_t block, const Real* b, const Real* next_b) {
  const bool from_c = args.accumulate || span.k_begin + block > 0;
  const chain_start start(args, panel);
  const int64_t columns = std::min(panel_width, args.n - panel * panel_width);
  const int64_t k_size = span.block_size(block);
  const int64_t share = divide_up(panel_width, task.tile_end - task.tile_begin);
  for (int64_t tile = task.tile_begin; tile < task.tile_end; ++tile) {
    const int64_t row = span.row_begin + span.tile_begin(tile);
    const int64_t rows = span.tile_rows(tile);
    float* c = args.c + row * args.c_stride + panel * args.c_panel_stride;
    tile_args<Real> arguments{.a = span.packed + span.tile_offset(block, tile),
                              .b = b,
                              .k = k_size,
                              .start = from_c ? c : start.values,
                              .start_stride = from_c ? args.c_stride : 0,
                              .c = c,
                              .c_stride = args.c_stride,
                              .ahead = b};
    if (next_b != nullptr) {  // the tiles of this block share the fetching of the next
      arguments.ahead = next_b + (tile - task.tile_begin) * k_size * share;
      arguments.ahead_step = share;
    }
    prefetch_tile(c + rows * args.c_stride, args.c_stride, rows);
    if (columns == panel_width) {
      multiply_tile_of_rows<Real>[static_cast<size_t>(rows - 1)](arguments);
    } else {
      multiply_narrow_tile(arguments, rows, columns);
    }
  }
}

/// Block by block of k, so that A stays in cache while panels pass; but where rows are few, panel
/// by panel, so that the weight is read in the order of its addresses. `scratch` holds one block of
/// a panel; null where B is used as it lies, in Real.
template <class Real>
static void run_task_of(const product_args& args, const packed_span& span, const product_task& task, float* scratch) {
  const bool ready = scratch == nullptr;
  const bool by_panel = ready && cpu::few_tiles(task.tile_end - task.tile_begin);
  const int64_t blocks = span.k_blocks();
  const int64_t panels = task.panel_end - task.panel_begin;
  for (int64_t i = 0; i < blocks * panels; ++i) {
    const int64_t block = by_panel ? i % blocks : i / panels;
    const int64_t panel = task.panel_begin + (by_panel ? i / blocks : i % panels);
    const int64_t k_size = span.block_size(block);
    const int64_t k = span.k_begin + block * span.k_block;
    if (!ready) {
      pack_block(args, panel, k, k_size, scratch);
      multiply_panel<float>(args, span, task, panel, block, scratch, nullptr);
      continue;
    }
    const Real* b = args.b.as<Real>() + (panel * args.k + k) * panel_width;
    const int64_t step = (by_panel ? k_size : args.k) * panel_width;
    const bool last = by_panel ? i + 1 == blocks * panels : panel + 1 == task.panel_end;
    multiply_panel<Real>(args, span, task, panel, block, b, last ? nullptr : b + step);
  }
}

void run_task(const product_args& args, const packed_span& span, const product_task& task, float* scratch) {
  const bool narrow = scratch == nullptr && args.b.type() == dtype::bf16;
  narrow ? run_task_of<bf16>(args, span, task, nullptr) : run_task_of<float>(args, span, task, scratch);
}

void add_rows(float* sums, const float* x, int64_t stride, int64_t m, int64_t n) {
  const math::float_tag d;
  for (int64_t row = 0; row < m; ++row) {
    math::ForEachVector(d, n, [&](int64_t j, int64_t count) HWY_ATTR {
      const auto values = math::PartialLoad(d, x + row * stride + j, count);
      math::PartialStore(hn::Add(math::PartialLoad(d, sums + j, count), values), d, sums + j, count);
    });
  }
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(largest_tile);
HWY_EXPORT(pack_tile);
HWY_EXPORT(run_task);
HWY_EXPORT(add_rows);

namespace cpu {

/// k of a block at most, and rows of A in a task: a block of them stays in the second-level cache
/// while panels stream past. Few rows take shorter blocks: one is multiplied while the next
/// arrives.
static constexpr int64_t longest_block = 640;
static constexpr int64_t block_of_few_rows = 192;
static constexpr int64_t rows_in_task = 256;
static constexpr int64_t tasks_per_thread = 16;
static constexpr int64_t tasks_of_few_rows = 4;

/// Grows to what the largest product of this thread needs: about product_scratch_floats at most.
static float* packing_scratch(int64_t size) {
  static thread_local aligned_buffer<float> buffer;
  return buffer.reserve(size);
}

static float* panel_scratch() {
  static thread_local aligned_buffer<float> buffer;
  return buffer.reserve(longest_block * panel_width);
}

static int64_t block_of(const product_args& args, int64_t tile_rows) {
  const bool few = args.b_kind == b_layout::panels && few_tiles(divide_up(args.m, tile_rows));
  const int64_t blocks = divide_up(args.k, few ? block_of_few_rows : longest_block);
  return round_up(divide_up(args.k, blocks), panel_width);
}

/// Bodies go to the pool by reference, which std::function holds without allocating.
static void pack_span(context& ctx, const product_args& args, packed_span& span) {
  if (args.m == 1 && args.a_kind == a_layout::rows) {  // a row is its own packed tile
    span.packed = args.a + span.k_begin;
    return;
  }
  float* packed = packing_scratch(span.rows * span.k_size);
  span.packed = packed;
  // A few thousand values are packed sooner than another thread is woken.
  const int64_t jobs = span.tiles * span.k_blocks();
  const int64_t parts = span.rows * span.k_size < 16384 ? 1 : std::min(jobs, 8 * int64_t{ctx.pool.threads()});
  const auto pack = [&](int64_t part) {
    for (int64_t job = part_begin(jobs, parts, part); job < part_begin(jobs, parts, part + 1); ++job) {
      HWY_DYNAMIC_DISPATCH(pack_tile)(args, span, job / span.tiles, job % span.tiles, packed);
    }
  };
  ctx.pool.parallel_for(parts, std::ref(pack));
}

/// Where B is packed, all rows share a packed panel (A then streams from the third-level cache),
/// unless there are too few panels to go round.
static int64_t row_groups(const context& ctx, const product_args& args, int64_t rows, int64_t panels) {
  const int64_t groups = divide_up(rows, rows_in_task);
  if (args.b_kind == b_layout::panels) {
    return groups;
  }
  return std::min(groups, divide_up(tasks_per_thread / 2 * int64_t{ctx.pool.threads()}, panels));
}

static void multiply_span(context& ctx, const product_args& args, const packed_span& span) {
  const int64_t panels = divide_up(args.n, panel_width);
  const int64_t groups = row_groups(ctx, args, span.rows, panels);
  // Enough tasks that threads finish together, yet several panels in each: for a block of A that
  // is read from memory, and because the first panel of a task is not asked for ahead.
  const int64_t per_thread = few_tiles(span.tiles) ? tasks_of_few_rows : tasks_per_thread;
  const int64_t wanted = divide_up(per_thread * int64_t{ctx.pool.threads()}, groups);
  const int64_t most = groups > 1 ? divide_up(panels, int64_t{2}) : panels;
  const int64_t parts = std::clamp(wanted, int64_t{1}, most);
  // A bfloat16 costs a little to widen: once where many rows use it.
  const bool in_place =
      args.b_kind == b_layout::panels && (args.b.type() == dtype::f32 || few_tiles(divide_up(span.tiles, groups)));
  const auto run = [&](int64_t index) {
    const int64_t part = index / groups;
    const int64_t group = index % groups;
    const product_task task{.tile_begin = part_begin(span.tiles, groups, group),
                            .tile_end = part_begin(span.tiles, groups, group + 1),
                            .panel_begin = part_begin(panels, parts, part),
                            .panel_end = part_begin(panels, parts, part + 1)};
    HWY_DYNAMIC_DISPATCH(run_task)(args, span, task, in_place ? nullptr : panel_scratch());
  };
  ctx.pool.parallel_for(parts * groups, std::ref(run));
}

void product(context& ctx, const product_args& args) {
  const int64_t tile_rows = HWY_DYNAMIC_DISPATCH(largest_tile)();
  const int64_t k_block = block_of(args, tile_rows);
  const int64_t row_chunks = divide_up(args.m * k_block, product_scratch_floats);
  const int64_t rows_at_once = divide_up(args.m, row_chunks);
  const int64_t k_at_once = std::max(int64_t{1}, product_scratch_floats / (rows_at_once * k_block)) * k_block;
  for (int64_t row = 0; row < args.m; row += rows_at_once) {
    for (int64_t k = 0; k < args.k; k += k_at_once) {
      packed_span span{.row_begin = row,
                       .rows = std::min(rows_at_once, args.m - row),
                       .k_begin = k,
                       .k_size = std::min(k_at_once, args.k - k),
                       .k_block = k_block};
      span.tiles = divide_up(span.rows, tile_rows);
      pack_span(ctx, args, span);
      multiply_span(ctx, args, span);
    }
  }
}

void add_column_sums(context& ctx, float* sums_N, const float* x_MN, int64_t stride, int64_t m, int64_t n) {
  constexpr int64_t columns = 256;
  ctx.pool.parallel_for(divide_up(n, columns), [&](int64_t part) {
    const int64_t first = part * columns;
    HWY_DYNAMIC_DISPATCH(add_rows)
    (sums_N + first, x_MN + first, stride, m, std::min(columns, n - first));
  });
}

}  // namespace cpu
}  // namespace troupe::kernels
#endif  // HWY_ONCE
