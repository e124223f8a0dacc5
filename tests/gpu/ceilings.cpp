// What the card is, and what it does at most: what kernels are held against.
#include <fmt/format.h>

#include "gpu/card_arrays.hpp"
#include "gpu/stage.hpp"
#include <algorithm>

namespace troupe::gpu_check {

namespace {

using clock = std::chrono::steady_clock;

/// Seconds of one call: the best of some rounds, each of `calls` calls and the wait for them.
template <class Call> double seconds_of(device& card, int calls, const Call& call) {
  double best = 0;
  for (int round = 0; round < 4; ++round) {  // the first is not counted: it pays for what is set up
    const auto begun = clock::now();
    for (int i = 0; i < calls; ++i) {
      call();
    }
    finish(card);
    const double seconds = std::chrono::duration<double>(clock::now() - begun).count() / calls;
    best = round < 2 ? seconds : std::min(best, seconds);
  }
  return best;
}

double copy_gb_per_s(subject& of, queue in, void* to, const void* from, int64_t bytes) {
  return static_cast<double>(bytes) / 1e9 / seconds_of(of.card, 4, [&] {
           of.card.copy(in, to, from, bytes);
           of.card.await(queue::compute, of.card.record(in));
         });
}

double product_tflops(subject& of, card_arrays& arrays) {
  const int64_t n = of.size(8192, 64);
  // Random, since a card draws less power, and so is faster, where all values are alike; repeated, since random ones
  // take long to make.
  constexpr int64_t different = 1 << 16;
  const std::vector<float> some = random_values(different, 1);
  std::vector<float> values(static_cast<size_t>(n * n));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = some[i % different];
  }
  const reals x = arrays.upload(values, dtype::bf16);
  const reals w = arrays.upload(values, dtype::bf16);
  const reals y = arrays.empty(n * n, dtype::bf16);
  const double seconds = seconds_of(of.card, of.emulated ? 1 : 10, [&] {
    kernels::linear_forward(of.on_card, {.y_NO = y, .x_NI = x, .weight = w, .n = n, .outputs = n, .inputs = n});
  });
  return 2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / 1e12 / seconds;
}

}  // namespace

outcome facts(subject& of) {
  const device_facts& card = of.card.facts();
  const memory_use use = of.card.use();
  return {.text = fmt::format(
              "{}, architecture {}.{}, {} multiprocessors, driver {}, {}; {:.1f} of {:.1f} GiB free, {:.1f} "
              "held by others{}{}",
              card.name, card.major, card.minor, card.multiprocessors, card.driver, card.libraries,
              static_cast<double>(use.free) / (1 << 30), static_cast<double>(card.bytes) / (1 << 30),
              static_cast<double>(use.others) / (1 << 30), card.lacks.empty() ? "" : "; ", card.lacks),
          .figures = {{"bytes", static_cast<double>(card.bytes)},
                      {"free_bytes", static_cast<double>(use.free)},
                      {"other_bytes", static_cast<double>(use.others)}}};
}

outcome ceilings(subject& of) {
  card_arrays arrays(of.card);
  const int64_t bytes = of.size(int64_t{1} << 30, 1 << 20);
  std::byte* const a = arrays.bytes(bytes);
  std::byte* const b = arrays.bytes(bytes);
  const auto pinned = of.card.pin(bytes);
  of.card.zero(queue::compute, a, bytes);
  outcome found;
  found.figures = {{"copy_gb_per_s", 2 * copy_gb_per_s(of, queue::compute, b, a, bytes)},
                   {"upload_gb_per_s", copy_gb_per_s(of, queue::upload, b, pinned->data(), bytes)},
                   {"download_gb_per_s", copy_gb_per_s(of, queue::download, pinned->data(), a, bytes)},
                   {"product_tflops", product_tflops(of, arrays)}};

  const int kernels_in_a_row = of.emulated ? 10 : 1000;
  auto* const few = reinterpret_cast<float*>(a);
  const auto small_kernels = [&] {
    for (int i = 0; i < kernels_in_a_row; ++i) {
      kernels::add_in_place(of.on_card, few, few + 1024, 1024);
    }
  };
  found.figures.push_back({"launch_us", seconds_of(of.card, 1, small_kernels) * 1e6 / kernels_in_a_row});
  const auto recorded = of.card.record_calls(small_kernels);
  found.figures.push_back({"replay_us", seconds_of(of.card, 1, [&] { recorded->replay(); }) * 1e6 / kernels_in_a_row});

  const int64_t piece = of.size(64 << 20, 1 << 20);
  std::byte* const range = of.card.reserve(piece, "ceilings");
  found.figures.push_back({"map_and_unmap_ms", seconds_of(of.card, 1, [&] {
                                                 of.card.map(range, piece);
                                                 of.card.unmap(range, piece);
                                               }) * 1e3});
  of.card.free(range);
  for (const figure& one : found.figures) {
    found.text += fmt::format("{}{} {:.4g}", found.text.empty() ? "" : ", ", one.name, one.value);
  }
  return found;
}

}  // namespace troupe::gpu_check
