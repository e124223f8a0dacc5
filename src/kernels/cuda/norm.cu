#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/norm.hpp"

namespace troupe::kernels::cuda {

namespace {

/// Threads of a row's block: some 8 elements for each, a function of D alone.
dim3 row_block(int64_t d) {
  const int64_t warps = (d + 8 * 32 - 1) / (8 * 32);
  return {static_cast<unsigned>(32 * (warps < 16 ? warps : 16))};
}

/// Calls body(i) for the thread's elements of a row of d. A thread has the same ones each time, so that it may read
/// what it has written.
template <class Body> __device__ inline void for_elements(int64_t d, const Body& body) {
  for (int64_t i = threadIdx.x; i < d; i += blockDim.x) {
    body(i);
  }
}

/// The same where elements are written: reads some, then writes them. A write between two reads holds up the second.
template <class Read, class Write>
__device__ inline void for_elements(int64_t d, const Read& read, const Write& write) {
  for (int64_t first = threadIdx.x; first < d; first += elements_in_flight * blockDim.x) {
    read_then_write<elements_in_flight>(first, blockDim.x, d, read, write);
  }
}

/// What a norm reads and writes, with the type of its operands. beta and mean are null for RMSNorm.
template <class T> struct forward_operands {
  T* y;
  T* x;
  const T* add;
  const T* gamma;
  const T* beta;
  float* rstd;
  float* mean;
  int64_t d;
  float epsilon;
};

template <class T, bool Centred> __global__ void __launch_bounds__(512) forward_kernel(forward_operands<T> args) {
  const int64_t d = args.d, row = row_index();
  T* x = args.x + row * d;
  const auto width = static_cast<float>(d);
  float sum = 0.0F;
  for_elements(
      d,
      [&](int64_t i) {
        return args.add == nullptr ? x[i] : rounded<T>(__fadd_rn(to_float(x[i]), to_float(args.add[row * d + i])));
      },
      [&](int64_t i, T value) {
        if (args.add != nullptr) {
          x[i] = value;
        }
        sum = __fadd_rn(sum, to_float(value));
      });
  const float mean = Centred ? __fdiv_rn(block_sum(sum), width) : 0.0F;
  float squares = 0.0F;
  for_elements(d, [&](int64_t i) {
    const float deviation = __fsub_rn(to_float(x[i]), mean);
    squares = __fmaf_rn(deviation, deviation, squares);
  });
  const float variance = __fdiv_rn(block_sum(squares), width);
  const float rstd = __fdiv_rn(1.0F, __fsqrt_rn(__fadd_rn(variance, args.epsilon)));
  for_elements(
      d,
      [&](int64_t i) {
        const float unit = __fmul_rn(__fsub_rn(to_float(x[i]), mean), rstd);
        const float gamma = to_float(args.gamma[i]);
        return rounded<T>(Centred ? __fmaf_rn(unit, gamma, to_float(args.beta[i])) : __fmul_rn(unit, gamma));
      },
      [&](int64_t i, T value) { args.y[row * d + i] = value; });
  if (threadIdx.x == 0 && args.rstd != nullptr) {
    args.rstd[row] = rstd;
  }
  if (Centred && threadIdx.x == 0 && args.mean != nullptr) {
    args.mean[row] = mean;
  }
}

template <bool Centred> void forward(context& ctx, const norm_args& args) {
  if (args.n == 0) {
    return;
  }
  with_element(args.x_ND.type(), [&](auto element) {
    using T = decltype(element);
    const forward_operands<T> operands{.y = args.y_ND.as<T>(),
                                       .x = args.x_ND.as<T>(),
                                       .add = args.add_ND == nullptr ? nullptr : args.add_ND.as<T>(),
                                       .gamma = args.gamma_D.as<T>(),
                                       .beta = Centred ? args.beta_D.as<T>() : nullptr,
                                       .rstd = args.rstd_N,
                                       .mean = args.mean_N,
                                       .d = args.d,
                                       .epsilon = args.epsilon};
    launch(forward_kernel<T, Centred>, dim3(static_cast<unsigned>(args.n)), row_block(args.d), compute_stream(ctx),
           operands);
  });
}

template <class T> struct backward_operands {
  T* dx;
  const T* dy;
  const T* x;
  const T* gamma;
  const float* rstd;
  const float* mean;  ///< null for RMSNorm
  int64_t n, d;
};

/// dx += rstd (g - mean(g) - unit mean(g unit)) with g = dy gamma; RMSNorm has no mean(g).
template <class T, bool Centred>
__global__ void __launch_bounds__(512) backward_rows_kernel(backward_operands<T> args) {
  const int64_t d = args.d, row = row_index();
  const float rstd = args.rstd[row], mean = Centred ? args.mean[row] : 0.0F;
  const auto gradient = [&](int64_t i) { return __fmul_rn(to_float(args.dy[row * d + i]), to_float(args.gamma[i])); };
  const auto unit = [&](int64_t i) { return __fmul_rn(__fsub_rn(to_float(args.x[row * d + i]), mean), rstd); };
  float total = 0.0F, along = 0.0F;
  for_elements(d, [&](int64_t i) {
    const float g = gradient(i);
    total = __fadd_rn(total, g);
    along = __fmaf_rn(g, unit(i), along);
  });
  const auto width = static_cast<float>(d);
  const float mean_along = __fdiv_rn(block_sum(along), width);
  const float mean_g = Centred ? __fdiv_rn(block_sum(total), width) : 0.0F;
  for_elements(
      d,
      [&](int64_t i) {
        const float inner = __fmaf_rn(-unit(i), mean_along, __fsub_rn(gradient(i), mean_g));
        return rounded<T>(__fmaf_rn(rstd, inner, to_float(args.dx[row * d + i])));
      },
      [&](int64_t i, T value) { args.dx[row * d + i] = value; });
}

constexpr int64_t rows_in_piece = 64;

/// Sums of dy unit and of dy over a piece's rows: dgamma_PD, and dbeta_PD for LayerNorm.
template <class T, bool Centred>
__global__ void column_pieces_kernel(backward_operands<T> args, float* dgamma_PD, float* dbeta_PD) {
  const int64_t column = column_index(), piece = row_index();
  if (column >= args.d) {
    return;
  }
  const int64_t end = (piece + 1) * rows_in_piece < args.n ? (piece + 1) * rows_in_piece : args.n;
  float dgamma = 0.0F, dbeta = 0.0F;
  for (int64_t row = piece * rows_in_piece; row < end; ++row) {
    const float mean = Centred ? args.mean[row] : 0.0F;
    const float unit = __fmul_rn(__fsub_rn(to_float(args.x[row * args.d + column]), mean), args.rstd[row]);
    const float dy = to_float(args.dy[row * args.d + column]);
    dgamma = __fmaf_rn(dy, unit, dgamma);
    dbeta = __fadd_rn(dbeta, dy);
  }
  dgamma_PD[piece * args.d + column] = dgamma;
  if (Centred) {
    dbeta_PD[piece * args.d + column] = dbeta;
  }
}

/// sum_D += the pieces, one after the other.
__global__ void add_pieces_kernel(float* sum_D, const float* pieces_PD, int64_t pieces, int64_t d) {
  const int64_t column = element_index();
  if (column < d) {
    float sum = sum_D[column];
    for (int64_t piece = 0; piece < pieces; ++piece) {
      sum = __fadd_rn(sum, pieces_PD[piece * d + column]);
    }
    sum_D[column] = sum;
  }
}

template <bool Centred> void backward(context& ctx, const norm_backward_args& args) {
  if (args.n == 0) {
    return;
  }
  const int64_t pieces = (args.n + rows_in_piece - 1) / rows_in_piece;
  auto* dgamma_PD =
      reinterpret_cast<float*>(scratch(ctx, pieces * args.d * int64_t{sizeof(float)} * (Centred ? 2 : 1)));
  float* dbeta_PD = dgamma_PD + pieces * args.d;
  const stream_t stream = compute_stream(ctx);
  with_element(args.x_ND.type(), [&](auto element) {
    using T = decltype(element);
    const backward_operands<T> operands{.dx = args.dx_ND.as<T>(),
                                        .dy = args.dy_ND.as<T>(),
                                        .x = args.x_ND.as<T>(),
                                        .gamma = args.gamma_D.as<T>(),
                                        .rstd = args.rstd_N,
                                        .mean = args.mean_N,
                                        .n = args.n,
                                        .d = args.d};
    launch(backward_rows_kernel<T, Centred>, dim3(static_cast<unsigned>(args.n)), row_block(args.d), stream, operands);
    launch(column_pieces_kernel<T, Centred>, blocks_by_row(pieces, args.d), element_block(), stream, operands,
           dgamma_PD, dbeta_PD);
  });
  launch(add_pieces_kernel, blocks_by_element(args.d), element_block(), stream, args.dgamma_D, dgamma_PD, pieces,
         args.d);
  if (Centred) {
    launch(add_pieces_kernel, blocks_by_element(args.d), element_block(), stream, args.dbeta_D, dbeta_PD, pieces,
           args.d);
  }
}

}  // namespace

void layer_norm_forward(context& ctx, const norm_args& args) { forward<true>(ctx, args); }
void rms_norm_forward(context& ctx, const norm_args& args) { forward<false>(ctx, args); }
void layer_norm_backward(context& ctx, const norm_backward_args& args) { backward<true>(ctx, args); }
void rms_norm_backward(context& ctx, const norm_backward_args& args) { backward<false>(ctx, args); }

}  // namespace troupe::kernels::cuda
