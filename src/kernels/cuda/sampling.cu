#include "kernels/cuda/row_softmax.cuh"
#include "kernels/cuda/sampling.hpp"

#include <cmath>

namespace troupe::kernels::cuda {
namespace {

using mass = unsigned long long;  ///< probability in units of 2^-62, or a count

constexpr int buckets = 2048, buckets_a_thread = buckets / row_threads, row_warps = row_threads / 32;

/// Sums to which all threads add. Shared memory adds 32 bits in one instruction, but 64 in a loop that tries until no
/// other thread has come between. So a sum has two halves, and who makes the lower one overflow adds 1 to the upper.
class bucket_sums {
public:
  __device__ void clear(int bucket) { low_[bucket] = high_[bucket] = 0; }
  __device__ void add(unsigned bucket, mass value) {
    const auto low = static_cast<unsigned>(value);
    auto high = static_cast<unsigned>(value >> 32);
    if (low != 0) {
      high += atomicAdd(&low_[bucket], low) + low < low ? 1 : 0;
    }
    if (high != 0) {
      atomicAdd(&high_[bucket], high);
    }
  }
  /// Once all have added.
  __device__ mass at(int bucket) const { return static_cast<mass>(high_[bucket]) << 32 | low_[bucket]; }

private:
  unsigned low_[buckets], high_[buckets];
};

struct sampling_memory {
  bucket_sums bucket;
  mass of_warp[row_warps];
  mass above;      ///< what stands before the place that was found
  unsigned found;  ///< bucket
  unsigned key;
  int token;
};

/// A row of scaled logits and its statistics, in whole numbers: keys rise as logits do, and equal logits have equal
/// keys.
struct row_view {
  const float* logits_V;
  int64_t vocabulary;
  softmax_statistics statistics;

