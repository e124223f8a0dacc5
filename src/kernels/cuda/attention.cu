#include "base/round_up.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/attention_shape.cuh"
#include "kernels/cuda/shared_rows.cuh"
#include "kernels/cuda/thread.cuh"

#include <algorithm>

namespace troupe::kernels::cuda {
namespace {

constexpr int tile_keys = static_cast<int>(attention_tile), span_keys = static_cast<int>(attention_span);

// ---- Which rows a block has, and where their keys are

/// Query rows of one block that attend to the keys of one key/value head. Row r is query number `first` + r of its
/// sequence, where each position has `group` queries, those of neighbouring heads.
struct query_rows {
  int64_t row = 0;   ///< of the call: of the sequence's first position here
  int position = 0;  ///< of that row in its sequence
  int first = 0, count = 0;
  int head = 0, group = 1;
  int kv_head = 0;

  __device__ int64_t row_of(int r) const { return row + (first + r) / group; }
  __device__ int position_of(int r) const { return position + (first + r) / group; }
  __device__ int head_of(int r) const { return head + (first + r) % group; }
  __device__ int keys() const { return position_of(count - 1) + 1; }  ///< that any of the rows sees
};

/// Keys of positions [first, first + 64).
template <class T> struct key_tile {
  const T *keys = nullptr, *values = nullptr;
  int64_t stride = 0;
};

/// The largest i in [0, count) with begin(i) <= at; begin rises, and begin(0) <= at. By a warp, 32 at a time.
template <class Begin> __device__ inline int64_t last_begun(int64_t count, int64_t at, const Begin& begin) {
  const auto lane = static_cast<int64_t>(threadIdx.x % 32);
  int64_t low = 0;
  while (count > 1) {
    const int64_t apart = (count + 31) / 32, mine = lane * apart;
    const unsigned begun = __ballot_sync(all_lanes, mine < count && begin(low + mine) <= at);
    const int64_t skipped = (31 - __clz(static_cast<int>(begun))) * apart;
    low += skipped;
    count = count - skipped < apart ? count - skipped : apart;
  }
  return low;
}

/// Packed sequences, 64 positions of one head a block: blockIdx.x is the tile, from the last one; blockIdx.y the head.
template <class T> struct packed_rows {
  const T* qkv_NE = nullptr;
  head_layout layout;
  const int64_t* offset_B1 = nullptr;
  const int32_t* tile_T2 = nullptr;
  int64_t start = 0;  ///< of the block's sequence, once it is found

  /// Returns false if the block has no rows.
  __device__ bool find(query_rows& rows) {
    const packed_tile tile(offset_B1, tile_T2, block_from_last());
    start = tile.start;
    rows.position = tile.first;
    rows.row = start + tile.first;
    rows.count = tile.rows;
    rows.head = static_cast<int>(blockIdx.y);
    rows.kv_head = rows.head / layout.group;
    return rows.count > 0;
  }
  __device__ key_tile<T> tile(const query_rows& rows, int first) const {
    const T* row = qkv_NE + (start + first) * layout.row;
    return {row + layout.key_column(rows.kv_head), row + layout.value_column(rows.kv_head), layout.row};
  }
};

/// New rows of sequences whose keys are in pages; all heads of a key/value head (blockIdx.y) together. A sequence of n
/// queries has at most n / RowsABlock + 1 blocks: block b is of the last sequence that begins at it or before.
template <class T, int RowsABlock> struct paged_rows {
  head_layout layout;
  const T *keys = nullptr, *values = nullptr;
  page_map where;
  int64_t sequence = 0;

  __device__ int64_t first_block(int64_t s) const { return s + where.row_S1[s] * layout.group / RowsABlock; }

  __device__ bool find(query_rows& rows) {
    const int64_t block = block_from_last();
    sequence = last_begun(where.sequences, block, [&](int64_t s) { return first_block(s); });
    rows.row = where.row_S1[sequence];
    rows.position = where.position_S[sequence];
    rows.group = layout.group;
    const auto queries = static_cast<int>((where.row_S1[sequence + 1] - rows.row) * rows.group);
    rows.first = static_cast<int>(block - first_block(sequence)) * RowsABlock;
    rows.count = queries - rows.first < RowsABlock ? queries - rows.first : RowsABlock;
    rows.kv_head = static_cast<int>(blockIdx.y);
    rows.head = rows.kv_head * rows.group;
    return rows.count > 0;
  }
  __device__ key_tile<T> tile(const query_rows& rows, int first) const {
    const int64_t page = where.page_SP[sequence * where.stride + first / tile_keys];
    const int64_t at = (page * layout.kv_heads + rows.kv_head) * tile_keys * layout.width;
    return {keys + at, values + at, layout.width};
  }
};

// ---- bfloat16

/// What becomes of a block's rows.
struct results {
  bf16* out_NHK = nullptr;
  float* lse_NH = nullptr;  ///< or null
  // Where spans have blocks of their own: what each of them comes to, [N, H, spans], and o_K of each.
  float *part_o = nullptr, *part_maximum = nullptr, *part_sum = nullptr;
  int32_t* spans_N = nullptr;  ///< of each row; 0: its sequence is absent
  int spans = 1;               ///< in the grid
};

/// Of the 16 rows of one warp, in the fragments of multiply_add: rows lane / 4 and lane / 4 + 8.
template <int ValueWidth> struct row_state {
  float o[ValueWidth / 8][4], maximum[2], sum[2];

  __device__ void begin() {
    clear(o);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      maximum[half] = minus_infinity;
      sum[half] = 0;
    }
  }
};

/// How two spans of keys become one.
struct fold {
  float keep, scale;

