/// The products of a card against the chains that they promise, against double, and against the CPU.
#include "kernels/matrix.hpp"
#include "support/emulation/card_test.hpp"
#include "support/emulation/matrix_unit.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

namespace troupe::kernels {
namespace {

using test::bits;
using test::emulated_context;
using test::operand;
using test::random_values;

/// C [m, n] and what its elements are made of: A(i, k) and B(k, j), all values of bfloat16.
struct chains {
  int64_t m, n, k;
  std::function<float(int64_t i, int64_t k)> a;
  std::function<float(int64_t k, int64_t j)> b;

  /// As the matrix units add: 16 products at a time.
  float sixteen_at_a_time(int64_t i, int64_t j) const {
    float sum = 0;
    for (int64_t first = 0; first < k; first += 16) {
      uint16_t a16[16] = {}, b16[16] = {};
      for (int64_t s = 0; s < 16 && first + s < k; ++s) {
        a16[s] = to_bf16(a(i, first + s)).bits;
        b16[s] = to_bf16(b(first + s, j)).bits;
      }
      sum = emulation::dot_16(a16, b16, sum);
    }
    return sum;
  }
  /// As the CPU adds, on top of `sum`.
  float one_at_a_time(int64_t i, int64_t j, float sum) const {
    for (int64_t s = 0; s < k; ++s) {
      sum = std::fma(a(i, s), b(s, j), sum);
    }
    return sum;
  }
  double exact(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t s = 0; s < k; ++s) {
      sum += static_cast<double>(a(i, s)) * b(s, j);
    }
    return sum;
  }

  template <class Value> std::vector<Value> all(const std::function<Value(int64_t i, int64_t j)>& element) const {
    std::vector<Value> values;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        values.push_back(element(i, j));
      }
    }
    return values;
  }
};

struct shape {
  int64_t n, outputs, inputs;
};

/// What stands between rows counts for nothing.
void spoil_gaps(std::vector<float>& values, int64_t width, int64_t stride) {
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int64_t>(i) % stride < width ? values[i] : NAN;
  }
}

/// A layer whose values are all of bfloat16. Rows of x, y and dy stand `apart` elements further apart than they are
/// wide, and every array begins `shift` elements behind a multiple of 16 bytes: both are 0 in a model.
struct layer {
  explicit layer(const shape& s, int64_t apart_ = 0, int64_t shift_ = 0)
      : n(s.n), outputs(s.outputs), inputs(s.inputs), apart(apart_), shift(shift_), x_stride(inputs + apart),
        y_stride(outputs + apart), x(random_values(n * x_stride, 1)), dense_x(random_values(n * inputs, 6)),
        dy(random_values(n * y_stride, 2)), weight(random_values(round_up(outputs, panel_width) * inputs, 3)),
        bias(random_values(outputs, 4)),
        before(random_values(std::max(n, outputs) * (std::max(inputs, outputs) + apart), 5)) {
    std::fill(weight.begin() + outputs * inputs, weight.end(), 0.0F);
    for (auto* values : {&x, &dense_x, &dy, &weight, &bias, &before}) {
      test::round_to_bf16(*values);
    }
    spoil_gaps(x, inputs, x_stride);
    spoil_gaps(dy, outputs, y_stride);
  }

  float x_at(int64_t i, int64_t k) const { return x[static_cast<size_t>(i * x_stride + k)]; }
  float dy_at(int64_t i, int64_t o) const { return dy[static_cast<size_t>(i * y_stride + o)]; }
  float weight_at(int64_t o, int64_t i) const { return weight[static_cast<size_t>(o * inputs + i)]; }

