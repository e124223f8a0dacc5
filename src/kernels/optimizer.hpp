/// AdamW and the global norm, over flat arenas.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>
#include <span>

namespace troupe::kernels {

struct adamw_args {
  float* weight = nullptr;
  reals compute = nullptr;  ///< bf16: becomes the new weight, rounded (to_bf16); or null
  float* first_moment = nullptr;
  float* second_moment = nullptr;
  const float* gradient = nullptr;
  int64_t count = 0;
  float learning_rate = 0, beta1 = 0.9F, beta2 = 0.95F, epsilon = 1e-8F, weight_decay = 0;
  float gradient_scale = 1.0F;  ///< multiplies the gradient first: clipping
  int64_t step = 1;             ///< 1 for the first update: bias correction
};

///   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
///   w = w - lr wd w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
/// Source  Loshchilov & Hutter, arXiv:1711.05101.
void adamw_update(context& ctx, const adamw_args& args);

inline constexpr int64_t squares_block = 4096;

/// Sum of squares in double: blocks of squares_block floats in 16 virtual lanes, blocks joined in rising order; the
/// same bits for any number of threads.
double sum_of_squares(context& ctx, const float* values, int64_t count);

/// sum_of_squares of each range [offset_P1[p], offset_P1[p + 1]) of `values`: sum_P [P]. Offsets rise.
///   inputs_P   [P] where range p is a unit of 32 outputs of a weight (matrix.hpp), its inputs; 0 where it is none.
///              A card, which has the unit's rows, sums them in the order of the host's panel: the same bits. Empty:
///              there is no unit among them.
/// Errors  shape_mismatch: a unit of another size than its inputs say.
void sums_of_squares(context& ctx, const float* values, std::span<const int64_t> offset_P1, std::span<double> sum_P,
                     std::span<const int64_t> inputs_P = {});

/// average = decay * average + (1 - decay) * values.
void fold_average(context& ctx, float* average, const float* values, int64_t count, float decay);

}  // namespace troupe::kernels
