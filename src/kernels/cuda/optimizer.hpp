/// The operations of kernels/optimizer.hpp on a card, with the bits of the host.
#pragma once

#include "kernels/optimizer.hpp"

namespace troupe::kernels::cuda {

void adamw_update(context& ctx, const adamw_args& args);
double sum_of_squares(context& ctx, const float* values, int64_t count);
void sums_of_squares(context& ctx, const float* values, std::span<const int64_t> offset_P1, std::span<double> sum_P,
                     std::span<const int64_t> inputs_P);
void fold_average(context& ctx, float* average, const float* values, int64_t count, float decay);

}  // namespace troupe::kernels::cuda
