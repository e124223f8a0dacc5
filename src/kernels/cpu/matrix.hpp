/// CPU twins of matrix.hpp; arguments have been checked, strides are set and every extent is
/// positive.
///
/// One product serves forward and both gradients:  C[m, n] = start + A[m, k] B[k, n], B in panels
/// of 32 columns. A is packed once per call into tiles of a few rows, side by side for each k; B is
/// used where it lies (forward) or packed block by block (gradients). A tile of C stays in
/// registers over a block of k and is stored and loaded between blocks, which does not change the
/// chain of its elements.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>

namespace troupe::kernels::cpu {

enum class a_layout {
  rows,     ///< A(i, k) = a[i * a_stride + k]
  columns,  ///< A(i, k) = a[k * a_stride + i]
};

enum class b_layout {
  panels,             ///< B(k, j) = b[(j / 32) * K * 32 + k * 32 + j % 32]
  rows,               ///< B(k, j) = b[k * b_stride + j]
  transposed_panels,  ///< B(k, j) = b[(k / 32) * N * 32 + j * 32 + k % 32]
};

struct product_args {
  float* c = nullptr;  ///< C(i, j) = c[i * c_stride + (j / 32) * c_panel_stride + j % 32]
  int64_t c_stride = 0, c_panel_stride = 0;
  const float* a = nullptr;
  int64_t a_stride = 0;
  a_layout a_kind = a_layout::rows;
  const_reals b = nullptr;  ///< bf16 in panels only, of either kind
  int64_t b_stride = 0;
  b_layout b_kind = b_layout::panels;
  const_reals bias = nullptr;  ///< [N], where a chain starts; null: 0
  bool accumulate = false;     ///< a chain starts from C instead
  int64_t m = 0, n = 0, k = 0;
};

void product(context& ctx, const product_args& args);

/// sums[j] += sum of column j over the rows, in rising order.
void add_column_sums(context& ctx, float* sums_N, const float* x_MN, int64_t stride, int64_t m, int64_t n);

}  // namespace troupe::kernels::cpu
