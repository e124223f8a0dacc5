/// Attention at the heads of SmolLM2-135M (9 query heads, 3 key/value heads of width 64), of GPT-2
/// (12 heads of 64) and of OPT-2.7B (80 wide). "floor" is the share of what the machine allows: the
/// larger of operations (only those of keys that a row may see) at the FMA peak and cache bytes at
/// the read bandwidth, over the time measured.
#include "base/aligned.hpp"
#include "kernels/attention.hpp"

#include <benchmark/benchmark.h>

#include "bench/machine.hpp"
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace troupe::bench {
namespace {

using kernels::attention_shape;

void fill(aligned_buffer<float>& values) {
  uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<int32_t>(state)) * 0x1.0p-31F;
  }
}

attention_shape shape_of(const benchmark::State& state) {
  const auto width = static_cast<float>(state.range(4));
  return {.heads = state.range(2),
          .kv_heads = state.range(3),
          .head_width = state.range(4),
          .scale = 1.0F / std::sqrt(width)};
}

void report(benchmark::State& state, double operations, double bytes) {
  const double floor_s = std::max(operations / peak_flops_per_s(), bytes / read_bytes_per_s());
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOP/s"] = benchmark::Counter(operations * 1e-9, rate);
  state.counters["GB/s"] = benchmark::Counter(bytes * 1e-9, rate);
  state.counters["floor"] = benchmark::Counter(floor_s, rate);
}

/// `products`: 2 in forward (scores, sums of values), 5 in backward.
double causal_operations(const attention_shape& shape, int64_t sequences, int64_t length, double products) {
  const auto rows = static_cast<double>(length);
  return products * 2.0 * static_cast<double>(sequences * shape.heads * shape.head_width) * rows * (rows + 1) / 2;
}

/// B packed sequences of T rows.
struct packed {
  explicit packed(const benchmark::State& state)
      : shape(shape_of(state)), sequences(state.range(0)), length(state.range(1)), rows(sequences * length),
        qkv(rows * shape.row_width()), dqkv(qkv.size()), out(rows * shape.heads * shape.head_width), dout(out.size()),
        lse(rows * shape.heads) {
    fill(qkv);
    fill(dout);
    for (int64_t b = 0; b <= sequences; ++b) {
      offset.push_back(b * length);
    }
  }

  void forward(context& ctx) { kernels::attention_forward(ctx, {shape, out.data(), lse.data(), qkv.data(), offset}); }

  attention_shape shape;
  int64_t sequences, length, rows;
  aligned_buffer<float> qkv, dqkv, out, dout, lse;
  std::vector<int64_t> offset;
};

void attention_forward(benchmark::State& state) {
  context ctx{pool()};
  packed p(state);
  for (auto _ : state) {
    p.forward(ctx);
  }
  report(state, causal_operations(p.shape, p.sequences, p.length, 2), 0);
}

void attention_backward(benchmark::State& state) {
  context ctx{pool()};
  packed p(state);
  p.forward(ctx);
  for (auto _ : state) {
    kernels::attention_backward(
        ctx, {p.shape, p.dqkv.data(), p.dout.data(), p.out.data(), p.lse.data(), p.qkv.data(), p.offset});
  }
  report(state, causal_operations(p.shape, p.sequences, p.length, 5), 0);
}

/// One new row for each of B sequences that have T positions already; pages of 30 layers, so that
/// caches do not help.
void attention_decode(benchmark::State& state) {
  constexpr int64_t layers = 30;
  context ctx{pool()};
  const attention_shape shape = shape_of(state);
  const int64_t sequences = state.range(0), length = state.range(1);
  const int64_t pages = length / kernels::attention_tile + 1;
  const int64_t layer_floats = sequences * pages * kernels::kv_pages{}.page_floats(shape);
  aligned_buffer<float> keys(layers * layer_floats), values(layers * layer_floats);
  aligned_buffer<float> qkv(sequences * shape.row_width());
  aligned_buffer<float> out(sequences * shape.heads * shape.head_width);
  fill(qkv);
  std::vector<int32_t> table(static_cast<size_t>(sequences * pages));
  std::iota(table.begin(), table.end(), 0);
  std::vector<int64_t> row(static_cast<size_t>(sequences) + 1);
  std::iota(row.begin(), row.end(), 0);
  const std::vector<int32_t> position(static_cast<size_t>(sequences), static_cast<int32_t>(length));
  const kernels::page_map where{table.data(), row.data(), position.data(), sequences, pages};
  int64_t layer = 0;
  for (auto _ : state) {
    float* layer_keys = keys.data() + layer * layer_floats;
    float* layer_values = values.data() + layer * layer_floats;
    layer = (layer + 1) % layers;
    kernels::paged_attention_forward(ctx, {shape, out.data(), qkv.data(), {layer_keys, layer_values}, where});
  }
  const auto cached = static_cast<double>(sequences * (length + 1) * shape.kv_heads * shape.head_width);
  const auto per_key = static_cast<double>(shape.heads / shape.kv_heads);
  report(state, 4.0 * per_key * cached, 8.0 * cached);
}

constexpr auto unit = benchmark::kMicrosecond;
const std::vector<std::string> names = {"B", "T", "H", "G", "K"};

BENCHMARK(attention_forward)
    ->ArgNames(names)
    ->Args({4, 512, 9, 3, 64})
    ->Args({1, 2048, 9, 3, 64})
    ->Args({4, 512, 12, 12, 64})
    ->Args({2, 512, 32, 32, 80})
    ->Unit(unit)
    ->UseRealTime();
BENCHMARK(attention_backward)
    ->ArgNames(names)
    ->Args({4, 512, 9, 3, 64})
    ->Args({1, 2048, 9, 3, 64})
    ->Args({4, 512, 12, 12, 64})
    ->Unit(unit)
    ->UseRealTime();
BENCHMARK(attention_decode)
    ->ArgNames(names)
    ->Args({1, 256, 9, 3, 64})
    ->Args({16, 256, 9, 3, 64})
    ->Args({16, 1000, 12, 12, 64})
    ->Unit(unit)
    ->UseRealTime();

}  // namespace
}  // namespace troupe::bench
