#include "base/error.hpp"
#include "kernels/matrix.hpp"
#include "support/random_values.hpp"
#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

namespace troupe::kernels {
namespace {

using test::random_values;

struct shape {
  int64_t n, outputs, inputs;
};

/// y [N, O], element (i, j) one chain in rising k: fused in float32, the promise of matrix.hpp, or
/// plain in double.
template <class Value> class chain {
public:
  chain(int64_t m, int64_t n) : n_(n), values_(static_cast<size_t>(m * n)) {}
  Value& operator()(int64_t i, int64_t j) { return values_[static_cast<size_t>(i * n_ + j)]; }
  const std::vector<Value>& values() const { return values_; }

  void add(int64_t i, int64_t j, float a, float b) {
    Value& sum = (*this)(i, j);
    sum = std::fma(static_cast<Value>(a), static_cast<Value>(b), sum);
  }

private:
  int64_t n_;
  std::vector<Value> values_;
};

/// Seeded operands of one linear layer. Rows of x, y and dy stand further apart than they are wide,
/// and everything begins one value past an aligned address. `type`: of weight and bias.
struct layer {
  explicit layer(const shape& s, dtype type = dtype::f32)
      : n(s.n), outputs(s.outputs), inputs(s.inputs), x_stride(inputs + 5), y_stride(outputs + 3),
        x(random_values(n * x_stride + 1, 1)), dense_x(n * inputs), dy(random_values(n * y_stride + 1, 2)),
        weight(random_values(outputs * inputs, 3)), bias(random_values(outputs, 4)),
        panels(static_cast<size_t>(panels_size(outputs, inputs) + 1)) {
    if (type == dtype::bf16) {
      test::round_to_bf16(weight);
      bias16 = test::round_to_bf16(bias);
    }
    to_panels(weight.data(), outputs, inputs, panels.data() + 1);
    if (type == dtype::bf16) {
      panels16 = test::round_to_bf16(panels);
    }
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < inputs; ++k) {
        dense_x[static_cast<size_t>(i * inputs + k)] = x_at(i, k);
      }
    }
  }

  int64_t n, outputs, inputs, x_stride, y_stride;
  std::vector<float> x, dense_x, dy, weight, bias, panels;
  std::vector<bf16> panels16, bias16;  ///< empty: float32

  const_reals typed_panels() const {
    return (panels16.empty() ? const_reals(panels.data()) : const_reals(panels16.data())) + 1;
  }
  const_reals typed_bias() const { return bias16.empty() ? const_reals(bias.data()) : const_reals(bias16.data()); }
  float x_at(int64_t i, int64_t k) const { return x[static_cast<size_t>(i * x_stride + k + 1)]; }
  float dy_at(int64_t i, int64_t o) const { return dy[static_cast<size_t>(i * y_stride + o + 1)]; }
  float weight_at(int64_t o, int64_t i) const { return weight[static_cast<size_t>(o * inputs + i)]; }
};

enum class start { zero, bias, accumulate };

constexpr float untouched = 7.25F;

/// The initial value of every element where a product accumulates.
float initial(int64_t i) { return 0.125F * static_cast<float>(i % 17); }

template <class Value> chain<Value> forward_chain(const layer& l, start from) {
  chain<Value> y(l.n, l.outputs);
  for (int64_t i = 0; i < l.n; ++i) {
    for (int64_t o = 0; o < l.outputs; ++o) {
      y(i, o) = from == start::bias ? l.bias[static_cast<size_t>(o)] : from == start::accumulate ? initial(o) : 0.0F;
      for (int64_t k = 0; k < l.inputs; ++k) {
        y.add(i, o, l.x_at(i, k), l.weight_at(o, k));
      }
    }
  }
  return y;
}

template <class Value> chain<Value> backward_input_chain(const layer& l, bool accumulate) {
  chain<Value> dx(l.n, l.inputs);
  for (int64_t i = 0; i < l.n; ++i) {
    for (int64_t k = 0; k < l.inputs; ++k) {
      dx(i, k) = accumulate ? initial(k) : 0.0F;
      for (int64_t o = 0; o < l.outputs; ++o) {
        dx.add(i, k, l.dy_at(i, o), l.weight_at(o, k));
      }
    }
  }
  return dx;
}

