#include "base/device.hpp"
#include "base/round_up.hpp"
#include "kernels/cuda/matrix.hpp"
#include "kernels/cuda/shared_rows.cuh"
#include "kernels/cuda/thread.cuh"
#include "kernels/matrix.hpp"

namespace troupe::kernels::cuda {
namespace {

// ---- What all products share

/// Where C goes, and what is added to it before.
struct result {
  void* data = nullptr;
  int64_t stride = 0;
  const void* bias = nullptr;  ///< [n] or null
  bool is_bf16 = false, bias_is_bf16 = false, accumulate = false;
};

__device__ inline float read(const void* data, bool is_bf16, int64_t i) {
  return is_bf16 ? to_float(static_cast<const bf16*>(data)[i]) : static_cast<const float*>(data)[i];
}

/// What the chain of element (row, column) is added to.
__device__ inline float addend(const result& c, int64_t row, int64_t column) {
  return c.accumulate        ? read(c.data, c.is_bf16, row * c.stride + column)
         : c.bias != nullptr ? read(c.bias, c.bias_is_bf16, column)
                             : 0.0F;
}

__device__ inline void write(const result& c, int64_t row, int64_t column, float value) {
  const int64_t i = row * c.stride + column;
  if (c.is_bf16) {
    static_cast<bf16*>(c.data)[i] = to_bf16(value);
  } else {
    static_cast<float*>(c.data)[i] = value;
  }
}

result result_in(reals c, int64_t stride, const_reals bias, bool accumulate) {
  return {.data = c.data(),
          .stride = stride,
          .bias = bias.data(),
          .is_bf16 = c.type() == dtype::bf16,
          .bias_is_bf16 = bias.type() == dtype::bf16,
          .accumulate = accumulate};
}

unsigned blocks_for(int64_t extent, int64_t tile) { return static_cast<unsigned>(divide_up(extent, tile)); }

// ---- bfloat16, in tiles

/// C [m, n] = A [m, k] B [k, n]. An operand is stored by rows of its inner dimension (each m or n one row) or by
/// columns (each k one row).
struct operand {
  const bf16* data = nullptr;
  int64_t stride = 0;
  bool aligned = false;