  __device__ fold(float& maximum, float& sum, float span_maximum, float span_sum) {
    const float top = fmaxf(maximum, span_maximum);
    keep = exp2_approx(__fsub_rn(maximum, top));
    scale = exp2_approx(__fsub_rn(span_maximum, top));
    sum = __fmaf_rn(span_sum, scale, __fmul_rn(sum, keep));
    maximum = top;
  }
  __device__ float value(float o, float span_o) const { return __fmaf_rn(span_o, scale, __fmul_rn(o, keep)); }
};

/// Adding 0 turns -0, which depends on keys that do not count, into 0.
__device__ inline float finished(float o, float sum) { return __fadd_rn(__fdiv_rn(o, sum), 0.0F); }

template <int Width, int ValueWidth, int Threads> struct tile_memory {
  shared_rows<tile_keys, Width> keys;  // the queries pass through here first
  shared_rows<tile_keys, ValueWidth> values;
  float folded_o[ValueWidth / 2][Threads];  // of the spans before, each thread's own: registers are for one span
};

/// Puts the spans before in front of `state`'s.
template <int ValueWidth, int Threads>
__device__ inline void fold_spans(row_state<ValueWidth>& state, const float (&folded_o)[ValueWidth / 2][Threads],
                                  const float (&folded_maximum)[2], const float (&folded_sum)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float maximum = folded_maximum[half], sum = folded_sum[half];
    const fold f(maximum, sum, state.maximum[half], state.sum[half]);
    state.maximum[half] = maximum;
    state.sum[half] = sum;
#pragma unroll
    for (int j = 0; j < ValueWidth / 8; ++j) {
#pragma unroll
      for (int c = 2 * half; c < 2 * half + 2; ++c) {
        state.o[j][c] = f.value(folded_o[4 * j + c][threadIdx.x], state.o[j][c]);
      }
    }
  }
}

template <int ValueWidth, int Threads>
__device__ inline void keep_spans(const row_state<ValueWidth>& state, float (&folded_o)[ValueWidth / 2][Threads],
                                  float (&folded_maximum)[2], float (&folded_sum)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    folded_maximum[half] = state.maximum[half];
    folded_sum[half] = state.sum[half];
  }
#pragma unroll
  for (int j = 0; j < ValueWidth / 8; ++j) {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      folded_o[4 * j + c][threadIdx.x] = state.o[j][c];
    }
  }
}