template <class Value> chain<Value> backward_weight_chain(const layer& l) {
  chain<Value> dw(l.outputs, l.inputs);
  for (int64_t o = 0; o < l.outputs; ++o) {
    for (int64_t k = 0; k < l.inputs; ++k) {
      dw(o, k) = initial(k);
      for (int64_t i = 0; i < l.n; ++i) {
        dw.add(o, k, l.x_at(i, k), l.dy_at(i, o));
      }
    }
  }
  return dw;
}

/// y without its gaps; checks that nothing was written into them.
std::vector<float> run_forward(context& ctx, const layer& l, start from) {
  std::vector<float> y(static_cast<size_t>(l.n * l.y_stride + 1), untouched);
  std::vector<float> dense;
  for (int64_t i = 0; from == start::accumulate && i < l.n * l.outputs; ++i) {
    y[static_cast<size_t>(i / l.outputs * l.y_stride + i % l.outputs + 1)] = initial(i % l.outputs);
  }
  linear_forward(ctx, {.y_NO = y.data() + 1,
                       .x_NI = l.x.data() + 1,
                       .weight = l.typed_panels(),
                       .bias_O = from == start::bias ? l.typed_bias() : nullptr,
                       .n = l.n,
                       .outputs = l.outputs,
                       .inputs = l.inputs,
                       .y_stride = l.y_stride,
                       .x_stride = l.x_stride,
                       .accumulate = from == start::accumulate});
  EXPECT_EQ(y[0], untouched);
  for (int64_t i = 0; i < l.n; ++i) {
    const float* row = y.data() + 1 + i * l.y_stride;
    dense.insert(dense.end(), row, row + l.outputs);
    for (int64_t gap = l.outputs; gap < l.y_stride; ++gap) {
      EXPECT_EQ(row[gap], untouched);
    }
  }
  return dense;
}

std::vector<float> run_backward_input(context& ctx, const layer& l, bool accumulate) {
  std::vector<float> dx(static_cast<size_t>(l.n * l.inputs + 1), untouched);
  for (int64_t i = 0; accumulate && i < l.n * l.inputs; ++i) {
    dx[static_cast<size_t>(i)] = initial(i % l.inputs);
  }
  linear_backward_input(ctx, {.dx_NI = dx.data(),
                              .dy_NO = l.dy.data() + 1,
                              .weight = l.typed_panels(),
                              .n = l.n,
                              .outputs = l.outputs,
                              .inputs = l.inputs,
                              .dy_stride = l.y_stride,
                              .accumulate = accumulate});
  EXPECT_EQ(dx.back(), untouched);
  dx.pop_back();
  return dx;
}

/// dW as plain rows; checks the padding of the panels and the bias.
std::vector<float> run_backward_weight(context& ctx, const layer& l) {
  std::vector<float> dw(static_cast<size_t>(l.outputs * l.inputs));
  std::vector<float> panels(l.panels.size() - 1);
  std::vector<float> dbias(static_cast<size_t>(l.outputs), 0.5F);
  for (int64_t i = 0; i < l.outputs * l.inputs; ++i) {
    dw[static_cast<size_t>(i)] = initial(i % l.inputs);
  }
  to_panels(dw.data(), l.outputs, l.inputs, panels.data());
  linear_backward_weight(ctx, {.dweight = panels.data(),
                               .dbias_O = dbias.data(),
                               .x_NI = l.dense_x.data(),
                               .dy_NO = l.dy.data() + 1,
                               .n = l.n,
                               .outputs = l.outputs,
                               .inputs = l.inputs,
                               .dy_stride = l.y_stride});
  from_panels(panels.data(), l.outputs, l.inputs, dw.data());
  std::vector<float> repacked(panels.size());
  to_panels(dw.data(), l.outputs, l.inputs, repacked.data());
  EXPECT_EQ(panels, repacked) << "padding is no longer 0";
  for (int64_t o = 0; o < l.outputs; ++o) {
    float sum = 0.5F;
    for (int64_t i = 0; i < l.n; ++i) {
      sum += l.dy_at(i, o);
    }
    EXPECT_EQ(dbias[static_cast<size_t>(o)], sum) << o;
  }
  return dw;
}

