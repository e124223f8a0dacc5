#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/attention_shape.cuh"
#include "kernels/cuda/shared_rows.cuh"
#include "kernels/cuda/thread.cuh"

namespace troupe::kernels::cuda {
namespace {

constexpr int tile_rows = static_cast<int>(attention_tile);
constexpr int backward_threads = 128, backward_warps = backward_threads / 32;
constexpr int step_rows = 32;  ///< rows of the other side that a block takes at a time

/// What all kernels of backward read. D_i = dout_i . out_i is what the softmax's normalisation takes off each dp.
///   p = exp(score - lse);   ds = p (dp - D) scale;   dv_j = sum_i p_ij dout_i;   dk_j = sum_i ds_ij q_i;
///   dq_i = sum_j ds_ij k_j
template <class T> struct backward_call {
  head_layout layout;
  T* dqkv_NE = nullptr;
  const T *dout_NHK = nullptr, *qkv_NE = nullptr;
  const float *lse_NH = nullptr, *delta_NH = nullptr;
  const int64_t* offset_B1 = nullptr;
  const int32_t* tile_T2 = nullptr;
  bool aligned = false;

  __device__ const T* query(int64_t row, int64_t head) const { return qkv_NE + row * layout.row + head * layout.width; }
  __device__ const T* dout(int64_t row, int64_t head) const {
    return dout_NHK + (row * layout.heads + head) * layout.width;
  }
  __device__ const T* key(int64_t row, int64_t kv_head) const {
    return qkv_NE + row * layout.row + layout.key_column(kv_head);
  }
  __device__ const T* value(int64_t row, int64_t kv_head) const {
    return qkv_NE + row * layout.row + layout.value_column(kv_head);
  }
  /// One head's rows of qkv, from `first` on.
  __device__ row_source rows_from(const bf16* first, int rows) const {
    return {first, layout.row, rows, layout.width, aligned};
  }
  __device__ row_source dout_rows_from(int64_t row, int64_t head, int rows) const {
    return {dout(row, head), layout.heads * layout.width, rows, layout.width, aligned};
  }
};

/// D of a tile (blockIdx.x) of one head (blockIdx.y).
template <class T>
__global__ void __launch_bounds__(backward_threads, 4)
    delta_kernel(backward_call<T> call, const T* out_NHK, float* delta_NH) {
  const packed_tile tile(call.offset_B1, call.tile_T2, blockIdx.x);
  const int64_t width = call.layout.width;
  for (int r = static_cast<int>(threadIdx.x) / 32; r < tile.rows; r += backward_warps) {
    const int64_t at = (tile.start + tile.first + r) * call.layout.heads + blockIdx.y;
    float sum = 0;
    for (int64_t c = threadIdx.x % 32; c < width; c += 32) {
      sum = __fmaf_rn(to_float(call.dout_NHK[at * width + c]), to_float(out_NHK[at * width + c]), sum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) {
      delta_NH[at] = sum;
    }
  }
}

// ---- bfloat16

/// a [16, Steps] += rows [row, row + 16) of `left` times all rows of `right`, over Width columns.
template <int Width, int Left, int Steps>
__device__ inline void multiply_rows(float (&sums)[Steps / 8][4], shared_rows<Left, Width>& left, int row,
                                     shared_rows<Steps, Width>& right) {
  clear(sums);
#pragma unroll
  for (int i = 0; i < Width / 16; ++i) {
    uint32_t a[4];
    load_a(a, left, row, 16 * i);
#pragma unroll
    for (int j = 0; j < Steps / 8; j += 2) {
      const b_pair b = load_b(right, 8 * j, 16 * i);
      multiply_add(sums[j], a, b.first);
      multiply_add(sums[j + 1], a, b.second);
    }
  }
}

/// sums [16, Columns] += weights [16, Steps] times columns [column, column + Columns) of `rows`.
template <int Columns, int Steps, int Width>
__device__ inline void add_weighted_rows(float (&sums)[Columns / 8][4], const float (&weights)[Steps / 8][4],
                                         shared_rows<Steps, Width>& rows, int column) {
#pragma unroll
  for (int i = 0; i < Steps / 16; ++i) {
    uint32_t a[4];
    operand_from(a, weights[2 * i], weights[2 * i + 1]);
#pragma unroll
    for (int j = 0; j < Columns / 8; j += 2) {
      const b_pair b = load_b_transposed(rows, 16 * i, column + 8 * j);
      multiply_add(sums[j], a, b.first);
      multiply_add(sums[j + 1], a, b.second);
    }
  }
}

/// Turns a dot product into p, and dp into ds.
__device__ inline void find_slope(float& dot, float& dp, float scale, float slope, int distance, float lse,
                                  float delta) {
  const float z = score(dot, __fmul_rn(scale, log2_e), __fmul_rn(slope, log2_e), distance);
  dot = exp2_approx(__fsub_rn(z, __fmul_rn(lse, log2_e)));
  dp = __fmul_rn(__fmul_rn(dot, __fsub_rn(dp, delta)), scale);
}

template <int Columns>
__device__ inline void write_sums(const float (&sums)[Columns / 8][4], bf16* to, int64_t stride, int rows,
                                  int64_t column, int64_t width) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = 16 * warp + lane / 4 + 8 * half;
#pragma unroll
    for (int j = 0; j < Columns / 8; ++j) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int64_t at = column + 8 * j + lane % 4 * 2 + c;
        if (row < rows && at < width) {
          to[row * stride + at] = to_bf16(sums[j][2 * half + c]);
        }
      }
    }
  }
}