  /// What is stored from a row and column on.
  __device__ row_source at(int64_t row, int64_t column, int64_t rows, int64_t columns) const {
    return {data + row * stride + column, stride, rows, columns, aligned};
  }
};

struct product {
  result c;
  operand a, b;
  int64_t m = 0, n = 0, k = 0;
};

constexpr int step = 32;  ///< of k between two barriers

/// A piece of an operand, `Extent` of m or n by `step` of k.
template <int Extent, bool ByColumns> struct operand_tile;

template <int Extent> struct operand_tile<Extent, false> {
  shared_rows<Extent, step> values;

  template <int Threads>
  __device__ void fetch(const operand& from, int64_t first, int64_t extent, int64_t k, int64_t end) {
    fetch_rows<Threads>(values, from.at(first, k, extent - first, end - k));
  }
  __device__ void a(uint32_t (&fragment)[4], int row, int k) { load_a(fragment, values, row, k); }
  __device__ b_pair b(int column, int k) { return load_b(values, column, k); }
};

template <int Extent> struct operand_tile<Extent, true> {
  shared_rows<step, Extent> values;

  template <int Threads>
  __device__ void fetch(const operand& from, int64_t first, int64_t extent, int64_t k, int64_t end) {
    fetch_rows<Threads>(values, from.at(k, first, end - k, extent - first));
  }
  __device__ void a(uint32_t (&fragment)[4], int row, int k) { load_a_transposed(fragment, values, k, row); }
  __device__ b_pair b(int column, int k) { return load_b_transposed(values, k, column); }
};

/// Tile * Tile of C by WarpRows * WarpColumns warps, with Stages pieces of k on their way.
template <int TileExtent, int WarpRows, int WarpColumns, int StageCount> struct tiling {
  static constexpr int64_t tile = TileExtent;
  static constexpr int stages = StageCount, warp_columns = WarpColumns;
  static constexpr int threads = 32 * WarpRows * WarpColumns;
  static constexpr int rows = tile / WarpRows, columns = tile / WarpColumns;  ///< of one warp
};
using small_tiles = tiling<64, 2, 2, 4>;
using large_tiles = tiling<128, 2, 4, 4>;

template <class Tiling, bool AByColumns, bool BByColumns> struct tile_memory {
  operand_tile<Tiling::tile, AByColumns> a[Tiling::stages];
  operand_tile<Tiling::tile, BByColumns> b[Tiling::stages];
};

/// Whether blockIdx.x counts tiles of m, and y those of n; else it is the other way round. Blocks begin along x, which
/// is the shorter side of C: so the smaller operand stays in the cache, and the larger one is read about once.
TROUPE_HD inline bool tiles_by_rows(const product& p) { return p.m < p.n; }

template <class Tiling, bool AByColumns, bool BByColumns>
__global__ void __launch_bounds__(Tiling::threads, 512 / Tiling::threads) tile_kernel(product p) {
  constexpr int threads = Tiling::threads, stages = Tiling::stages;
  auto& memory = block_dynamic_shared<tile_memory<Tiling, AByColumns, BByColumns>>();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const bool rows_first = tiles_by_rows(p);
  const int64_t row0 = (rows_first ? blockIdx.x : blockIdx.y) * Tiling::tile;
  const int64_t column0 = (rows_first ? blockIdx.y : blockIdx.x) * Tiling::tile;
  const int row = warp / Tiling::warp_columns * Tiling::rows, column = warp % Tiling::warp_columns * Tiling::columns;
  const bool idle = row0 + row >= p.m || column0 + column >= p.n;  // the warp has nothing to compute

  int stage = 0, fetched = 0;  // the pieces of memory that are multiplied and fetched next
  const auto fetch = [&](int64_t k) {
    if (k < p.k) {
      memory.a[fetched].template fetch<threads>(p.a, row0, p.m, k, p.k);
      memory.b[fetched].template fetch<threads>(p.b, column0, p.n, k, p.k);
    }
    copy_async_commit();
    fetched = next_stage<stages>(fetched);
  };
  for (int s = 0; s < stages - 1; ++s) {
    fetch(int64_t{s} * step);
  }
  float d[Tiling::rows / 16][Tiling::columns / 8][4] = {};
  for (int64_t k = 0; k < p.k; k += step) {
    copy_async_wait<stages - 2>();
    __syncthreads();
    fetch(k + (stages - 1) * step);
#pragma unroll
    for (int inner = 0; inner < step; inner += 16) {
      if (idle || k + inner >= p.k) {
        break;
      }
      uint32_t a[Tiling::rows / 16][4];
#pragma unroll
      for (int i = 0; i < Tiling::rows / 16; ++i) {
        memory.a[stage].a(a[i], row + 16 * i, inner);
      }
#pragma unroll
      for (int j = 0; j < Tiling::columns / 8; j += 2) {
        const b_pair b = memory.b[stage].b(column + 8 * j, inner);
#pragma unroll
        for (int i = 0; i < Tiling::rows / 16; ++i) {
          multiply_add(d[i][j], a[i], b.first);
          multiply_add(d[i][j + 1], a[i], b.second);
        }
      }
    }
    stage = next_stage<stages>(stage);
  }
#pragma unroll
  for (int i = 0; i < Tiling::rows / 16; ++i) {
#pragma unroll
    for (int j = 0; j < Tiling::columns / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t at = row0 + row + 16 * i + lane / 4 + e / 2 * 8;
        const int64_t to = column0 + column + 8 * j + lane % 4 * 2 + e % 2;
        if (at < p.m && to < p.n) {
          write(p.c, at, to, __fadd_rn(d[i][j][e], addend(p.c, at, to)));
        }
      }
    }
  }
}

template <class Tiling, bool AByColumns, bool BByColumns> void multiply_by(context& ctx, const product& p) {
  using memory = tile_memory<Tiling, AByColumns, BByColumns>;
  const unsigned by_m = blocks_for(p.m, Tiling::tile), by_n = blocks_for(p.n, Tiling::tile);
  launch_with_shared<memory>(tile_kernel<Tiling, AByColumns, BByColumns>,
                             tiles_by_rows(p) ? dim3(by_m, by_n) : dim3(by_n, by_m), dim3(Tiling::threads),
                             compute_stream(ctx), p);
}

/// Large tiles read less; small ones leave less of the card idle where there are few.
template <bool AByColumns, bool BByColumns> void multiply(context& ctx, const product& p) {
  const int64_t large = divide_up(p.m, large_tiles::tile) * divide_up(p.n, large_tiles::tile);
  if (large >= ctx.on->facts().multiprocessors) {
    multiply_by<large_tiles, AByColumns, BByColumns>(ctx, p);
  } else {
    multiply_by<small_tiles, AByColumns, BByColumns>(ctx, p);
  }
}

// ---- bfloat16, few rows

constexpr int skinny_rows = 64;  ///< the most
constexpr int skinny_threads = 128;

/// 16 outputs of one block, for up to Rows rows: weights are the first operand here, so that 16 rows of the matrix unit
/// are full. Step: of k in one of Stages pieces on their way.
template <int Rows, int Step, int Stages> struct skinny_memory {
  shared_rows<16, Step> weight[Stages];
  shared_rows<Rows, Step> x[Stages];
};

/// p.a are the rows, p.b the weights. All threads fetch; warp w computes rows [8 w, 8 w + 8), and 32 rows further on.
template <int Rows, int Step, int Stages>
__global__ void __launch_bounds__(skinny_threads, 2) skinny_kernel(product p) {
  auto& memory = block_dynamic_shared<skinny_memory<Rows, Step, Stages>>();
  constexpr int most = (Rows + 31) / 32;  // groups of 8 rows in a warp
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t output0 = static_cast<int64_t>(blockIdx.x) * 16;
  int stage = 0, fetched = 0;  // as in tile_kernel
  const auto fetch = [&](int64_t k) {
    if (k < p.k) {
      fetch_rows<skinny_threads>(memory.weight[fetched], p.b.at(output0, k, p.n - output0, p.k - k));
      fetch_rows<skinny_threads>(memory.x[fetched], p.a.at(0, k, p.m, p.k - k));
    }
    copy_async_commit();
    fetched = next_stage<Stages>(fetched);
  };
  for (int s = 0; s < Stages - 1; ++s) {
    fetch(int64_t{s} * Step);
  }
  float d[most][4] = {};
  for (int64_t k = 0; k < p.k; k += Step) {
    copy_async_wait<Stages - 2>();
    __syncthreads();
    fetch(k + (Stages - 1) * Step);
#pragma unroll
    for (int inner = 0; inner < Step; inner += 32) {
      if (8 * warp >= p.m || k + inner >= p.k) {
        break;
      }
      uint32_t first[4], second[4];
      load_a(first, memory.weight[stage], 0, inner);
      load_a(second, memory.weight[stage], 0, inner + 16);
#pragma unroll
      for (int i = 0; i < most; ++i) {
        const int row = 8 * warp + 32 * i;
        if (row < Rows && row < p.m) {
          uint32_t x[4];  // of 8 rows and 32 of k
          load_matrices(x, memory.x[stage].at(row + lane % 8, inner + lane / 8 * 8));
          multiply_add(d[i], first, {x[0], x[1]});
          multiply_add(d[i], second, {x[2], x[3]});
        }
      }
    }
    stage = next_stage<Stages>(stage);
  }
#pragma unroll
  for (int i = 0; i < most; ++i) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int64_t output = output0 + lane / 4 + e / 2 * 8;
      const int64_t row = 8 * warp + 32 * i + lane % 4 * 2 + e % 2;
      if (row < p.m && output < p.n) {
        write(p.c, row, output, __fadd_rn(d[i][e], addend(p.c, row, output)));
      }
    }
  }
}

