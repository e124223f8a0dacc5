/// Rows that are moved, not computed.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>

namespace troupe::kernels {

struct copy_rows_args {
  reals to = nullptr;  ///< [N, W]; does not overlap `from`
  const_reals from = nullptr;
  int64_t n = 0, width = 0;
  int64_t to_stride = 0;    ///< floats between rows; 0: W
  int64_t from_stride = 0;  ///< floats between rows; 0: W
};

/// to_n = from_n, rounded where `to` is bf16 and `from` is not.
void copy_rows(context& ctx, const copy_rows_args& args);

struct gather_rows_args {
  reals to_AD = nullptr;
  const_reals from_ND = nullptr;
  const int64_t* row_A = nullptr;  ///< of from_ND
  int64_t rows = 0, d = 0;
};

/// to_a = from_(row_a).
void gather_rows(context& ctx, const gather_rows_args& args);

struct scatter_rows_args {
  reals to_ND = nullptr;  ///< overwritten
  const_reals from_AD = nullptr;
  const int64_t* row_A = nullptr;  ///< each in [0, N), no two alike
  int64_t n = 0, rows = 0, d = 0;
};

/// to_(row_a) = from_a, and 0 in all other rows: of a gather, the transpose.
/// Errors  bad_argument: a row out of range.
void scatter_rows(context& ctx, const scatter_rows_args& args);

/// Sets `count` values to 0.
void zero(context& ctx, reals values, int64_t count);

}  // namespace troupe::kernels