  __device__ unsigned key(int64_t v) const {
    const unsigned bits = __float_as_uint(__fadd_rn(logits_V[v], 0.0F));  // -0 becomes 0, which it ties with
    return (bits & sign) != 0 ? ~bits : bits | sign;
  }
  __device__ float probability(int64_t v) const { return expf(log_prob_of(logits_V, statistics, v)); }
  __device__ mass mass_of(int64_t v) const { return in_units(probability(v)); }
  /// Of each token with this key.
  __device__ mass mass_at(unsigned key) const {
    const float logit = __uint_as_float((key & sign) != 0 ? key ^ sign : ~key);
    return in_units(expf(log_prob_of(&logit, statistics, 0)));
  }

private:
  static constexpr unsigned sign = 0x80000000U;
  __device__ static mass in_units(float probability) { return static_cast<mass>(__fmul_rn(probability, 0x1p62F)); }
};

/// Sum over the block, for each thread.
__device__ inline mass block_total(sampling_memory& memory, mass value) {
  for (int lane_mask = 16; lane_mask > 0; lane_mask /= 2) {
    value += __shfl_xor_sync(all_lanes, value, lane_mask);
  }
  if (threadIdx.x % 32 == 0) {
    memory.of_warp[threadIdx.x / 32] = value;
  }
  __syncthreads();
  mass sum = 0;
  for (const mass of_warp : memory.of_warp) {
    sum += of_warp;
  }
  __syncthreads();
  return sum;
}

/// Sum over the threads before this one.
__device__ inline mass total_before(sampling_memory& memory, mass value) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  mass up_to = value;
  for (unsigned by = 1; by < 32; by *= 2) {
    const mass other = __shfl_up_sync(all_lanes, up_to, by);
    up_to += lane >= by ? other : 0;
  }
  if (lane == 31) {
    memory.of_warp[warp] = up_to;
  }
  __syncthreads();
  mass before = up_to - value;
  for (unsigned w = 0; w < warp; ++w) {
    before += memory.of_warp[w];
  }
  __syncthreads();
  return before;
}

/// Sum of weight(v) over the row.
template <class Weight>
__device__ inline mass row_total(sampling_memory& memory, const row_view& row, const Weight& weight) {
  mass sum = 0;
  for (int64_t v = threadIdx.x; v < row.vocabulary; v += row_threads) {
    sum += weight(v);
  }
  return block_total(memory, sum);
}

/// Among tokens in falling order of their logits: the key at which the sum of weights gets past `target`, and the sum
/// of those with larger keys.
struct place {
  unsigned key;
  mass above;
};

/// `target` is less than the sum of all weights. Three passes, each of which finds some more bits of the key.
template <class Weight>
__device__ inline place find_place(sampling_memory& memory, const row_view& row, mass target, const Weight& weight) {
  place at{0, 0};
  for (int pass = 0; pass < 3; ++pass) {
    const int shift = pass == 0 ? 21 : pass == 1 ? 10 : 0, width = pass < 2 ? 11 : 10;
    for (int b = static_cast<int>(threadIdx.x); b < buckets; b += row_threads) {
      memory.bucket.clear(b);
    }
    __syncthreads();
    for (int64_t v = threadIdx.x; v < row.vocabulary; v += row_threads) {
      const unsigned key = row.key(v);
      if (pass == 0 || key >> (shift + width) == at.key) {
        memory.bucket.add(key >> shift & ((1U << width) - 1), weight(v));
      }
    }
    __syncthreads();
    // Thread 0 has the largest keys.
    const int first = buckets - 1 - static_cast<int>(threadIdx.x) * buckets_a_thread;
    mass mine = 0;
    for (int b = first; b > first - buckets_a_thread; --b) {
      mine += memory.bucket.at(b);
    }
    mass above = at.above + total_before(memory, mine);
    if (above <= target && target < above + mine) {
      int b = first;
      while (above + memory.bucket.at(b) <= target) {
        above += memory.bucket.at(b--);
      }
      memory.found = static_cast<unsigned>(b);
      memory.above = above;
    }
    __syncthreads();
    at = {at.key << width | memory.found, memory.above};
    __syncthreads();
  }
  return at;
}

/// The token number `rank` with this key, by id.
__device__ inline int token_at(sampling_memory& memory, const row_view& row, unsigned key, mass rank) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  mass before = 0;
  for (int64_t first = 0; first < row.vocabulary && before <= rank; first += row_threads) {
    const int64_t v = first + threadIdx.x;
    const bool has = v < row.vocabulary && row.key(v) == key;
    const unsigned having = __ballot_sync(all_lanes, has);
    if (lane == 0) {
      memory.of_warp[warp] = static_cast<mass>(__popc(having));
    }
    __syncthreads();
    mass mine = before + static_cast<mass>(__popc(having & ((1U << lane) - 1)));
    for (unsigned w = 0; w < row_warps; ++w) {
      mine += w < warp ? memory.of_warp[w] : 0;
      before += memory.of_warp[w];
    }
    if (has && mine == rank) {
      memory.token = static_cast<int>(v);
    }
    __syncthreads();
  }
  return memory.token;
}

/// The least value of the threads.
__device__ inline unsigned block_least(sampling_memory& memory, unsigned value) {
  if (threadIdx.x == 0) {
    memory.key = ~0U;
  }
  __syncthreads();
  atomicMin(&memory.key, value);
  __syncthreads();
  const unsigned least = memory.key;
  __syncthreads();
  return least;
}

/// The probability of the tokens that the filters keep: a first part of the falling order, by top-k, of that by top-p,
/// of that by min-p.
__device__ inline mass kept_mass(sampling_memory& memory, const row_view& row, const sampling_settings& s) {
  const auto mass_of = [&](int64_t v) { return row.mass_of(v); };
  mass kept = row_total(memory, row, mass_of);
  unsigned last_key = 0;
  if (s.top_k > 0 && s.top_k < row.vocabulary) {
    const auto k = static_cast<mass>(s.top_k);
    const place last = find_place(memory, row, k - 1, [](int64_t) { return mass{1}; });
    kept = row_total(memory, row, [&](int64_t v) { return row.key(v) > last.key ? row.mass_of(v) : 0; });
    kept += (k - last.above) * row.mass_at(last.key);
    last_key = last.key;
  }
  if (s.top_p < 1) {
    const double enough = ceil(static_cast<double>(s.top_p) * static_cast<double>(kept));
    const mass target = enough < 1 ? 0 : static_cast<mass>(enough) - 1;
    const place last = find_place(memory, row, target, mass_of);
    const mass each = row.mass_at(last.key);
    kept = last.above + ((target - last.above) / each + 1) * each;
    last_key = last.key;
  }
  if (s.min_p > 0) {
    const float largest = expf(-row.statistics.log_sum);
    const double least = static_cast<double>(s.min_p) * static_cast<double>(largest);
    const auto likely = [&](int64_t v) { return static_cast<double>(row.probability(v)) >= least; };
    unsigned least_key = ~0U;
    for (int64_t v = threadIdx.x; v < row.vocabulary; v += row_threads) {
      const unsigned key = row.key(v);
      least_key = key < least_key && likely(v) ? key : least_key;
    }
    if (block_least(memory, least_key) > last_key) {
      kept = row_total(memory, row, [&](int64_t v) { return likely(v) ? row.mass_of(v) : 0; });
    }
  }
  return kept;
}