/// Begins to copy a block's queries, which stand at no fixed distance: heads of a position beside each other, positions
/// a row apart. What is not there is 0.
template <int Threads, int Width>
__device__ inline void fetch_queries(shared_rows<tile_keys, Width>& to, const query_rows& rows, const bf16* qkv_NE,
                                     const head_layout& layout, bool aligned) {
  constexpr int pieces = Width / 8;
  for (int i = static_cast<int>(threadIdx.x); i < Threads / 2 * pieces; i += Threads) {
    const int r = i / pieces, column = i % pieces * 8;
    const int values = r < rows.count ? values_of_piece(layout.width, column) : 0;
    const bf16* from = qkv_NE + rows.row_of(r) * layout.row + rows.head_of(r) * layout.width + column;
    if (aligned && values % 8 == 0) {
      copy_async_16(to.at(r, column), from, values == 0);
    } else {
      copy_piece(to.at(r, column), from, values);
    }
  }
}

/// Dot products of the warp's 16 queries with 64 keys.
template <int Width>
__device__ inline void find_dots(float (&dots)[8][4], const uint32_t (&q)[Width / 16][4],
                                 shared_rows<tile_keys, Width>& keys) {
  clear(dots);
#pragma unroll
  for (int i = 0; i < Width / 16; ++i) {
#pragma unroll
    for (int j = 0; j < 8; j += 2) {
      const b_pair b = load_b(keys, 8 * j, 16 * i);
      multiply_add(dots[j], q[i], b.first);
      multiply_add(dots[j + 1], q[i], b.second);
    }
  }
}

/// Turns dot products into powers 2^(score - maximum), and updates the state by them.
template <int ValueWidth>
__device__ inline void find_powers(float (&dots)[8][4], row_state<ValueWidth>& state, const query_rows& rows,
                                   const head_layout& layout, int first_key, float scale_log2) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = 16 * warp + lane / 4 + 8 * half;
    const int distance = first_key + lane % 4 * 2 - rows.position_of(r);
    const float slope_log2 = r < rows.count ? __fmul_rn(layout.slope(rows.head_of(r)), log2_e) : 0.0F;
    float top = state.maximum[half];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        float& z = dots[j][2 * half + c];
        z = score(z, scale_log2, slope_log2, distance + 8 * j + c);
        top = fmaxf(top, z);
      }
    }
    top = fmaxf(top, __shfl_xor_sync(all_lanes, top, 1));
    top = fmaxf(top, __shfl_xor_sync(all_lanes, top, 2));
    const bool none = top == minus_infinity;  // none of these keys, nor of those before, counts
    const float keep = none ? 1.0F : exp2_approx(__fsub_rn(state.maximum[half], top));
    float sum = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        float& z = dots[j][2 * half + c];
        z = none ? 0.0F : exp2_approx(__fsub_rn(z, top));
        sum = __fadd_rn(sum, z);
      }
    }
    sum = __fadd_rn(sum, __shfl_xor_sync(all_lanes, sum, 1));
    sum = __fadd_rn(sum, __shfl_xor_sync(all_lanes, sum, 2));
    state.sum[half] = __fmaf_rn(state.sum[half], keep, sum);
    state.maximum[half] = top;
#pragma unroll
    for (int j = 0; j < ValueWidth / 8; ++j) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        state.o[j][2 * half + c] = __fmul_rn(state.o[j][2 * half + c], keep);
      }
    }
  }
}

template <int ValueWidth>
__device__ inline void add_values(row_state<ValueWidth>& state, const float (&powers)[8][4],
                                  shared_rows<tile_keys, ValueWidth>& values) {
#pragma unroll
  for (int i = 0; i < tile_keys / 16; ++i) {
    uint32_t p[4];
    operand_from(p, powers[2 * i], powers[2 * i + 1]);
#pragma unroll
    for (int j = 0; j < ValueWidth / 8; j += 2) {
      const b_pair b = load_b_transposed(values, 16 * i, 8 * j);
      multiply_add(state.o[j], p, b.first);
      multiply_add(state.o[j + 1], p, b.second);
    }
  }
}

