#include "engine/product_rate.hpp"

#include "base/aligned.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>
#include <chrono>

namespace troupe::engine {

double product_rate(thread_pool& pool) {
  constexpr int64_t rows = 256, width = 512;
  constexpr std::chrono::milliseconds enough{250};
  using clock = std::chrono::steady_clock;
  aligned_buffer<float> x(rows * width), y(rows * width), weight(kernels::panels_size(width, width));
  context ctx{pool};
  const kernels::linear_args args{
      .y_NO = y.data(), .x_NI = x.data(), .weight = weight.data(), .n = rows, .outputs = width, .inputs = width};
  auto fastest = clock::duration::max();
  for (const auto begin = clock::now(); clock::now() - begin < enough;) {
    const auto start = clock::now();
    kernels::linear_forward(ctx, args);
    fastest = std::min(fastest, clock::now() - start);
  }
  return 2.0 * static_cast<double>(rows * width * width) / std::chrono::duration<double>(fastest).count();
}

}  // namespace troupe::engine