  chains forward() const {
    return {n, outputs, inputs, [this](int64_t i, int64_t k) { return x_at(i, k); },
            [this](int64_t k, int64_t o) { return weight_at(o, k); }};
  }
  chains backward_input() const {
    return {n, inputs, outputs, [this](int64_t i, int64_t o) { return dy_at(i, o); },
            [this](int64_t o, int64_t i) { return weight_at(o, i); }};
  }
  chains backward_weight() const {
    return {outputs, inputs, n, [this](int64_t o, int64_t i) { return dy_at(i, o); },
            [this](int64_t i, int64_t k) { return dense_x[static_cast<size_t>(i * inputs + k)]; }};
  }

  int64_t n, outputs, inputs, apart, shift, x_stride, y_stride;
  std::vector<float> x, dense_x, dy, weight, bias, before;
};

float rounded(float value, dtype type) { return type == dtype::bf16 ? to_float(to_bf16(value)) : value; }

/// Rows of `width` out of rows of `stride`.
std::vector<float> dense(const std::vector<float>& values, int64_t rows, int64_t width, int64_t stride) {
  std::vector<float> all;
  for (int64_t i = 0; i < rows; ++i) {
    all.insert(all.end(), values.begin() + i * stride, values.begin() + i * stride + width);
  }
  return all;
}

enum class start { zero, bias, accumulate };

/// An array of a layer on a card.
class array {
public:
  array(const layer& l, std::span<const float> values, dtype type) : shift_(l.shift), operand_(shifted(values), type) {}
  reals data() { return operand_.data() + shift_; }
  std::vector<float> values() const {
    const std::vector<float> all = operand_.values();
    EXPECT_EQ(std::vector<float>(all.begin(), all.begin() + shift_), std::vector<float>(static_cast<size_t>(shift_)));
    return {all.begin() + shift_, all.end()};
  }

private:
  std::vector<float> shifted(std::span<const float> values) const {
    std::vector<float> all(static_cast<size_t>(shift_));
    all.insert(all.end(), values.begin(), values.end());
    return all;
  }
  int64_t shift_;
  operand operand_;
};

array before(const layer& l, int64_t count, dtype type) {
  return {l, std::span(l.before).first(static_cast<size_t>(count)), type};
}

/// y in rows of y_stride. `in`: the type of x, weight and bias.
std::vector<float> forward(emulated_context& on, const layer& l, dtype in, dtype out, start from = start::bias) {
  array x(l, l.x, in), weight(l, l.weight, in), bias(l, l.bias, in), y = before(l, l.n * l.y_stride, out);
  linear_forward(on.ctx, {.y_NO = y.data(),
                          .x_NI = x.data(),
                          .weight = weight.data(),
                          .bias_O = from == start::bias ? const_reals(bias.data()) : const_reals(nullptr),
                          .n = l.n,
                          .outputs = l.outputs,
                          .inputs = l.inputs,
                          .y_stride = l.y_stride,
                          .x_stride = l.x_stride,
                          .accumulate = from == start::accumulate});
  return y.values();
}

std::vector<float> backward_input(emulated_context& on, const layer& l, dtype type, bool accumulate) {
  array dy(l, l.dy, type), weight(l, l.weight, type), dx = before(l, l.n * l.inputs, type);
  linear_backward_input(on.ctx, {.dx_NI = dx.data(),
                                 .dy_NO = dy.data(),
                                 .weight = weight.data(),
                                 .n = l.n,
                                 .outputs = l.outputs,
                                 .inputs = l.inputs,
                                 .dy_stride = l.y_stride,
                                 .accumulate = accumulate});
  return dx.values();
}

struct weight_gradients {
  std::vector<float> dweight, dbias;
};

weight_gradients backward_weight(emulated_context& on, const layer& l, dtype type) {
  array dy(l, l.dy, type), x(l, l.dense_x, type);
  array dweight = before(l, l.outputs * l.inputs, dtype::f32), dbias = before(l, l.outputs, dtype::f32);
  linear_backward_weight(on.ctx, {.dweight = dweight.data(),
                                  .dbias_O = dbias.data(),
                                  .x_NI = x.data(),
                                  .dy_NO = dy.data(),
                                  .n = l.n,
                                  .outputs = l.outputs,
                                  .inputs = l.inputs,
                                  .dy_stride = l.y_stride});
  return {dweight.values(), dbias.values()};
}

