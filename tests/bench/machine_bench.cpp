#include "base/aligned.hpp"

#include "bench/machine.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/machine_bench.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace troupe::bench::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// 12 independent chains hide the latency of two units; returns the operations done.
double multiply_add(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  constexpr int chains = 12;
  hn::Vec<decltype(d)> sum[chains];
#pragma GCC unroll 12
  for (int i = 0; i < chains; ++i) {
    sum[i] = hn::Set(d, 1.0F + static_cast<float>(i));
  }
  const auto factor = hn::Set(d, 0.999F);
  const auto addend = hn::Set(d, 0.001F);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) {
      sum[i] = hn::MulAdd(sum[i], factor, addend);
    }
  }
  auto total = sum[0];
  for (int i = 1; i < chains; ++i) {
    total = hn::Add(total, sum[i]);
  }
  *sink = hn::GetLane(total);
  return static_cast<double>(rounds) * chains * 2.0 * static_cast<double>(hn::Lanes(d));
}

float read_all(const float* values, int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (int64_t i = 0; i + 4 * lanes <= count; i += 4 * lanes) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      sum[j] = hn::Add(sum[j], hn::Load(d, values + i + j * lanes));
    }
  }
  return hn::GetLane(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])));
}

}  // namespace troupe::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace troupe::bench {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read_all);

thread_pool& pool() {
  static thread_pool instance;
  return instance;
}

/// The best of several goes: what the machine can do, not what it did beside other programs.
template <class Work> static double best_rate(double amount, Work work) {
  double best = 0;
  for (int go = 0; go < 8; ++go) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, amount / seconds.count());
  }
  return best;
}

double peak_flops_per_s() {
  static const double rate = [] {
    constexpr int64_t rounds = 2000000;
    const int64_t threads = pool().threads();
    std::atomic<int64_t> operations{0};
    const auto work = [&] {
      operations = 0;
      pool().parallel_for(threads, [&](int64_t) {
        float sink = 0;
        operations += static_cast<int64_t>(HWY_DYNAMIC_DISPATCH(multiply_add)(rounds, &sink));
        benchmark::DoNotOptimize(sink);
      });
    };
    work();
    return best_rate(static_cast<double>(operations.load()), work);
  }();
  return rate;
}

double read_bytes_per_s() {
  static const double rate = [] {
    constexpr int64_t count = int64_t{64} << 20;
    constexpr int64_t piece = int64_t{1} << 20;
    const aligned_buffer<float> values(count);
    return best_rate(static_cast<double>(count) * sizeof(float), [&] {
      pool().parallel_for(count / piece, [&](int64_t i) {
        float sum = HWY_DYNAMIC_DISPATCH(read_all)(values.data() + i * piece, piece);
        benchmark::DoNotOptimize(sum);
      });
    });
  }();
  return rate;
}

static void peak(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(peak_flops_per_s());
  }
  state.counters["GFLOP/s"] = peak_flops_per_s() * 1e-9;
  state.counters["GB/s"] = read_bytes_per_s() * 1e-9;
}
BENCHMARK(peak)->Name("machine")->Iterations(1);

}  // namespace troupe::bench

#endif  // HWY_ONCE