__device__ inline int draw(sampling_memory& memory, const row_view& row, const sampling_settings& s, double uniform) {
  const mass kept = kept_mass(memory, row, s);
  const auto target = static_cast<mass>(uniform * static_cast<double>(kept));  // below it: uniform is 1 - 2^-53 at most
  const place at = find_place(memory, row, target, [&](int64_t v) { return row.mass_of(v); });
  return token_at(memory, row, at.key, (target - at.above) / row.mass_at(at.key));
}

/// The lowest id among the largest logits.
__device__ inline int greedy(sampling_memory& memory, const row_view& row) {
  unsigned lowest = ~0U;
  for (int64_t v = threadIdx.x; v < row.vocabulary; v += row_threads) {
    if (row.logits_V[v] == row.statistics.maximum) {
      lowest = static_cast<unsigned>(v) < lowest ? static_cast<unsigned>(v) : lowest;
    }
  }
  return static_cast<int>(block_least(memory, lowest));
}

__device__ inline bool is_distribution(const softmax_statistics& s) {
  return std::isfinite(s.maximum) && std::isfinite(s.log_sum);
}

/// One row a block. penalised_NV: room for a copy of each row, or null.
__global__ void __launch_bounds__(row_threads, 2)
    sample_kernel(sample_rows_args args, int64_t stride, float* penalised_NV) {
  auto& memory = block_shared<sampling_memory>();
  const int64_t n = blockIdx.x;
  const row_draw& draw_n = args.draw_N[n];
  const sampling_settings& s = draw_n.settings;
  const bool is_greedy = s.temperature == 0;
  const float temperature = is_greedy ? 1.0F : s.temperature;
  float* logits = args.logits_NV + n * stride;
  float* chosen_from = logits;
  const bool penalises =
      penalised_NV != nullptr && s.repetition_penalty != 1.0F && draw_n.context_end > draw_n.context_begin;
  if (penalises) {
    chosen_from = penalised_NV + n * args.vocabulary;
    for (int64_t v = threadIdx.x; v < args.vocabulary; v += row_threads) {
      chosen_from[v] = logits[v];
    }
    __syncthreads();
    for (int64_t i = draw_n.context_begin + threadIdx.x; i < draw_n.context_end; i += row_threads) {
      const int32_t id = args.context[i];  // who has the same id writes the same
      const float logit = logits[id];
      chosen_from[id] = logit > 0 ? __fdiv_rn(logit, s.repetition_penalty) : __fmul_rn(logit, s.repetition_penalty);
    }
    __syncthreads();
  }
  const softmax_statistics plain = row_statistics(logits, args.vocabulary, temperature);
  row_view row{chosen_from, args.vocabulary, plain};
  if (penalises) {
    row.statistics = row_statistics(chosen_from, args.vocabulary, temperature);
  }
  int token = -1;
  if (is_distribution(plain) && is_distribution(row.statistics)) {
    token = is_greedy ? greedy(memory, row) : draw(memory, row, s, draw_n.uniform);
  }
  if (threadIdx.x == 0) {
    args.token_N[n].token = token;
    args.token_N[n].logprob = token < 0 ? 0 : log_prob_of(logits, plain, token);
  }
}

}  // namespace

void sample_rows(context& ctx, const sample_rows_args& args) {
  const int64_t values = args.n * args.vocabulary;
  auto* penalised = args.penalties ? reinterpret_cast<float*>(scratch(ctx, values * int64_t{sizeof(float)})) : nullptr;
  launch(sample_kernel, dim3(static_cast<unsigned>(args.n)), dim3(row_threads), compute_stream(ctx), args,
         args.stride != 0 ? args.stride : args.vocabulary, penalised);
}

}  // namespace troupe::kernels::cuda