// 0, 1 and few rows (decode), more than a task's 256; one to several blocks of the inner dimension,
// 640 at most in each; one output (a scalar head), a full panel, panels and a rest.
const shape shapes[] = {{0, 5, 3},    {1, 1, 1},     {1, 31, 33},   {2, 33, 31},   {3, 768, 5},
                        {5, 96, 768}, {13, 64, 100}, {16, 40, 700}, {31, 32, 64},  {33, 1, 768},
                        {300, 70, 7}, {7, 1400, 30}, {1400, 33, 9}, {300, 45, 650}};

class MatrixTest : public testing::TestWithParam<std::tuple<int64_t, shape>> {
protected:
  const test::simd_target_scope target{std::get<0>(GetParam())};
  const layer l{std::get<1>(GetParam())};
};

TEST_P(MatrixTest, EveryProductIsNearItsOracle) {
  thread_pool pool(2);
  context ctx{pool};
  constexpr double limit = 1e-12;
  for (const start from : {start::zero, start::bias, start::accumulate}) {
    const auto oracle = forward_chain<double>(l, from);
    EXPECT_LE(test::relative_error(run_forward(ctx, l, from), oracle.values()), limit);
  }
  for (const bool accumulate : {false, true}) {
    const auto oracle = backward_input_chain<double>(l, accumulate);
    EXPECT_LE(test::relative_error(run_backward_input(ctx, l, accumulate), oracle.values()), limit);
  }
  EXPECT_LE(test::relative_error(run_backward_weight(ctx, l), backward_weight_chain<double>(l).values()), limit);
}

std::string name_of(int64_t target, const shape& s) {
  return std::string(hwy::TargetName(target)) + "_" + std::to_string(s.n) + "_" + std::to_string(s.outputs) + "_" +
         std::to_string(s.inputs);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MatrixTest,
                         testing::Combine(testing::ValuesIn(test::simd_targets()), testing::ValuesIn(shapes)),
                         [](const auto& info) { return name_of(std::get<0>(info.param), std::get<1>(info.param)); });

/// Equality with the chain, bit by bit, is independence from rows, threads and vector width in one.
class MatrixBitsTest : public testing::TestWithParam<std::tuple<int64_t, shape, dtype>> {
protected:
  const test::simd_target_scope target{std::get<0>(GetParam())};
  const layer l{std::get<1>(GetParam()), std::get<2>(GetParam())};
};

TEST_P(MatrixBitsTest, EveryElementIsOneFusedChainForAnyNumberOfThreads) {
  const auto forward = forward_chain<float>(l, start::bias);
  const auto accumulated = forward_chain<float>(l, start::accumulate);
  const auto dx = backward_input_chain<float>(l, true);
  const auto dw = backward_weight_chain<float>(l);
  for (const int threads : {1, 2, 3}) {
    thread_pool pool(threads);
    context ctx{pool};
    EXPECT_EQ(run_forward(ctx, l, start::bias), forward.values());
    EXPECT_EQ(run_forward(ctx, l, start::accumulate), accumulated.values());
    EXPECT_EQ(run_backward_input(ctx, l, true), dx.values());
    EXPECT_EQ(run_backward_weight(ctx, l), dw.values());
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, MatrixBitsTest,
                         testing::Combine(testing::ValuesIn(test::fused_simd_targets()), testing::ValuesIn(shapes),
                                          testing::Values(dtype::f32, dtype::bf16)),
                         [](const auto& info) {
                           return name_of(std::get<0>(info.param), std::get<1>(info.param)) + "_" +
                                  to_string(std::get<2>(info.param));
                         });

TEST(MatrixRowsTest, ARowHasTheSameBitsAloneAndInABatch) {
  thread_pool pool(2);
  context ctx{pool};
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    const layer l({400, 100, 777}, type);  // many rows, of which few are used alone
    const std::vector<float> batch = run_forward(ctx, l, start::bias);
    for (int64_t i = 0; i < l.n; i += 37) {
      std::vector<float> row(static_cast<size_t>(l.outputs));
      linear_forward(ctx, {.y_NO = row.data(),
                           .x_NI = l.x.data() + 1 + i * l.x_stride,
                           .weight = l.typed_panels(),
                           .bias_O = l.typed_bias(),
                           .n = 1,
                           .outputs = l.outputs,
                           .inputs = l.inputs});
      const auto first = batch.begin() + i * l.outputs;
      EXPECT_EQ(row, std::vector<float>(first, first + l.outputs)) << to_string(type) << ", row " << i;
    }
  }
}

