/// The operations of kernels/rows.hpp on a card.
#pragma once

#include "kernels/rows.hpp"

namespace troupe::kernels::cuda {

void copy_rows(context& ctx, const copy_rows_args& args);  ///< strides are set
void gather_rows(context& ctx, const gather_rows_args& args);
void scatter_rows(context& ctx, const scatter_rows_args& args);
void zero(context& ctx, reals values, int64_t count);

}  // namespace troupe::kernels::cuda