/// What stands between rows stays.
std::vector<float> gaps(const std::vector<float>& values, int64_t rows, int64_t width, int64_t stride) {
  std::vector<float> all;
  for (int64_t i = 0; i < rows; ++i) {
    all.insert(all.end(), values.begin() + i * stride + width, values.begin() + (i + 1) * stride);
  }
  return all;
}

struct problem {
  const char* name;
  shape s;
  int64_t apart, shift;
};

const std::vector<problem> problems = {{"OneRow", {1, 32, 64}, 0, 0},         {"SevenInputs", {3, 5, 7}, 1, 1},
                                       {"OddWidths", {9, 33, 172}, 0, 0},     {"Unaligned", {17, 20, 100}, 3, 0},
                                       {"Shifted", {33, 40, 96}, 8, 1},       {"RaggedEnds", {33, 44, 60}, 4, 0},
                                       {"LongInner", {2, 16, 4096}, 0, 0},    {"SixtyFourRows", {64, 48, 40}, 0, 8},
                                       {"SixtyFiveRows", {65, 70, 33}, 1, 0}, {"ManyRows", {130, 40, 288}, 0, 0},
                                       {"LargeTiles", {130, 136, 24}, 0, 0},  {"LargeTilesOdd", {129, 150, 9}, 5, 5},
                                       {"WideTiles", {70, 300, 40}, 0, 0},    {"TallTiles", {300, 70, 24}, 0, 0},
                                       {"AlignedRagged", {70, 33, 41}, 7, 0}, {"FewRowsRagged", {12, 20, 201}, 7, 0}};

class CardMatrixTest : public testing::TestWithParam<problem> {
protected:
  layer layer_{GetParam().s, GetParam().apart, GetParam().shift};
  emulated_context card_;
};

void expect_chains(const layer& l, dtype out, start from, const std::vector<float>& y) {
  const chains c = l.forward();
  const std::vector<float> expected = c.all<float>([&](int64_t i, int64_t o) {
    const float added = from == start::bias         ? l.bias[static_cast<size_t>(o)]
                        : from == start::accumulate ? l.before[static_cast<size_t>(i * l.y_stride + o)]
                                                    : 0.0F;
    return rounded(c.sixteen_at_a_time(i, o) + added, out);
  });
  EXPECT_EQ(bits(dense(y, l.n, l.outputs, l.y_stride)), bits(expected));
  EXPECT_EQ(gaps(y, l.n, l.outputs, l.y_stride), gaps(l.before, l.n, l.outputs, l.y_stride));
}

TEST_P(CardMatrixTest, ForwardIsOneChainOfSixteens) {
  expect_chains(layer_, dtype::bf16, start::bias, forward(card_, layer_, dtype::bf16, dtype::bf16, start::bias));
  expect_chains(layer_, dtype::f32, start::zero, forward(card_, layer_, dtype::bf16, dtype::f32, start::zero));
  expect_chains(layer_, dtype::bf16, start::accumulate,
                forward(card_, layer_, dtype::bf16, dtype::bf16, start::accumulate));
}

TEST_P(CardMatrixTest, BackwardIsOneChainOfSixteens) {
  const chains input = layer_.backward_input(), weight = layer_.backward_weight();
  for (const bool accumulate : {false, true}) {
    const auto expected = input.all<float>([&](int64_t i, int64_t k) {
      const float added = accumulate ? layer_.before[static_cast<size_t>(i * layer_.inputs + k)] : 0.0F;
      return rounded(input.sixteen_at_a_time(i, k) + added, dtype::bf16);
    });
    EXPECT_EQ(bits(backward_input(card_, layer_, dtype::bf16, accumulate)), bits(expected));
  }
  const weight_gradients found = backward_weight(card_, layer_, dtype::bf16);
  EXPECT_EQ(bits(found.dweight), bits(weight.all<float>([&](int64_t o, int64_t i) {
              return weight.sixteen_at_a_time(o, i) + layer_.before[static_cast<size_t>(o * layer_.inputs + i)];
            })));
}

