#include "kernels/matrix.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/matrix.hpp"
#include "kernels/device_ops.hpp"

#include <algorithm>

namespace troupe::kernels {

static void assign(float value, float& to) { to = value; }
static void assign(float value, bf16& to) { to = to_bf16(value); }

template <class Real> static void write_panels(const float* weight_OI, int64_t outputs, int64_t inputs, Real* panels) {
  for (int64_t first = 0; first < outputs; first += panel_width, panels += inputs * panel_width) {
    const int64_t columns = std::min(panel_width, outputs - first);
    for (int64_t i = 0; i < inputs; ++i) {
      Real* row = panels + i * panel_width;
      for (int64_t o = 0; o < columns; ++o) {
        assign(weight_OI[(first + o) * inputs + i], row[o]);
      }
      std::fill(row + columns, row + panel_width, Real{});
    }
  }
}

template <class Real> static void read_panels(const Real* panels, int64_t outputs, int64_t inputs, float* weight_OI) {
  for (int64_t o = 0; o < outputs; ++o) {
    const Real* column = panels + o / panel_width * inputs * panel_width + o % panel_width;
    for (int64_t i = 0; i < inputs; ++i) {
      weight_OI[o * inputs + i] = to_float(column[i * panel_width]);
    }
  }
}

void to_panels(const float* weight_OI, int64_t outputs, int64_t inputs, reals panels) {
  if (panels.type() == dtype::bf16) {
    write_panels(weight_OI, outputs, inputs, panels.as<bf16>());
  } else {
    write_panels(weight_OI, outputs, inputs, panels.as<float>());
  }
}

void from_panels(const_reals panels, int64_t outputs, int64_t inputs, float* weight_OI) {
  if (panels.type() == dtype::bf16) {
    read_panels(panels.as<bf16>(), outputs, inputs, weight_OI);
  } else {
    read_panels(panels.as<float>(), outputs, inputs, weight_OI);
  }
}

static void check_extents(const char* operation, int64_t n, int64_t outputs, int64_t inputs) {
  if (n < 0 || outputs < 1 || inputs < 1) {
    throw error(errc::shape_mismatch, "{}: {} rows of {} inputs to {} outputs", operation, n, inputs, outputs);
  }
}

/// The stride that a default of 0 stands for.
static int64_t checked_stride(const char* operation, const char* name, int64_t stride, int64_t width) {
  if (stride != 0 && stride < width) {
    throw error(errc::shape_mismatch, "{}: rows of {} are {} wide but only {} floats apart", operation, name, width,
                stride);
  }
  return stride != 0 ? stride : width;
}

void linear_forward(context& ctx, const linear_args& args) {
  check_extents("linear_forward", args.n, args.outputs, args.inputs);
  const int64_t y_stride = checked_stride("linear_forward", "y", args.y_stride, args.outputs);
  const int64_t x_stride = checked_stride("linear_forward", "x", args.x_stride, args.inputs);
  if (args.accumulate && args.bias_O != nullptr) {
    throw error(errc::bad_argument, "linear_forward: a bias cannot be added onto accumulated values");
  }
  if (args.n == 0) {
    return;
  }
  if (ctx.on != nullptr) {
    return ctx.on->ops().linear_forward(ctx, args);
  }
  cpu::product(ctx, {.c = args.y_NO,
                     .c_stride = y_stride,
                     .c_panel_stride = panel_width,
                     .a = args.x_NI,
                     .a_stride = x_stride,
                     .a_kind = cpu::a_layout::rows,
                     .b = args.weight,
                     .b_kind = cpu::b_layout::panels,
                     .bias = args.bias_O,
                     .accumulate = args.accumulate,
                     .m = args.n,
                     .n = args.outputs,
                     .k = args.inputs});
}

void linear_backward_input(context& ctx, const linear_backward_input_args& args) {
  check_extents("linear_backward_input", args.n, args.outputs, args.inputs);
  const int64_t dy_stride = checked_stride("linear_backward_input", "dy", args.dy_stride, args.outputs);
  if (args.n == 0) {
    return;
  }
  if (ctx.on != nullptr) {
    return ctx.on->ops().linear_backward_input(ctx, args);
  }
  cpu::product(ctx, {.c = args.dx_NI,
                     .c_stride = args.inputs,
                     .c_panel_stride = panel_width,
                     .a = args.dy_NO,
                     .a_stride = dy_stride,
                     .a_kind = cpu::a_layout::rows,
                     .b = args.weight,
                     .b_kind = cpu::b_layout::transposed_panels,
                     .accumulate = args.accumulate,
                     .m = args.n,
                     .n = args.inputs,
                     .k = args.outputs});
}

void linear_backward_weight(context& ctx, const linear_backward_weight_args& args) {
  check_extents("linear_backward_weight", args.n, args.outputs, args.inputs);
  const int64_t dy_stride = checked_stride("linear_backward_weight", "dy", args.dy_stride, args.outputs);
  if (args.n == 0) {
    return;
  }
  if (ctx.on != nullptr) {
    return ctx.on->ops().linear_backward_weight(ctx, args);
  }
  // dW in panels is x^T dy: its rows are inputs, its columns outputs.
  cpu::product(ctx, {.c = args.dweight,
                     .c_stride = panel_width,
                     .c_panel_stride = args.inputs * panel_width,
                     .a = args.x_NI,
                     .a_stride = args.inputs,
                     .a_kind = cpu::a_layout::columns,
                     .b = args.dy_NO,
                     .b_stride = dy_stride,
                     .b_kind = cpu::b_layout::rows,
                     .accumulate = true,
                     .m = args.inputs,
                     .n = args.outputs,
                     .k = args.n});
  if (args.dbias_O != nullptr) {
    cpu::add_column_sums(ctx, args.dbias_O, args.dy_NO, dy_stride, args.n, args.outputs);
  }
}

}  // namespace troupe::kernels
