// What the card is, and what it does at most: what kernels are held against.
#include <fmt/format.h>

#include "gpu/measure.hpp"

namespace troupe::gpu_check {

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
  std::byte* const there = arrays.bytes(bytes);
  const auto pinned = of.card.pin(bytes);
  of.card.zero(queue::compute, there, bytes);
  outcome found;
  found.figures = {{"copy_gb_per_s", memory_gb_per_s(of)},
                   {"upload_gb_per_s", copy_gb_per_s(of, queue::upload, there, pinned->data(), bytes)},
                   {"download_gb_per_s", copy_gb_per_s(of, queue::download, pinned->data(), there, bytes)},
                   {"product_tflops", product_tflops(of)}};

  const int kernels_in_a_row = of.emulated ? 10 : 1000;
  auto* const few = reinterpret_cast<float*>(there);
  const auto small_kernels = [&] {
    for (int i = 0; i < kernels_in_a_row; ++i) {
      kernels::add_in_place(of.on_card, few, few + 1024, 1024);
    }
  };
  found.figures.push_back({"launch_us", seconds_of(of.card, 1, small_kernels) * 1e6 / kernels_in_a_row});
  const auto recorded = of.card.record_calls(small_kernels);
  found.figures.push_back({"replay_us", seconds_of(of.card, 1, [&] { recorded->replay(); }) * 1e6 / kernels_in_a_row});

  // Pages that are just unmapped stay where they are until others need them; those of a range that ends do not.
  const int64_t piece = of.size(64 << 20, 1 << 20);
  const auto map_and_free = [&] {
    std::byte* const range = of.card.reserve(piece, "ceilings");
    of.card.map(range, piece);
    of.card.free(range);
  };
  found.figures.push_back({"map_and_free_ms", seconds_of(of.card, 1, map_and_free) * 1e3});
  for (const figure& one : found.figures) {
    found.text += fmt::format("{}{} {:.4g}", found.text.empty() ? "" : ", ", one.name, one.value);
  }
  return found;
}

}  // namespace troupe::gpu_check