/// Writes rows whose every key has been seen, or what one span has come to.
template <int ValueWidth>
__device__ inline void write_rows(const results& to, const row_state<ValueWidth>& state, const query_rows& rows,
                                  const head_layout& layout, int value_column, int span) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = 16 * warp + lane / 4 + 8 * half;
    if (r >= rows.count) {
      continue;
    }
    const int64_t row = rows.row_of(r), at = row * layout.heads + rows.head_of(r);
    const int64_t part = at * to.spans + span;
    const bool first_lane = lane % 4 == 0 && value_column == 0;
    if (to.part_o != nullptr && first_lane) {
      to.part_maximum[part] = state.maximum[half];
      to.part_sum[part] = state.sum[half];
    } else if (to.lse_NH != nullptr && first_lane) {
      to.lse_NH[at] = __fmaf_rn(state.maximum[half], ln_2, logf(state.sum[half]));
    }
#pragma unroll
    for (int j = 0; j < ValueWidth / 8; ++j) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int64_t column = value_column + 8 * j + lane % 4 * 2 + c;
        const float o = state.o[j][2 * half + c];
        if (column < layout.width && to.part_o != nullptr) {
          to.part_o[part * layout.width + column] = o;
        } else if (column < layout.width) {
          to.out_NHK[at * layout.width + column] = to_bf16(finished(o, state.sum[half]));
        }
      }
    }
  }
}

/// 16 rows a warp. ValueWidth: how many columns of the result a block computes; blockIdx.z is the span, where each has
/// its block, times the columns' piece.
template <int Width, int ValueWidth, int Threads, class Rows>
__global__ void __launch_bounds__(Threads, 256 / Threads)
    attention_kernel(Rows where, const bf16* qkv_NE, head_layout layout, float scale_log2, bool aligned, results to) {
  constexpr int slices = Width / ValueWidth;
  auto& memory = block_dynamic_shared<tile_memory<Width, ValueWidth, Threads>>();
  const int lane_row = 16 * (static_cast<int>(threadIdx.x) / 32);
  const int span = static_cast<int>(blockIdx.z) / slices;
  const int value_column = static_cast<int>(blockIdx.z) % slices * ValueWidth;
  query_rows rows;
  if (!where.find(rows)) {
    return;
  }
  const bool one_span = to.part_o != nullptr;
  const int begin = span * span_keys;
  const int end = one_span && begin + span_keys < rows.keys() ? begin + span_keys : rows.keys();
  if (begin >= end) {
    return;
  }
  uint32_t q[Width / 16][4];
  fetch_queries<Threads>(memory.keys, rows, qkv_NE, layout, aligned);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
#pragma unroll
  for (int i = 0; i < Width / 16; ++i) {
    load_a(q[i], memory.keys, lane_row, 16 * i);
  }
  __syncthreads();

  const auto fetch_keys = [&](int first) {
    if (first < end) {
      const key_tile<bf16> tile = where.tile(rows, first);
      fetch_rows<Threads>(memory.keys, {tile.keys, tile.stride, end - first, layout.width, aligned});
    }
    copy_async_commit();
  };
  const auto fetch_values = [&](int first) {
    const key_tile<bf16> tile = where.tile(rows, first);
    const bf16* values = tile.values + value_column;
    fetch_rows<Threads>(memory.values, {values, tile.stride, end - first, layout.width - value_column, aligned});
    copy_async_commit();
  };
  row_state<ValueWidth> state;
  float folded_maximum[2], folded_sum[2];
  state.begin();
  const int last_row = lane_row + 15 < rows.count ? lane_row + 15 : rows.count - 1;
  const int last_key = lane_row < rows.count ? rows.position_of(last_row) : -1;  // that a row of this warp sees
  fetch_keys(begin);
  for (int first = begin; first < end; first += tile_keys) {
    const bool seen = first <= last_key;  // else nothing would change
    copy_async_wait<0>();
    __syncthreads();
    fetch_values(first);
    float powers[8][4];
    if (seen) {
      find_dots<Width>(powers, q, memory.keys);
    }
    __syncthreads();
    fetch_keys(first + tile_keys);
    if (seen) {
      find_powers(powers, state, rows, layout, first, scale_log2);
    }
    copy_async_wait<1>();
    __syncthreads();
    if (seen) {
      add_values(state, powers, memory.values);
    }
    const bool last = first + tile_keys >= end;
    if (!one_span && first >= span_keys && (last || (first + tile_keys) % span_keys == 0)) {
      fold_spans(state, memory.folded_o, folded_maximum, folded_sum);
    }
    if (!last && (first + tile_keys) % span_keys == 0) {
      keep_spans(state, memory.folded_o, folded_maximum, folded_sum);
      state.begin();
    }
  }
  write_rows(to, state, rows, layout, value_column, span);
}