TEST_P(CardMatrixTest, TheChainsAreNearTheExactSums) {
  const layer& l = layer_;
  const double limit = l.inputs > 1000 ? 1e-10 : 1e-12;  // each step cuts towards 0: the error grows with their number
  const chains f = l.forward();
  const std::vector<float> y =
      dense(forward(card_, l, dtype::bf16, dtype::f32, start::zero), l.n, l.outputs, l.y_stride);
  EXPECT_TRUE(test::near_oracle(l.inputs > 1000 ? "matrix forward, 4096 inputs" : "matrix forward", dtype::bf16, y,
                                f.all<double>([&](int64_t i, int64_t j) { return f.exact(i, j); }), limit));
  const chains w = l.backward_weight();
  const weight_gradients found = backward_weight(card_, l, dtype::bf16);
  EXPECT_TRUE(test::near_oracle("matrix backward, weights", dtype::bf16, found.dweight,
                                w.all<double>([&](int64_t o, int64_t i) {
                                  return w.exact(o, i) + l.before[static_cast<size_t>(o * l.inputs + i)];
                                }),
                                1e-12));
}

TEST_P(CardMatrixTest, Float32HasTheBitsOfTheCpu) {
  const layer& l = layer_;
  const chains f = l.forward(), input = l.backward_input(), weight = l.backward_weight();
  const std::vector<float> y = forward(card_, l, dtype::f32, dtype::f32, start::bias);
  EXPECT_EQ(bits(dense(y, l.n, l.outputs, l.y_stride)), bits(f.all<float>([&](int64_t i, int64_t o) {
              return f.one_at_a_time(i, o, l.bias[static_cast<size_t>(o)]);
            })));
  EXPECT_EQ(gaps(y, l.n, l.outputs, l.y_stride), gaps(l.before, l.n, l.outputs, l.y_stride));
  EXPECT_EQ(bits(backward_input(card_, l, dtype::f32, true)), bits(input.all<float>([&](int64_t i, int64_t k) {
              return input.one_at_a_time(i, k, l.before[static_cast<size_t>(i * l.inputs + k)]);
            })));
  const weight_gradients found = backward_weight(card_, l, dtype::f32);
  EXPECT_EQ(bits(found.dweight), bits(weight.all<float>([&](int64_t o, int64_t i) {
              return weight.one_at_a_time(o, i, l.before[static_cast<size_t>(o * l.inputs + i)]);
            })));
  // And the twin itself, whose panels hold the same weight.
  thread_pool pool(1);
  context host{pool};
  std::vector<float> panels(static_cast<size_t>(panels_size(l.outputs, l.inputs)));
  to_panels(l.weight.data(), l.outputs, l.inputs, panels.data());
  std::vector<float> twin(l.before.begin(), l.before.begin() + l.n * l.y_stride);
  linear_forward(host, {.y_NO = twin.data(),
                        .x_NI = l.x.data(),
                        .weight = panels.data(),
                        .bias_O = l.bias.data(),
                        .n = l.n,
                        .outputs = l.outputs,
                        .inputs = l.inputs,
                        .y_stride = l.y_stride,
                        .x_stride = l.x_stride});
  EXPECT_EQ(bits(y), bits(twin));
}

/// In either mode, rows in rising order on top of what was there.
TEST_P(CardMatrixTest, BiasGradientsAreSumsOfRowsInOrder) {
  const layer& l = layer_;
  std::vector<float> expected(l.before.begin(), l.before.begin() + l.outputs);
  for (int64_t i = 0; i < l.n; ++i) {
    for (int64_t o = 0; o < l.outputs; ++o) {
      expected[static_cast<size_t>(o)] += l.dy_at(i, o);
    }
  }
  EXPECT_EQ(bits(backward_weight(card_, l, dtype::bf16).dbias), bits(expected));
  EXPECT_EQ(bits(backward_weight(card_, l, dtype::f32).dbias), bits(expected));
}

