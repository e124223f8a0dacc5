#include "gpu/measure.hpp"

namespace troupe::gpu_check {

double copy_gb_per_s(subject& of, queue in, void* to, const void* from, int64_t bytes) {
  return static_cast<double>(bytes) / 1e9 / seconds_of(of.card, 4, [&] {
           of.card.copy(in, to, from, bytes);
           of.card.await(queue::compute, of.card.record(in));
         });
}

double memory_gb_per_s(subject& of) {
  card_arrays arrays(of.card);
  const int64_t bytes = of.size(int64_t{1} << 30, 1 << 20);
  std::byte* const a = arrays.bytes(bytes);
  std::byte* const b = arrays.bytes(bytes);
  of.card.zero(queue::compute, a, bytes);
  return 2 * copy_gb_per_s(of, queue::compute, b, a, bytes);
}

double product_tflops(subject& of) {
  card_arrays arrays(of.card);
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

}  // namespace troupe::gpu_check
