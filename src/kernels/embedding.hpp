/// Rows of a table by index. The table is a weight in panels (matrix.hpp), so a tied head shares its bytes.
#pragma once

#include "base/context.hpp"

#include <cstdint>

namespace troupe::kernels {

struct embedding_args {
  float* y_ND = nullptr;             ///< [N, D]
  const int32_t* index_N = nullptr;  ///< [N], each in [0, rows)
  const float* table = nullptr;      ///< panels of [rows, D]
  int64_t n = 0, rows = 0, d = 0;
  bool accumulate = false;  ///< y += instead of y = (positions are added onto tokens)
};

/// y_n = table[index_n].
/// Errors  bad_argument: an index out of range.
void embedding_forward(context& ctx, const embedding_args& args);

struct embedding_backward_args {
  float* dtable = nullptr;  ///< panels of [rows, D]; accumulated onto, rows of y in rising order
  const int32_t* index_N = nullptr;
  const float* dy_ND = nullptr;
  int64_t n = 0, rows = 0, d = 0;
};

void embedding_backward(context& ctx, const embedding_backward_args& args);

}  // namespace troupe::kernels