/// Folds the spans of one row and head (blockIdx.x).
__global__ void __launch_bounds__(128) fold_kernel(results to, head_layout layout) {
  const int64_t at = blockIdx.x, part = at * to.spans;
  const int spans = to.spans_N[at / layout.heads];
  for (int64_t column = threadIdx.x; column < layout.width; column += 128) {
    float o = 0, maximum = minus_infinity, sum = 0;
    for (int s = 0; s < spans; ++s) {
      const fold f(maximum, sum, to.part_maximum[part + s], to.part_sum[part + s]);
      o = f.value(o, to.part_o[(part + s) * layout.width + column]);
    }
    to.out_NHK[at * layout.width + column] = to_bf16(finished(o, sum));
  }
}

/// Of each position here, its keys and values into its page; into spans_N, if it is not null, how many spans of keys it
/// sees. blockIdx.x is the row.
template <class T>
__global__ void __launch_bounds__(128)
    append_kernel(page_map where, head_layout layout, const T* qkv_NE, T* keys, T* values, int32_t* spans_N) {
  const int64_t row = blockIdx.x;
  const int64_t sequence = last_begun(where.sequences, row, [&](int64_t s) { return where.row_S1[s]; });
  const int64_t position = where.position_S[sequence] + row - where.row_S1[sequence];
  const bool absent = position < 0;
  if (spans_N != nullptr && threadIdx.x == 0) {
    spans_N[row] = absent ? 0 : static_cast<int32_t>(position / span_keys) + 1;
  }
  if (absent) {
    return;
  }
  const int64_t page = where.page_SP[sequence * where.stride + position / tile_keys];
  const T* key = qkv_NE + row * layout.row + layout.key_column(0);
  const T* value = qkv_NE + row * layout.row + layout.value_column(0);
  for (int64_t i = threadIdx.x; i < layout.kv_heads * layout.width; i += 128) {
    const int64_t head = i / layout.width, column = i % layout.width;
    const int64_t at = ((page * layout.kv_heads + head) * tile_keys + position % tile_keys) * layout.width + column;
    keys[at] = key[i];
    values[at] = value[i];
  }
}

// ---- float32

constexpr int rows_threads = 128, row_warps = rows_threads / 32;