template <int Width, int Steps> struct keys_memory {
  shared_rows<tile_rows, Width> keys, values;
  shared_rows<Steps, Width> queries[2], douts[2];
  float lse[2][Steps], delta[2][Steps];
};

/// dk and dv of a tile of keys (blockIdx.x) of one key/value head (blockIdx.y), Columns of them (blockIdx.z): the
/// group's heads in order, within each the queries in order.
template <int Width, int Columns, int Steps>
__global__ void __launch_bounds__(backward_threads, 1) backward_keys_kernel(backward_call<bf16> call) {
  auto& memory = block_dynamic_shared<keys_memory<Width, Steps>>();
  const head_layout& layout = call.layout;
  const packed_tile tile(call.offset_B1, call.tile_T2, blockIdx.x);
  if (tile.rows <= 0) {
    return;
  }
  const int64_t kv_head = blockIdx.y;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int column = static_cast<int>(blockIdx.z) * Columns;
  const int group = layout.group;
  const int steps_a_head = (tile.length - tile.first + Steps - 1) / Steps;

  const int64_t row0 = tile.start + tile.first;
  fetch_rows<backward_threads>(memory.keys, call.rows_from(call.key(row0, kv_head), tile.rows));
  fetch_rows<backward_threads>(memory.values, call.rows_from(call.value(row0, kv_head), tile.rows));
  const auto first_query = [&](int step) { return tile.first + step % steps_a_head * Steps; };
  const auto head_of = [&](int step) { return kv_head * group + step / steps_a_head; };
  const auto fetch = [&](int step) {
    if (step < group * steps_a_head) {
      const int first = first_query(step), stage = step % 2;
      const int64_t head = head_of(step);
      const int64_t row = tile.start + first;
      fetch_rows<backward_threads>(memory.queries[stage], call.rows_from(call.query(row, head), tile.length - first));
      fetch_rows<backward_threads>(memory.douts[stage], call.dout_rows_from(row, head, tile.length - first));
      const auto r = static_cast<int>(threadIdx.x);
      if (r < Steps) {
        const bool there = first + r < tile.length;
        const int64_t at = (row + r) * layout.heads + head;
        memory.lse[stage][r] = there ? call.lse_NH[at] : 0.0F;
        memory.delta[stage][r] = there ? call.delta_NH[at] : 0.0F;
      }
    }
    copy_async_commit();
  };
  float dk[Columns / 8][4] = {}, dv[Columns / 8][4] = {};
  fetch(0);
  for (int step = 0; step < group * steps_a_head; ++step) {
    fetch(step + 1);
    copy_async_wait<1>();
    __syncthreads();
    const int stage = step % 2, first = first_query(step);
    // A warp whose keys none of these queries sees has nothing to add.
    if (tile.first + 16 * warp < first + Steps && 16 * warp < tile.rows) {
      float p[Steps / 8][4], ds[Steps / 8][4];
      multiply_rows(p, memory.keys, 16 * warp, memory.queries[stage]);
      multiply_rows(ds, memory.values, 16 * warp, memory.douts[stage]);
      const float slope = layout.slope(head_of(step));
#pragma unroll
      for (int j = 0; j < Steps / 8; ++j) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const int key = tile.first + 16 * warp + lane / 4 + c / 2 * 8, query = 8 * j + lane % 4 * 2 + c % 2;
          find_slope(p[j][c], ds[j][c], layout.scale, slope, key - first - query, memory.lse[stage][query],
                     memory.delta[stage][query]);
        }
      }
      add_weighted_rows<Columns>(dv, p, memory.douts[stage], column);
      add_weighted_rows<Columns>(dk, ds, memory.queries[stage], column);
    }
    __syncthreads();
  }
  bf16* row = call.dqkv_NE + row0 * layout.row;
  write_sums<Columns>(dk, row + layout.key_column(kv_head), layout.row, tile.rows, column, layout.width);
  write_sums<Columns>(dv, row + layout.value_column(kv_head), layout.row, tile.rows, column, layout.width);
}

