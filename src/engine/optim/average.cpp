#include "engine/optim/average.hpp"

#include "kernels/optimizer.hpp"

#include <algorithm>

namespace troupe::engine {

weight_average::weight_average(const float* weights, int64_t arena_size, double decay)
    : arena_(arena_size), decay_(decay) {
  if (!(decay >= 0) || !(decay < 1)) {
    throw error(errc::bad_argument, "the average's decay is {}: it lies in [0, 1)", decay);
  }
  std::copy(weights, weights + arena_size, arena_.data());
}

void weight_average::fold(context& ctx, const float* weights) {
  kernels::fold_average(ctx, arena_.data(), weights, arena_.size(), static_cast<float>(decay_));
}

}  // namespace troupe::engine
