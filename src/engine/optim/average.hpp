/// Exponential moving average of the weights, folded in once per optimizer update.
///   average = decay * average + (1 - decay) * weights,   started at the first weights
#pragma once

#include "kernels/base/aligned.hpp"
#include "kernels/base/context.hpp"

#include <cstdint>

namespace troupe::engine {

class weight_average {
public:
  /// Starts at `weights`.   Errors  bad_argument: decay outside of [0, 1).
  weight_average(const float* weights, int64_t arena_size, double decay);

  void fold(context& ctx, const float* weights);

  aligned_buffer<float>& arena() { return arena_; }  ///< the averaged weights; also for checkpoints
  const aligned_buffer<float>& arena() const { return arena_; }

private:
  aligned_buffer<float> arena_;
  double decay_;
};

}  // namespace troupe::engine
