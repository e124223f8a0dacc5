#include "kernels/cuda/activation.hpp"
#include "kernels/cuda/elements.cuh"

namespace troupe::kernels::cuda {

namespace {

/// sigmoid(u), and of the two it and its complement the smaller without cancellation.
struct sigmoid_parts {
  float value, slope;
};

__device__ inline sigmoid_parts sigmoid(float u) {
  const float e = expf(-fabsf(u));
  const float larger = 1.0F / (1.0F + e);
  const float smaller = e * larger;
  return {u < 0.0F ? smaller : larger, smaller * larger};
}

/// An activation's value at x, and its derivative.
struct value_and_slope {
  float value, slope;
};

/// 0.5 (1 + tanh u) is sigmoid(2u), which keeps its relative accuracy where tanh is near -1.
__device__ inline value_and_slope gelu_tanh(float x) {
  constexpr float scale = 1.59576912F;  // 2 sqrt(2 / pi)
  const float square = x * x;
  const sigmoid_parts s = sigmoid(__fmaf_rn(square, scale * 0.044715F, scale) * x);
  const float inner = __fmaf_rn(square, scale * 0.134145F, scale);  // the derivative of 2u
  return {x * s.value, __fmaf_rn(x * inner, s.slope, s.value)};
}

__device__ inline value_and_slope gelu_erf(float x) {
  const float phi = __fmaf_rn(erff(x * 0.707106781F), 0.5F, 0.5F);
  const float density = expf(x * x * -0.5F) * 0.398942280F;
  return {x * phi, __fmaf_rn(x, density, phi)};
}

__device__ inline value_and_slope silu(float x) {
  const sigmoid_parts s = sigmoid(x);
  return {x * s.value, __fmaf_rn(x, s.slope, s.value)};
}

__device__ inline value_and_slope activate(activation kind, float x) {
  switch (kind) {
  case activation::relu:
    return {x < 0.0F ? 0.0F : x, x > 0.0F ? 1.0F : 0.0F};  // NaN stays
  case activation::gelu_tanh:
    return gelu_tanh(x);
  case activation::gelu_erf:
    return gelu_erf(x);
  case activation::silu:
    return silu(x);
  }
  return {};
}

template <class T> __global__ void forward_kernel(T* y, const T* x, int64_t count, activation kind) {
  in_flight(
      blockIdx.x, count, [&](int64_t i) { return x[i]; },
      [&](int64_t i, T value) { y[i] = rounded<T>(activate(kind, to_float(value)).value); });
}

/// What a gradient needs of an element, or of a gated one.
template <class T> struct gradient_operands { T x, dy; };
template <class T> struct gate_and_up { T gate, up; };
template <class T> struct gated_gradient_operands { T gate, up, dy; };

template <class T> __global__ void backward_kernel(T* dx, const T* dy, const T* x, int64_t count, activation kind) {
  in_flight(
      blockIdx.x, count,
      [&](int64_t i) {
        return gradient_operands<T>{x[i], dy[i]};
      },
      [&](int64_t i, const gradient_operands<T>& at) {
        dx[i] = rounded<T>(activate(kind, to_float(at.x)).slope * to_float(at.dy));
      });
}

template <class T> __global__ void gated_forward_kernel(T* y, const T* gate_up, int64_t f, activation kind) {
  const T* gate = gate_up + row_index() * 2 * f;
  in_flight(
      blockIdx.y, f,
      [&](int64_t i) {
        return gate_and_up<T>{gate[i], gate[f + i]};
      },
      [&](int64_t i, const gate_and_up<T>& at) {
        y[row_index() * f + i] = rounded<T>(activate(kind, to_float(at.gate)).value * to_float(at.up));
      });
}

/// An element is read before it is written, by the same thread: dgate_up may be gate_up.
template <class T>
__global__ void gated_backward_kernel(T* dgate_up, const T* dy, const T* gate_up, int64_t f, activation kind) {
  const int64_t row = row_index() * 2 * f;
  in_flight(
      blockIdx.y, f,
      [&](int64_t i) {
        return gated_gradient_operands<T>{gate_up[row + i], gate_up[row + f + i], dy[row_index() * f + i]};
      },
      [&](int64_t i, const gated_gradient_operands<T>& at) {
        const value_and_slope act = activate(kind, to_float(at.gate));
        dgate_up[row + i] = rounded<T>(act.slope * to_float(at.up) * to_float(at.dy));
        dgate_up[row + f + i] = rounded<T>(act.value * to_float(at.dy));
      });
}

template <class T> __global__ void add_kernel(T* y, const T* x, int64_t count) {
  in_flight(
      blockIdx.x, count, [&](int64_t i) { return to_float(y[i]) + to_float(x[i]); },
      [&](int64_t i, float sum) { y[i] = rounded<T>(sum); });
}

}  // namespace

void activation_forward(context& ctx, const activation_args& args) {
  const int64_t count = args.n * args.f;
  if (count == 0) {
    return;
  }
  with_element(args.x_NF.type(), [&](auto element) {
    using T = decltype(element);
    launch(forward_kernel<T>, blocks_by_element(count, elements_in_flight), element_block(), compute_stream(ctx),
           args.y_NF.as<T>(), args.x_NF.as<T>(), count, args.kind);
  });
}

void activation_backward(context& ctx, const activation_backward_args& args) {
  const int64_t count = args.n * args.f;
  if (count == 0) {
    return;
  }
  with_element(args.x_NF.type(), [&](auto element) {
    using T = decltype(element);
    launch(backward_kernel<T>, blocks_by_element(count, elements_in_flight), element_block(), compute_stream(ctx),
           args.dx_NF.as<T>(), args.dy_NF.as<T>(), args.x_NF.as<T>(), count, args.kind);
  });
}

void gated_activation_forward(context& ctx, const gated_activation_args& args) {
  if (args.n == 0) {
    return;
  }
  with_element(args.y_NF.type(), [&](auto element) {
    using T = decltype(element);
    launch(gated_forward_kernel<T>, blocks_by_row(args.n, args.f, elements_in_flight), element_block(),
           compute_stream(ctx), args.y_NF.as<T>(), args.gate_up_N2F.as<T>(), args.f, args.kind);
  });
}

void gated_activation_backward(context& ctx, const gated_activation_backward_args& args) {
  if (args.n == 0) {
    return;
  }
  with_element(args.dy_NF.type(), [&](auto element) {
    using T = decltype(element);
    launch(gated_backward_kernel<T>, blocks_by_row(args.n, args.f, elements_in_flight), element_block(),
           compute_stream(ctx), args.dgate_up_N2F.as<T>(), args.dy_NF.as<T>(), args.gate_up_N2F.as<T>(), args.f,
           args.kind);
  });
}

void add_in_place(context& ctx, reals y, const_reals x, int64_t count) {
  if (count == 0) {
    return;
  }
  with_element(y.type(), [&](auto element) {
    using T = decltype(element);
    launch(add_kernel<T>, blocks_by_element(count, elements_in_flight), element_block(), compute_stream(ctx), y.as<T>(),
           x.as<T>(), count);
  });
}

}  // namespace troupe::kernels::cuda