TEST(MatrixRowsTest, MoreRowsThanArePackedAtOnceKeepTheirChain) {
  thread_pool pool(2);
  context ctx{pool};
  const layer l({13000, 1, 700});
  const std::vector<float> y = run_forward(ctx, l, start::zero);
  if (test::fused_simd_targets().empty()) {
    EXPECT_LE(test::relative_error(y, forward_chain<double>(l, start::zero).values()), 1e-12);
  } else {
    EXPECT_EQ(y, forward_chain<float>(l, start::zero).values());
  }
}

TEST(MatrixGradientTest, BackwardMatchesCentralDifferences) {
  thread_pool pool(2);
  context ctx{pool};
  layer l({3, 35, 4});
  // loss = sum dy * y, whose derivatives the central difference of a linear function gives exactly
  const auto loss = [](const layer& at) {
    const auto y = forward_chain<double>(at, start::bias);
    double sum = 0;
    for (int64_t i = 0; i < at.n * at.outputs; ++i) {
      sum += y.values()[static_cast<size_t>(i)] * static_cast<double>(at.dy_at(i / at.outputs, i % at.outputs));
    }
    return sum;
  };
  const auto slope = [&](float& value) {
    const float kept = value;
    value = kept + 0.5F;
    const auto high = static_cast<double>(value);
    const double above = loss(l);
    value = kept - 0.5F;
    const double difference = above - loss(l);
    const double distance = high - static_cast<double>(value);
    value = kept;
    return difference / distance;
  };
  const std::vector<float> dx = run_backward_input(ctx, l, false);
  const std::vector<float> dw = run_backward_weight(ctx, l);
  for (int64_t i = 0; i < l.n * l.inputs; ++i) {
    float& value = l.x[static_cast<size_t>(i / l.inputs * l.x_stride + i % l.inputs + 1)];
    EXPECT_NEAR(dx[static_cast<size_t>(i)], slope(value), 1e-5);
  }
  for (size_t i = 0; i < l.weight.size(); ++i) {
    const float start_value = initial(static_cast<int64_t>(i) % l.inputs);
    EXPECT_NEAR(dw[i] - start_value, slope(l.weight[i]), 1e-5);
  }
}

TEST(PanelsTest, RowsComeBackAndPaddingIsZero) {
  const std::vector<float> weight = random_values(33 * 7, 5);
  std::vector<float> panels(static_cast<size_t>(panels_size(33, 7)), 1.0F);
  EXPECT_EQ(panels.size(), 64U * 7U);
  to_panels(weight.data(), 33, 7, panels.data());
  EXPECT_EQ(panels[32 * 7 + 3 * 32], weight[32 * 7 + 3]);
  EXPECT_EQ(std::count(panels.begin(), panels.end(), 0.0F), 31 * 7);
  std::vector<float> back(weight.size());
  from_panels(panels.data(), 33, 7, back.data());
  EXPECT_EQ(back, weight);
}

TEST(MatrixErrorTest, ImpossibleShapesAreNamed) {
  thread_pool pool(1);
  context ctx{pool};
  std::vector<float> v(64);
  const auto code_of = [&](linear_args args) {
    args.y_NO = v.data();
    args.x_NI = v.data();
    args.weight = v.data();
    try {
      linear_forward(ctx, args);
    } catch (const error& e) {
      return std::string(to_string(e.code()));
    }
    return std::string("no error");
  };
  EXPECT_EQ(code_of({.n = -1, .outputs = 1, .inputs = 1}), "shape_mismatch");
  EXPECT_EQ(code_of({.n = 1, .outputs = 0, .inputs = 1}), "shape_mismatch");
  EXPECT_EQ(code_of({.n = 1, .outputs = 2, .inputs = 2, .y_stride = 1}), "shape_mismatch");
  EXPECT_EQ(code_of({.bias_O = v.data(), .n = 1, .outputs = 2, .inputs = 1, .accumulate = true}), "bad_argument");
}

}  // namespace
}  // namespace troupe::kernels