template <int Rows, int Step, int Stages> void multiply_skinny_by(context& ctx, const product& p) {
  using memory = skinny_memory<Rows, Step, Stages>;
  launch_with_shared<memory>(skinny_kernel<Rows, Step, Stages>, dim3(blocks_for(p.n, 16)), dim3(skinny_threads),
                             compute_stream(ctx), p);
}

void multiply_skinny(context& ctx, const product& p) {
  if (p.m <= 8) {
    multiply_skinny_by<8, 128, 12>(ctx, p);
  } else if (p.m <= 16) {
    multiply_skinny_by<16, 128, 12>(ctx, p);
  } else if (p.m <= 32) {
    multiply_skinny_by<32, 128, 8>(ctx, p);
  } else {
    multiply_skinny_by<skinny_rows, 128, 4>(ctx, p);
  }
}

// ---- float32

/// C(i, j) = addend + sum over k of A(i, k) B(k, j).
template <class B> struct chain_product {
  result c;
  const float* a = nullptr;  ///< A(i, k) = a[i * a_row + k * a_k]
  int64_t a_row = 0, a_k = 0;
  const B* b = nullptr;  ///< B(k, j) = b[j * b_column + k * b_k]
  int64_t b_column = 0, b_k = 0;
  int64_t m = 0, n = 0, k = 0;
};

