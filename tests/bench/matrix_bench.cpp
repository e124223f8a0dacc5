/// Matrix products at the shapes of SmolLM2-135M (width 576, feed-forward 1536, vocabulary 49152)
/// and of wider layers. "floor" is the share of what the machine allows: the larger of operations
/// at the FMA peak and weight bytes at the read bandwidth, over the time measured.
#include "base/aligned.hpp"
#include "base/host_array.hpp"
#include "kernels/matrix.hpp"

#include <benchmark/benchmark.h>

#include "bench/machine.hpp"
#include <algorithm>
#include <vector>

namespace troupe::bench {
namespace {

/// Weights enough that a model's layers, not one matrix in cache, are read: at least 192 MiB.
constexpr int64_t weight_floats_at_least = int64_t{48} << 20;

struct operands {
  operands(int64_t n, int64_t outputs, int64_t inputs, bool many_weights)
      : panel_floats(kernels::panels_size(outputs, inputs)),
        copies(many_weights ? weight_floats_at_least / panel_floats + 1 : 1), x(n * inputs), y(n * outputs),
        weights(copies * panel_floats) {
    fill(x);
    fill(y);
    fill(weights);
  }

  static void fill(aligned_buffer<float>& values) {
    uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(static_cast<int32_t>(state)) * 0x1.0p-31F;
    }
  }

  float* next_weight() { return weights.data() + (turn++ % copies) * panel_floats; }
  const bf16* next_narrow_weight() { return narrow.data() + (turn++ % copies) * panel_floats; }

  /// The weights in bfloat16 alone.
  void narrow_weights() {
    narrow = aligned_buffer<bf16>(weights.size());
    for (int64_t i = 0; i < weights.size(); ++i) {
      narrow[i] = to_bf16(weights[i]);
    }
    weights = aligned_buffer<float>(0);
  }

  int64_t panel_floats, copies, turn = 0;
  aligned_buffer<float> x, y, weights;
  aligned_buffer<bf16> narrow;
};

void report(benchmark::State& state, double operations, double bytes) {
  const double floor_s = std::max(operations / peak_flops_per_s(), bytes / read_bytes_per_s());
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOP/s"] = benchmark::Counter(operations * 1e-9, rate);
  state.counters["GB/s"] = benchmark::Counter(bytes * 1e-9, rate);
  state.counters["floor"] = benchmark::Counter(floor_s, rate);
}

struct sizes {
  explicit sizes(const benchmark::State& state)
      : n(state.range(0)), outputs(state.range(1)), inputs(state.range(2)),
        operations(2.0 * static_cast<double>(n * outputs * inputs)),
        weight_bytes(4.0 * static_cast<double>(outputs * inputs)) {}
  int64_t n, outputs, inputs;
  double operations, weight_bytes;
};

template <dtype Type> void forward(benchmark::State& state) {
  const sizes s(state);
  context ctx{pool()};
  operands o(s.n, s.outputs, s.inputs, s.n <= 64);
  if (Type == dtype::bf16) {
    o.narrow_weights();
  }
  for (auto _ : state) {
    kernels::linear_forward(
        ctx, {.y_NO = o.y.data(),
              .x_NI = o.x.data(),
              .weight = Type == dtype::bf16 ? const_reals(o.next_narrow_weight()) : const_reals(o.next_weight()),
              .n = s.n,
              .outputs = s.outputs,
              .inputs = s.inputs});
  }
  report(state, s.operations, s.weight_bytes * static_cast<double>(size_of(Type)) / 4);
}

void backward_input(benchmark::State& state) {
  const sizes s(state);
  context ctx{pool()};
  operands o(s.n, s.outputs, s.inputs, false);
  for (auto _ : state) {
    kernels::linear_backward_input(ctx, {.dx_NI = o.x.data(),
                                         .dy_NO = o.y.data(),
                                         .weight = o.next_weight(),
                                         .n = s.n,
                                         .outputs = s.outputs,
                                         .inputs = s.inputs});
  }
  report(state, s.operations, s.weight_bytes);
}

void backward_weight(benchmark::State& state) {
  const sizes s(state);
  context ctx{pool()};
  operands o(s.n, s.outputs, s.inputs, false);
  std::fill(o.weights.begin(), o.weights.end(), 0.0F);
  for (auto _ : state) {
    kernels::linear_backward_weight(ctx, {.dweight = o.next_weight(),
                                          .x_NI = o.x.data(),
                                          .dy_NO = o.y.data(),
                                          .n = s.n,
                                          .outputs = s.outputs,
                                          .inputs = s.inputs});
  }
  report(state, s.operations, s.weight_bytes);
}

void layer_shapes(benchmark::internal::Benchmark* b, const std::vector<int64_t>& rows) {
  for (const int64_t n : rows) {
    for (const auto& [outputs, inputs] :
         {std::pair<int64_t, int64_t>{576, 576}, {3072, 576}, {576, 1536}, {3072, 3072}}) {
      b->Args({n, outputs, inputs});
    }
  }
  b->ArgNames({"N", "O", "I"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

void forward_shapes(benchmark::internal::Benchmark* b) {
  layer_shapes(b, {1, 4, 16, 64, 512, 2048});
  b->Args({1, 49152, 576})->Args({16, 49152, 576})->Args({512, 49152, 576});
}

BENCHMARK(forward<dtype::f32>)->Name("forward")->Apply(forward_shapes);
BENCHMARK(forward<dtype::bf16>)->Name("forward_bf16")->Apply(forward_shapes);
BENCHMARK(backward_input)->Apply([](auto* b) { layer_shapes(b, {512, 2048}); });
BENCHMARK(backward_input)->Args({256, 49152, 576})->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(backward_weight)->Apply([](auto* b) { layer_shapes(b, {512, 2048}); });
BENCHMARK(backward_weight)->Args({256, 49152, 576})->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace troupe::bench