/// One warp's row r of `rows`.
template <class Rows>
__device__ inline void attend_row(const Rows& where, const query_rows& rows, int r, const float* qkv_NE,
                                  const head_layout& layout, float* out_NHK, float* lse_NH) {
  constexpr int most = 256 / 32;  // columns of a lane
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto width = static_cast<int>(layout.width);
  const int position = rows.position_of(r), head = rows.head_of(r);
  const int64_t row = rows.row_of(r), at = row * layout.heads + head;
  const float* q = qkv_NE + row * layout.row + head * layout.width;
  const float slope = layout.slope(head);
  float maximum = minus_infinity, sum = 0, o[most] = {};
  for (int first = 0; first <= position; first += 32) {
    const key_tile<float> tile = where.tile(rows, first / tile_keys * tile_keys);
    const int offset = first % tile_keys;
    float z = minus_infinity;
    if (first + lane <= position) {
      const float* key = tile.keys + (offset + lane) * tile.stride;
      float dot = 0;
      for (int c = 0; c < width; ++c) {
        dot = __fmaf_rn(q[c], key[c], dot);
      }
      z = __fmaf_rn(slope, static_cast<float>(first + lane - position), __fmul_rn(dot, layout.scale));
    }
    const float top = fmaxf(maximum, warp_max(z));
    const float keep = expf(__fsub_rn(maximum, top)), p = expf(__fsub_rn(z, top));
    sum = __fmaf_rn(sum, keep, warp_sum(p));
    maximum = top;
#pragma unroll
    for (float& x : o) {
      x = __fmul_rn(x, keep);
    }
    const int keys = position - first + 1 < 32 ? position - first + 1 : 32;
    for (int key = 0; key < keys; ++key) {
      const float weight = __shfl_sync(all_lanes, p, key);
      const float* value = tile.values + (offset + key) * tile.stride;
#pragma unroll
      for (int c = 0; c < most; ++c) {
        if (lane + 32 * c < width) {
          o[c] = __fmaf_rn(weight, value[lane + 32 * c], o[c]);
        }
      }
    }
  }
#pragma unroll
  for (int c = 0; c < most; ++c) {
    if (lane + 32 * c < width) {
      out_NHK[at * layout.width + lane + 32 * c] = finished(o[c], sum);
    }
  }
  if (lse_NH != nullptr && lane == 0) {
    lse_NH[at] = __fadd_rn(maximum, logf(sum));
  }
}

template <class Rows>
__global__ void __launch_bounds__(rows_threads, 4)
    attention_rows_kernel(Rows where, const float* qkv_NE, head_layout layout, float* out_NHK, float* lse_NH) {
  query_rows rows;
  if (!where.find(rows)) {
    return;
  }
  for (int r = static_cast<int>(threadIdx.x) / 32; r < rows.count; r += row_warps) {
    attend_row(where, rows, r, qkv_NE, layout, out_NHK, lse_NH);
  }
}

// ---- Launches

/// One block computes this many columns of a result whose heads are `width` wide: more would not stay in registers.
template <int Width> constexpr int value_width = Width <= 128 ? Width : 64;

bool is_bf16(const_reals values) { return values.type() == dtype::bf16; }

template <int Width, int Warps, class Rows>
void attend(context& ctx, const Rows& where, const bf16* qkv_NE, const head_layout& layout, bool aligned,
            const results& to, int64_t blocks, int64_t heads) {
  constexpr int values = value_width<Width>, threads = 32 * Warps;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(heads),
                  static_cast<unsigned>(to.spans * (Width / values)));
  launch_with_shared<tile_memory<Width, values, threads>>(attention_kernel<Width, values, threads, Rows>, grid,
                                                          dim3(threads), compute_stream(ctx), where, qkv_NE, layout,
                                                          layout.scale * log2_e, aligned, to);
}

/// Rows of q, k and v begin at multiples of the head's width, in rows of qkv and in pages.
bool heads_aligned(std::initializer_list<const void*> arrays, int64_t width) {
  bool aligned = true;
  for (const void* array : arrays) {
    aligned = aligned && rows_aligned(array, width);
  }
  return aligned;
}

template <class T> packed_rows<T> packed_in(const attention_args& args) {
  return {.qkv_NE = args.qkv_NE.as<T>(),
          .layout = layout_of(args.shape),
          .offset_B1 = args.offset_B1.data(),
          .tile_T2 = args.tile_T2.data()};
}

template <class T, int RowsABlock> paged_rows<T, RowsABlock> paged_in(const paged_attention_args& args) {
  return {.layout = layout_of(args.shape),
          .keys = args.pages.keys.as<T>(),
          .values = args.pages.values.as<T>(),
          .where = args.where};
}

template <class T> void append(context& ctx, const paged_attention_args& args, int32_t* spans_N = nullptr) {
  launch(append_kernel<T>, dim3(static_cast<unsigned>(args.where.rows)), dim3(128), compute_stream(ctx), args.where,
         layout_of(args.shape), args.qkv_NE.as<T>(), args.pages.keys.as<T>(), args.pages.values.as<T>(), spans_N);
}