constexpr int chain_tile = 64, chain_step = 16, chain_threads = 256;

struct chain_memory {
  float a[chain_step][chain_tile + 1], b[chain_step][chain_tile + 1];
};

/// to[k][i] = from(first + i, k0 + k), 0 past the ends. Threads go along the dimension in which `from` is dense.
template <class T>
__device__ inline void fetch_chain(float (&to)[chain_step][chain_tile + 1], const T* from, int64_t stride,
                                   int64_t k_stride, int64_t first, int64_t extent, int64_t k0, int64_t end) {
  for (int at = static_cast<int>(threadIdx.x); at < chain_tile * chain_step; at += chain_threads) {
    const int i = k_stride == 1 ? at / chain_step : at % chain_tile;
    const int k = k_stride == 1 ? at % chain_step : at / chain_tile;
    const bool there = first + i < extent && k0 + k < end;
    to[k][i] = there ? to_float(from[(first + i) * stride + (k0 + k) * k_stride]) : 0.0F;
  }
}

/// A thread has 4 rows and 4 columns, 16 apart.
template <class B> __global__ void __launch_bounds__(chain_threads, 2) chain_kernel(chain_product<B> p) {
  auto& memory = block_shared<chain_memory>();
  const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
  const int64_t row0 = static_cast<int64_t>(blockIdx.y) * chain_tile;
  const int64_t column0 = static_cast<int64_t>(blockIdx.x) * chain_tile;
  float sum[4][4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t row = row0 + ty + 16 * i, column = column0 + tx + 16 * j;
      sum[i][j] = row < p.m && column < p.n ? addend(p.c, row, column) : 0.0F;
    }
  }
  const bool idle = row0 + ty >= p.m || column0 + tx >= p.n;
  for (int64_t k = 0; k < p.k; k += chain_step) {
    __syncthreads();
    fetch_chain(memory.a, p.a, p.a_row, p.a_k, row0, p.m, k, p.k);
    fetch_chain(memory.b, p.b, p.b_column, p.b_k, column0, p.n, k, p.k);
    __syncthreads();
    const auto steps = static_cast<int>(p.k - k < chain_step ? p.k - k : chain_step);
    for (int inner = 0; inner < steps && !idle; ++inner) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          sum[i][j] = __fmaf_rn(memory.a[inner][ty + 16 * i], memory.b[inner][tx + 16 * j], sum[i][j]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t row = row0 + ty + 16 * i, column = column0 + tx + 16 * j;
      if (row < p.m && column < p.n) {
        write(p.c, row, column, sum[i][j]);
      }
    }
  }
}

template <class B> void multiply_chains(context& ctx, const chain_product<B>& p) {
  launch(chain_kernel<B>, dim3(blocks_for(p.n, chain_tile), blocks_for(p.m, chain_tile)), dim3(chain_threads),
         compute_stream(ctx), p);
}

// ---- Column sums

constexpr int sums_threads = 32;

/// sum[j] += column j of the rows, one after the other.
template <class T>
__global__ void __launch_bounds__(sums_threads)
    column_sums_kernel(float* sum_O, const T* rows_NO, int64_t stride, int64_t n, int64_t columns) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * sums_threads + threadIdx.x;
  if (column >= columns) {
    return;
  }
  float sum = sum_O[column];
#pragma unroll 32
  for (int64_t row = 0; row < n; ++row) {
    sum = __fadd_rn(sum, to_float(rows_NO[row * stride + column]));
  }
  sum_O[column] = sum;
}

