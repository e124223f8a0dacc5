/// Rows of a table by index. The table is a weight (matrix.hpp), so a tied head shares its bytes.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>

namespace troupe::kernels {

struct embedding_args {
  reals y_ND = nullptr;              ///< [N, D]
  const int32_t* index_N = nullptr;  ///< [N], each in [0, rows)
  const_reals table = nullptr;       ///< of [rows, D]: panels; on a card rows
  int64_t n = 0, rows = 0, d = 0;
  bool accumulate = false;  ///< y += instead of y = (positions are added onto tokens)
};

/// y_n = table[index_n].
/// Errors  bad_argument: an index out of range.
void embedding_forward(context& ctx, const embedding_args& args);

struct embedding_backward_args {
  float* dtable = nullptr;  ///< as the table; accumulated onto, rows of y in rising order
  const int32_t* index_N = nullptr;
  const_reals dy_ND = nullptr;
  int64_t n = 0, rows = 0, d = 0;
  // For a card alone: the rows of dy by rising index.
  const int32_t* row_N = nullptr;     ///< [N]; those of one index in rising order
  const int32_t* begin_U1 = nullptr;  ///< where in row_N each of the U indices that occur begins; then N
  int64_t distinct = 0;               ///< U
};

void embedding_backward(context& ctx, const embedding_backward_args& args);

}  // namespace troupe::kernels