/// Memory for what spans come to, if each has a block of its own.
void divide_spans(context& ctx, const paged_attention_args& args, results& to) {
  const int64_t rows = args.where.rows, heads = args.shape.heads;
  to.spans = static_cast<int>(divide_up(args.where.longest, attention_span));
  const int64_t parts = rows * heads * to.spans;
  auto* floats = reinterpret_cast<float*>(
      scratch(ctx, (parts * (args.shape.head_width + 2) + rows) * static_cast<int64_t>(sizeof(float))));
  to.part_o = floats;
  to.part_maximum = floats + parts * args.shape.head_width;
  to.part_sum = to.part_maximum + parts;
  to.spans_N = reinterpret_cast<int32_t*>(to.part_sum + parts);
}

/// All sequences' blocks, and perhaps some without rows.
template <int RowsABlock> int64_t paged_blocks(const paged_attention_args& args) {
  return args.where.sequences + args.where.rows * layout_of(args.shape).group / RowsABlock;
}

template <int Warps> void attend_paged(context& ctx, const paged_attention_args& args, results to) {
  const auto where = paged_in<bf16, 16 * Warps>(args);
  const bf16* qkv = args.qkv_NE.as<bf16>();
  const bool aligned = heads_aligned({qkv, where.keys, where.values}, args.shape.head_width);
  with_head_width(args.shape.head_width, [&](auto width) {
    attend<width(), Warps>(ctx, where, qkv, where.layout, aligned, to, paged_blocks<16 * Warps>(args),
                           args.shape.kv_heads);
  });
}

}  // namespace

void attention_forward(context& ctx, const attention_args& args) {
  const auto tiles = static_cast<int64_t>(args.tile_T2.size() / 2);
  if (tiles == 0) {
    return;
  }
  if (!is_bf16(args.qkv_NE)) {
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(args.shape.heads));
    return launch(attention_rows_kernel<packed_rows<float>>, grid, dim3(rows_threads), compute_stream(ctx),
                  packed_in<float>(args), args.qkv_NE, layout_of(args.shape), args.out_NHK, args.lse_NH);
  }
  const packed_rows<bf16> where = packed_in<bf16>(args);
  const bool aligned = heads_aligned({where.qkv_NE}, args.shape.head_width);
  const results to{.out_NHK = args.out_NHK.as<bf16>(), .lse_NH = args.lse_NH};
  with_head_width(args.shape.head_width, [&](auto width) {
    attend<width(), 4>(ctx, where, where.qkv_NE, where.layout, aligned, to, tiles, args.shape.heads);
  });
}

void paged_attention_forward(context& ctx, const paged_attention_args& args) {
  const int64_t rows = args.where.rows;
  if (rows == 0) {
    return;
  }
  if (!is_bf16(args.qkv_NE)) {
    append<float>(ctx, args);
    const auto where = paged_in<float, row_warps>(args);
    const dim3 grid(static_cast<unsigned>(paged_blocks<row_warps>(args)), static_cast<unsigned>(args.shape.kv_heads));
    return launch(attention_rows_kernel<paged_rows<float, row_warps>>, grid, dim3(rows_threads), compute_stream(ctx),
                  where, args.qkv_NE, where.layout, args.out_NHK, nullptr);
  }
  results to{.out_NHK = args.out_NHK.as<bf16>()};
  // On average more queries of a sequence than a warp has rows. A single position's do not count as more, however many
  // heads it has: all of them see the same keys, which decoding divides among blocks.
  const int64_t queries = rows * std::min(layout_of(args.shape).group, 16);
  const bool prompts = queries > 16 * args.where.sequences;
  const bool divided = !prompts && args.where.longest > attention_span;
  if (divided) {
    divide_spans(ctx, args, to);
  }
  append<bf16>(ctx, args, to.spans_N);
  if (prompts) {
    return attend_paged<4>(ctx, args, to);  // 64 queries read a tile of keys once
  }
  attend_paged<1>(ctx, args, to);
  if (divided) {
    launch(fold_kernel, dim3(static_cast<unsigned>(rows * args.shape.heads)), dim3(128), compute_stream(ctx), to,
           layout_of(args.shape));
  }
}

}  // namespace troupe::kernels::cuda