template <class T> void add_column_sums(context& ctx, const linear_backward_weight_args& args, int64_t stride) {
  if (args.dbias_O != nullptr) {
    launch(column_sums_kernel<T>, dim3(blocks_for(args.outputs, sums_threads)), dim3(sums_threads), compute_stream(ctx),
           args.dbias_O, args.dy_NO.as<T>(), stride, args.n, args.outputs);
  }
}

operand operand_in(const_reals values, int64_t stride) {
  const bf16* data = values.as<bf16>();
  return {data, stride, rows_aligned(data, stride)};
}

bool is_bf16(const_reals values) { return values.type() == dtype::bf16; }

template <class Weight> void forward_chains(context& ctx, const linear_args& args, const result& y, int64_t x_stride) {
  multiply_chains<Weight>(ctx, {.c = y,
                                .a = args.x_NI,
                                .a_row = x_stride,
                                .a_k = 1,
                                .b = args.weight.as<Weight>(),
                                .b_column = args.inputs,
                                .b_k = 1,
                                .m = args.n,
                                .n = args.outputs,
                                .k = args.inputs});
}

template <class Weight>
void backward_input_chains(context& ctx, const linear_backward_input_args& args, int64_t stride) {
  multiply_chains<Weight>(ctx, {.c = result_in(args.dx_NI, args.inputs, nullptr, args.accumulate),
                                .a = args.dy_NO,
                                .a_row = stride,
                                .a_k = 1,
                                .b = args.weight.as<Weight>(),
                                .b_column = 1,
                                .b_k = args.inputs,
                                .m = args.n,
                                .n = args.inputs,
                                .k = args.outputs});
}

}  // namespace

void linear_forward(context& ctx, const linear_args& args) {
  const int64_t x_stride = args.x_stride != 0 ? args.x_stride : args.inputs;
  const result y =
      result_in(args.y_NO, args.y_stride != 0 ? args.y_stride : args.outputs, args.bias_O, args.accumulate);
  if (!is_bf16(args.x_NI)) {
    return is_bf16(args.weight) ? forward_chains<bf16>(ctx, args, y, x_stride)
                                : forward_chains<float>(ctx, args, y, x_stride);
  }
  const product p{.c = y,
                  .a = operand_in(args.x_NI, x_stride),
                  .b = operand_in(args.weight, args.inputs),
                  .m = args.n,
                  .n = args.outputs,
                  .k = args.inputs};
  args.n <= skinny_rows ? multiply_skinny(ctx, p) : multiply<false, false>(ctx, p);
}

void linear_backward_input(context& ctx, const linear_backward_input_args& args) {
  const int64_t stride = args.dy_stride != 0 ? args.dy_stride : args.outputs;
  if (!is_bf16(args.dy_NO)) {
    return is_bf16(args.weight) ? backward_input_chains<bf16>(ctx, args, stride)
                                : backward_input_chains<float>(ctx, args, stride);
  }
  multiply<false, true>(ctx, {.c = result_in(args.dx_NI, args.inputs, nullptr, args.accumulate),
                              .a = operand_in(args.dy_NO, stride),
                              .b = operand_in(args.weight, args.inputs),
                              .m = args.n,
                              .n = args.inputs,
                              .k = args.outputs});
}

void linear_backward_weight(context& ctx, const linear_backward_weight_args& args) {
  const int64_t stride = args.dy_stride != 0 ? args.dy_stride : args.outputs;
  const result dweight = result_in(args.dweight, args.inputs, nullptr, true);
  if (is_bf16(args.dy_NO)) {
    if (args.dweight != nullptr) {
      multiply<true, true>(ctx, {.c = dweight,
                                 .a = operand_in(args.dy_NO, stride),
                                 .b = operand_in(args.x_NI, args.inputs),
                                 .m = args.outputs,
                                 .n = args.inputs,
                                 .k = args.n});
    }
    return add_column_sums<bf16>(ctx, args, stride);
  }
  multiply_chains<float>(ctx, {.c = dweight,
                               .a = args.dy_NO,
                               .a_row = 1,
                               .a_k = stride,
                               .b = args.x_NI,
                               .b_column = 1,
                               .b_k = args.inputs,
                               .m = args.outputs,
                               .n = args.inputs,
                               .k = args.n});
  add_column_sums<float>(ctx, args, stride);
}

}  // namespace troupe::kernels::cuda