template <int Width> struct queries_memory {
  shared_rows<tile_rows, Width> queries, douts;
  shared_rows<step_rows, Width> keys[2], values[2];
};

/// dq of a tile of queries (blockIdx.x, from the last) of one head (blockIdx.y), Columns of it (blockIdx.z): keys in
/// order.
template <int Width, int Columns>
__global__ void __launch_bounds__(backward_threads, 1) backward_queries_kernel(backward_call<bf16> call) {
  auto& memory = block_dynamic_shared<queries_memory<Width>>();
  const head_layout& layout = call.layout;
  const packed_tile tile(call.offset_B1, call.tile_T2, block_from_last());
  if (tile.rows <= 0) {
    return;
  }
  const int64_t head = blockIdx.y, kv_head = static_cast<int>(head) / layout.group, row0 = tile.start + tile.first;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int column = static_cast<int>(blockIdx.z) * Columns;
  const int end = tile.first + tile.rows;

  fetch_rows<backward_threads>(memory.queries, call.rows_from(call.query(row0, head), tile.rows));
  fetch_rows<backward_threads>(memory.douts, call.dout_rows_from(row0, head, tile.rows));
  const auto fetch = [&](int first) {
    if (first < end) {
      const int stage = first / step_rows % 2;
      const int64_t row = tile.start + first;
      fetch_rows<backward_threads>(memory.keys[stage], call.rows_from(call.key(row, kv_head), end - first));
      fetch_rows<backward_threads>(memory.values[stage], call.rows_from(call.value(row, kv_head), end - first));
    }
    copy_async_commit();
  };
  float lse[2], delta[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = 16 * warp + lane / 4 + 8 * half;
    const int64_t at = (row0 + r) * layout.heads + head;
    lse[half] = r < tile.rows ? call.lse_NH[at] : 0.0F;
    delta[half] = r < tile.rows ? call.delta_NH[at] : 0.0F;
  }
  const float slope = layout.slope(head);
  float dq[Columns / 8][4] = {};
  fetch(0);
  for (int first = 0; first < end; first += step_rows) {
    fetch(first + step_rows);
    copy_async_wait<1>();
    __syncthreads();
    const int stage = first / step_rows % 2;
    if (first <= tile.first + 16 * warp + 15 && 16 * warp < tile.rows) {
      float p[step_rows / 8][4], ds[step_rows / 8][4];
      multiply_rows(p, memory.queries, 16 * warp, memory.keys[stage]);
      multiply_rows(ds, memory.douts, 16 * warp, memory.values[stage]);
#pragma unroll
      for (int j = 0; j < step_rows / 8; ++j) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const int query = tile.first + 16 * warp + lane / 4 + c / 2 * 8;
          const int key = first + 8 * j + lane % 4 * 2 + c % 2;
          find_slope(p[j][c], ds[j][c], layout.scale, slope, key - query, lse[c / 2], delta[c / 2]);
        }
      }
      add_weighted_rows<Columns>(dq, ds, memory.keys[stage], column);
    }
    __syncthreads();
  }
  write_sums<Columns>(dq, call.dqkv_NE + row0 * layout.row + head * layout.width, layout.row, tile.rows, column,
                      layout.width);
}

