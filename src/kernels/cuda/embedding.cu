#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/embedding.hpp"

namespace troupe::kernels::cuda {

namespace {

template <class T>
__global__ void look_up_kernel(T* y, const int32_t* index, const T* table, int64_t d, bool accumulate) {
  y += row_index() * d;
  table += index[row_index()] * d;
  in_flight(
      blockIdx.y, d, [&](int64_t i) { return accumulate ? rounded<T>(to_float(y[i]) + to_float(table[i])) : table[i]; },
      [&](int64_t i, T value) { y[i] = value; });
}

/// Block row u adds the rows of dy that have the u-th of the indices that occur.
template <class T>
__global__ void add_rows_kernel(float* dtable, const int32_t* index, const T* dy, const int32_t* row_N,
                                const int32_t* begin_U1, int64_t d) {
  const int64_t column = column_index();
  if (column >= d) {
    return;
  }
  const int32_t begin = begin_U1[row_index()], end = begin_U1[row_index() + 1];
  float& to = dtable[index[row_N[begin]] * d + column];
  float sum = to;
  for (int32_t i = begin; i < end; ++i) {
    sum = __fadd_rn(sum, to_float(dy[row_N[i] * d + column]));
  }
  to = sum;
}

}  // namespace

void embedding_forward(context& ctx, const embedding_args& args) {
  if (args.n == 0) {
    return;
  }
  with_element(args.y_ND.type(), [&](auto element) {
    using T = decltype(element);
    launch(look_up_kernel<T>, blocks_by_row(args.n, args.d, elements_in_flight), element_block(), compute_stream(ctx),
           args.y_ND.as<T>(), args.index_N, args.table.as<T>(), args.d, args.accumulate);
  });
}

void embedding_backward(context& ctx, const embedding_backward_args& args) {
  if (args.distinct == 0) {
    return;
  }
  with_element(args.dy_ND.type(), [&](auto element) {
    using T = decltype(element);
    launch(add_rows_kernel<T>, blocks_by_row(args.distinct, args.d), element_block(), compute_stream(ctx), args.dtable,
           args.index_N, args.dy_ND.as<T>(), args.row_N, args.begin_U1, args.d);
  });
}

}  // namespace troupe::kernels::cuda
