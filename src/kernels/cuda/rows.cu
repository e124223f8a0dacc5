#include "base/device.hpp"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/rows.hpp"

namespace troupe::kernels::cuda {

namespace {

template <class To, class From>
__global__ void copy_kernel(To* to, const From* from, int64_t width, int64_t to_stride, int64_t from_stride) {
  to += row_index() * to_stride;
  from += row_index() * from_stride;
  in_flight(
      blockIdx.y, width, [&](int64_t i) { return from[i]; },
      [&](int64_t i, From value) { to[i] = rounded<To>(to_float(value)); });
}

template <class T> __device__ inline void copy_row(T* to, const T* from, int64_t d) {
  in_flight(
      blockIdx.y, d, [&](int64_t i) { return from[i]; }, [&](int64_t i, T value) { to[i] = value; });
}

template <class T> __global__ void gather_kernel(T* to, const T* from, const int64_t* row, int64_t d) {
  copy_row(to + row_index() * d, from + row[row_index()] * d, d);
}

template <class T> __global__ void scatter_kernel(T* to, const T* from, const int64_t* row, int64_t d) {
  copy_row(to + row[row_index()] * d, from + row_index() * d, d);
}

}  // namespace

void copy_rows(context& ctx, const copy_rows_args& args) {
  if (args.n == 0 || args.width == 0) {
    return;
  }
  with_element(args.to.type(), [&](auto to) {
    with_element(args.from.type(), [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      launch(copy_kernel<To, From>, blocks_by_row(args.n, args.width, elements_in_flight), element_block(),
             compute_stream(ctx), args.to.as<To>(), args.from.as<From>(), args.width, args.to_stride, args.from_stride);
    });
  });
}

void gather_rows(context& ctx, const gather_rows_args& args) {
  if (args.rows == 0 || args.d == 0) {
    return;
  }
  with_element(args.to_AD.type(), [&](auto element) {
    using T = decltype(element);
    launch(gather_kernel<T>, blocks_by_row(args.rows, args.d, elements_in_flight), element_block(), compute_stream(ctx),
           args.to_AD.as<T>(), args.from_ND.as<T>(), args.row_A, args.d);
  });
}

void scatter_rows(context& ctx, const scatter_rows_args& args) {
  zero(ctx, args.to_ND, args.n * args.d);
  if (args.rows == 0 || args.d == 0) {
    return;
  }
  with_element(args.to_ND.type(), [&](auto element) {
    using T = decltype(element);
    launch(scatter_kernel<T>, blocks_by_row(args.rows, args.d, elements_in_flight), element_block(),
           compute_stream(ctx), args.to_ND.as<T>(), args.from_AD.as<T>(), args.row_A, args.d);
  });
}

void zero(context& ctx, reals values, int64_t count) {
  if (count > 0) {
    ctx.on->zero(queue::compute, values.data(), count * size_of(values.type()));
  }
}

}  // namespace troupe::kernels::cuda