// ---- float32

constexpr int most_columns = 256 / 32;  ///< of a lane

__device__ inline float dot_of(const float* a, const float* b, int width) {
  float sum = 0;
  for (int c = 0; c < width; ++c) {
    sum = __fmaf_rn(a[c], b[c], sum);
  }
  return sum;
}

/// sums += the sum over `count` lanes of their weight times their row, one after the other.
template <class RowAt>
__device__ inline void add_rows(float (&sums)[most_columns], float weight, int count, int width, const RowAt& row_at) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = 0; i < count; ++i) {
    const float w = __shfl_sync(all_lanes, weight, i);
    const float* row = row_at(i);
#pragma unroll
    for (int c = 0; c < most_columns; ++c) {
      if (lane + 32 * c < width) {
        sums[c] = __fmaf_rn(w, row[lane + 32 * c], sums[c]);
      }
    }
  }
}

__device__ inline void write_row(float* to, const float (&sums)[most_columns], int width) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int c = 0; c < most_columns; ++c) {
    if (lane + 32 * c < width) {
      to[lane + 32 * c] = sums[c];
    }
  }
}

/// p and ds of one query and key of rows of the call, `distance` apart.
struct pair_slopes {
  float p = 0, ds = 0;

  __device__ pair_slopes() {}
  __device__ pair_slopes(const backward_call<float>& call, int64_t query_row, int64_t head, int64_t key_row,
                         int distance) {
    const head_layout& layout = call.layout;
    const auto width = static_cast<int>(layout.width);
    const int64_t kv_head = head / layout.group, at = query_row * layout.heads + head;
    const float dot = dot_of(call.query(query_row, head), call.key(key_row, kv_head), width);
    const float z = __fmaf_rn(layout.slope(head), static_cast<float>(distance), __fmul_rn(dot, layout.scale));
    p = expf(__fsub_rn(z, call.lse_NH[at]));
    const float dp = dot_of(call.dout(query_row, head), call.value(key_row, kv_head), width);
    ds = __fmul_rn(__fmul_rn(p, __fsub_rn(dp, call.delta_NH[at])), layout.scale);
  }
};

/// One warp a query.
__global__ void __launch_bounds__(backward_threads, 4) backward_query_rows_kernel(backward_call<float> call) {
  const packed_tile tile(call.offset_B1, call.tile_T2, blockIdx.x);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto width = static_cast<int>(call.layout.width);
  const int64_t head = blockIdx.y, kv_head = head / call.layout.group;
  for (int r = static_cast<int>(threadIdx.x) / 32; r < tile.rows; r += backward_warps) {
    const int position = tile.first + r;
    const int64_t row = tile.start + position;
    float dq[most_columns] = {};
    for (int first = 0; first <= position; first += 32) {
      pair_slopes mine;
      if (first + lane <= position) {
        mine = pair_slopes(call, row, head, tile.start + first + lane, first + lane - position);
      }
      add_rows(dq, mine.ds, position - first + 1 < 32 ? position - first + 1 : 32, width,
               [&](int i) { return call.key(tile.start + first + i, kv_head); });
    }
    write_row(call.dqkv_NE + row * call.layout.row + head * call.layout.width, dq, width);
  }
}