TEST_P(CardMatrixTest, TheOrderOfThreadsDoesNotMatter) {
  std::vector<std::vector<float>> y, dx, dweight, y32;
  for (const emulation::thread_order order : test::thread_orders) {
    emulated_context card(order);
    y.push_back(forward(card, layer_, dtype::bf16, dtype::bf16));
    dx.push_back(backward_input(card, layer_, dtype::bf16, false));
    dweight.push_back(backward_weight(card, layer_, dtype::bf16).dweight);
    y32.push_back(forward(card, layer_, dtype::f32, dtype::f32));
  }
  for (const auto& results : {y, dx, dweight, y32}) {
    EXPECT_EQ(bits(results[0]), bits(results[1]));
    EXPECT_EQ(bits(results[0]), bits(results[2]));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CardMatrixTest, testing::ValuesIn(problems),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(CardMatrixRowsTest, ARowHasTheSameBitsInAnyBatch) {
  emulated_context card;
  const layer all({200, 40, 172});
  const std::vector<float> y = forward(card, all, dtype::bf16, dtype::bf16),
                           y32 = forward(card, all, dtype::f32, dtype::f32);
  for (const int64_t rows : {1, 8, 16, 30, 64, 65}) {
    const layer some({rows, 40, 172});  // random_values: the same rows
    ASSERT_EQ(some.x, std::vector<float>(all.x.begin(), all.x.begin() + rows * 172));
    const auto expected = [&](const std::vector<float>& values) {
      return bits(std::vector<float>(values.begin(), values.begin() + rows * 40));
    };
    EXPECT_EQ(bits(forward(card, some, dtype::bf16, dtype::bf16)), expected(y)) << rows << " rows";
    EXPECT_EQ(bits(forward(card, some, dtype::f32, dtype::f32)), expected(y32)) << rows << " rows";
  }
}

TEST(CardMatrixRowsTest, AWeightInBfloat16GivesWhatItsValuesGive) {
  const layer l({5, 33, 40});
  for (const emulation::thread_order order : test::thread_orders) {
    emulated_context card(order);
    array x(l, l.x, dtype::f32), dy(l, l.dy, dtype::f32), weight(l, l.weight, dtype::bf16);
    array y = before(l, l.n * l.outputs, dtype::f32), dx = before(l, l.n * l.inputs, dtype::f32);
    linear_forward(card.ctx,
                   {.y_NO = y.data(), .x_NI = x.data(), .weight = weight.data(), .n = 5, .outputs = 33, .inputs = 40});
    linear_backward_input(
        card.ctx,
        {.dx_NI = dx.data(), .dy_NO = dy.data(), .weight = weight.data(), .n = 5, .outputs = 33, .inputs = 40});
    EXPECT_EQ(bits(y.values()), bits(forward(card, l, dtype::f32, dtype::f32, start::zero)));
    EXPECT_EQ(bits(dx.values()), bits(backward_input(card, l, dtype::f32, false)));
  }
}

TEST(CardMatrixRowsTest, NoRowsWriteNothing) {
  emulated_context card;
  const layer l({0, 33, 40});
  EXPECT_TRUE(forward(card, l, dtype::bf16, dtype::bf16).empty());
  EXPECT_TRUE(backward_input(card, l, dtype::bf16, false).empty());
  const weight_gradients found = backward_weight(card, l, dtype::bf16);
  EXPECT_EQ(found.dweight, before(l, 33 * 40, dtype::f32).values());
  EXPECT_EQ(found.dbias, before(l, 33, dtype::f32).values());
}

}  // namespace
}  // namespace troupe::kernels