/// One warp a key.
__global__ void __launch_bounds__(backward_threads, 4) backward_key_rows_kernel(backward_call<float> call) {
  const packed_tile tile(call.offset_B1, call.tile_T2, blockIdx.x);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto width = static_cast<int>(call.layout.width);
  const int64_t kv_head = blockIdx.y, group = call.layout.group;
  for (int r = static_cast<int>(threadIdx.x) / 32; r < tile.rows; r += backward_warps) {
    const int position = tile.first + r;
    const int64_t row = tile.start + position;
    float dk[most_columns] = {}, dv[most_columns] = {};
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (int first = position; first < tile.length; first += 32) {
        pair_slopes mine;
        if (first + lane < tile.length) {
          mine = pair_slopes(call, tile.start + first + lane, head, row, position - first - lane);
        }
        const int count = tile.length - first < 32 ? tile.length - first : 32;
        add_rows(dv, mine.p, count, width, [&](int i) { return call.dout(tile.start + first + i, head); });
        add_rows(dk, mine.ds, count, width, [&](int i) { return call.query(tile.start + first + i, head); });
      }
    }
    float* to = call.dqkv_NE + row * call.layout.row;
    write_row(to + call.layout.key_column(kv_head), dk, width);
    write_row(to + call.layout.value_column(kv_head), dv, width);
  }
}

// ---- Launches

template <class T> backward_call<T> call_of(context& ctx, const attention_backward_args& args) {
  const int64_t heads = args.shape.heads, width = args.shape.head_width;
  const auto tiles = static_cast<int64_t>(args.tile_T2.size() / 2);  // which have all rows
  auto* delta = reinterpret_cast<float*>(scratch(ctx, tiles * tile_rows * heads * static_cast<int64_t>(sizeof(float))));
  const backward_call<T> call{.layout = layout_of(args.shape),
                              .dqkv_NE = args.dqkv_NE.as<T>(),
                              .dout_NHK = args.dout_NHK.as<T>(),
                              .qkv_NE = args.qkv_NE.as<T>(),
                              .lse_NH = args.lse_NH,
                              .delta_NH = delta,
                              .offset_B1 = args.offset_B1.data(),
                              .tile_T2 = args.tile_T2.data(),
                              .aligned =
                                  rows_aligned(args.qkv_NE.data(), width) && rows_aligned(args.dout_NHK.data(), width)};
  launch(delta_kernel<T>, dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(heads)), dim3(backward_threads),
         compute_stream(ctx), call, args.out_NHK.as<T>(), delta);
  return call;
}

template <int Width> void backward(context& ctx, const backward_call<bf16>& call, unsigned tiles) {
  // More columns, or rows at a time, would not stay in registers.
  constexpr int dq_columns = Width <= 128 ? Width : 128, dk_columns = Width <= 128 ? Width : 64;
  constexpr int steps = Width < 128 ? step_rows : step_rows / 2;
  const auto heads = static_cast<unsigned>(call.layout.heads), kv_heads = static_cast<unsigned>(call.layout.kv_heads);
  launch_with_shared<keys_memory<Width, steps>>(backward_keys_kernel<Width, dk_columns, steps>,
                                                dim3(tiles, kv_heads, Width / dk_columns), dim3(backward_threads),
                                                compute_stream(ctx), call);
  launch_with_shared<queries_memory<Width>>(backward_queries_kernel<Width, dq_columns>,
                                            dim3(tiles, heads, Width / dq_columns), dim3(backward_threads),
                                            compute_stream(ctx), call);
}

}  // namespace

void attention_backward(context& ctx, const attention_backward_args& args) {
  const auto tiles = static_cast<unsigned>(args.tile_T2.size() / 2);
  if (tiles == 0) {
    return;
  }
  if (args.qkv_NE.type() == dtype::f32) {
    const auto call = call_of<float>(ctx, args);
    launch(backward_key_rows_kernel, dim3(tiles, static_cast<unsigned>(args.shape.kv_heads)), dim3(backward_threads),
           compute_stream(ctx), call);
    return launch(backward_query_rows_kernel, dim3(tiles, static_cast<unsigned>(args.shape.heads)),
                  dim3(backward_threads), compute_stream(ctx), call);
  }
  const auto call = call_of<bf16>(ctx, args);
  with_head_width(args.shape.head_width, [&](auto width) { backward<width()>(ctx, call, tiles); });
}

}  // namespace troupe::kernels::cuda
