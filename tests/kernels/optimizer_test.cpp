#include "base/error.hpp"
#include "kernels/optimizer.hpp"
#include "support/random_values.hpp"
#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace troupe::kernels {
namespace {

using test::random_values;

struct arenas {
  explicit arenas(int64_t count) : weight(random_values(count, 1)), first(weight.size()), second(weight.size()) {}
  std::vector<float> weight, first, second;
};

adamw_args arguments(arenas& a, const std::vector<float>& gradient, int64_t step) {
  return {.weight = a.weight.data(),
          .first_moment = a.first.data(),
          .second_moment = a.second.data(),
          .gradient = gradient.data(),
          .count = static_cast<int64_t>(gradient.size()),
          .learning_rate = 1e-2F,
          .beta1 = 0.9F,
          .beta2 = 0.95F,
          .epsilon = 1e-8F,
          .weight_decay = 0.1F,
          .gradient_scale = 0.5F,
          .step = step};
}

class OptimizerTest : public testing::TestWithParam<int64_t> {
protected:
  const test::simd_target_scope target{GetParam()};
};

TEST_P(OptimizerTest, AdamwFollowsItsFormulaOverSeveralSteps) {
  thread_pool pool(2);
  context ctx{pool};
  for (const int64_t count : {0, 1, 31, 33, 40000}) {
    arenas a(count);
    std::vector<double> w(a.weight.begin(), a.weight.end());
    std::vector<double> m(w.size());
    std::vector<double> v(w.size());
    for (int64_t step = 1; step <= 4; ++step) {
      const std::vector<float> gradient = random_values(count, static_cast<uint64_t>(10 + step));
      adamw_update(ctx, arguments(a, gradient, step));
      for (size_t i = 0; i < w.size(); ++i) {
        const double g = 0.5 * static_cast<double>(gradient[i]);
        m[i] = 0.9 * m[i] + 0.1 * g;
        v[i] = 0.95 * v[i] + 0.05 * g * g;
        const double m_hat = m[i] / (1 - std::pow(0.9, step));
        const double v_hat = v[i] / (1 - std::pow(0.95, step));
        w[i] -= 1e-2 * 0.1 * w[i] + 1e-2 * m_hat / (std::sqrt(v_hat) + 1e-8);
      }
    }
    EXPECT_LE(test::relative_error(a.weight, w), 1e-12);
    EXPECT_LE(test::relative_error(a.first, m), 1e-12);
    EXPECT_LE(test::relative_error(a.second, v), 1e-12);
  }
}

std::vector<uint16_t> bits_of(const std::vector<bf16>& values) {
  std::vector<uint16_t> bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), [](bf16 value) { return value.bits; });
  return bits;
}

/// Halfway cases, numbers that are too small or too large for a bfloat16, and what is no number.
std::vector<float> hard_to_round() {
  std::vector<float> values;
  for (const uint32_t bits : {0x3F808000U, 0x3F818000U, 0x3F808001U, 0x3F807FFFU, 0xBF818000U, 0x00000001U, 0x00008000U,
                              0x00018000U, 0x807FFFFFU, 0x7F7FFFFFU, 0x7F7F8000U, 0x7F7F7FFFU, 0xFF7FFFFFU, 0x7F800000U,
                              0xFF800000U, 0x7FC00000U, 0x7F800001U, 0xFFFFFFFFU, 0x80000000U}) {
    values.push_back(__builtin_bit_cast(float, bits));
  }
  return values;
}

TEST_P(OptimizerTest, TheNewWeightIsWrittenRoundedToo) {
  thread_pool pool(2);
  context ctx{pool};
  for (const int64_t count : {0, 1, 15, 33, 40000}) {
    arenas a(count);
    arenas alone = a;
    const std::vector<float> gradient = random_values(count, 6);
    std::vector<bf16> rounded(static_cast<size_t>(count) + 1, bf16{0xABCD});
    adamw_args args = arguments(a, gradient, 2);
    args.compute = rounded.data();
    adamw_update(ctx, args);
    std::vector<bf16> expected(a.weight.size());
    std::transform(a.weight.begin(), a.weight.end(), expected.begin(), to_bf16);
    expected.push_back({0xABCD});  // nothing past the last
    EXPECT_EQ(bits_of(rounded), bits_of(expected)) << count;
    adamw_update(ctx, arguments(alone, gradient, 2));
    EXPECT_EQ(alone.weight, a.weight) << count;
  }
}

TEST_P(OptimizerTest, RoundsToTheNearestEvenLikeTheScalarFunction) {
  thread_pool pool(1);
  context ctx{pool};
  arenas a(0);
  for (int i = 0; i < 3; ++i) {
    for (const float value : hard_to_round()) {
      a.weight.push_back(value);
    }
  }
  a.first.resize(a.weight.size());
  a.second.resize(a.weight.size());
  std::vector<bf16> expected(a.weight.size());
  std::transform(a.weight.begin(), a.weight.end(), expected.begin(), to_bf16);
  std::vector<bf16> rounded(a.weight.size());
  const std::vector<float> gradient(a.weight.size());
  adamw_args args = arguments(a, gradient, 1);
  args.learning_rate = 0;  // the weights stay
  args.compute = rounded.data();
  adamw_update(ctx, args);
  EXPECT_EQ(bits_of(rounded), bits_of(expected));
}

TEST_P(OptimizerTest, PaddingWithoutGradientStaysZero) {
  thread_pool pool(1);
  context ctx{pool};
  arenas a(100);
  std::fill(a.weight.begin(), a.weight.end(), 0.0F);
  adamw_update(ctx, arguments(a, std::vector<float>(100), 1));
  EXPECT_EQ(a.weight, std::vector<float>(100));
}

TEST_P(OptimizerTest, SumOfSquaresIsTheDocumentedSum) {
  for (const int64_t count : {0, 1, 15, 4096, 4097, 100001}) {
    const std::vector<float> x = random_values(count, 2);
    double expected = 0;
    for (int64_t begin = 0; begin < count; begin += 4096) {
      double lanes[16] = {};
      for (int64_t i = begin; i < std::min(begin + 4096, count); ++i) {
        const double value = x[static_cast<size_t>(i)];
        lanes[(i - begin) % 16] += value * value;
      }
      for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) {
          lanes[i] += lanes[i + half];
        }
      }
      expected += lanes[0];
    }
    for (const int threads : {1, 2, 3}) {
      thread_pool pool(threads);
      context ctx{pool};
      EXPECT_EQ(sum_of_squares(ctx, x.data(), count), expected) << count;
    }
  }
}

TEST_P(OptimizerTest, AverageMovesTowardsTheValues) {
  thread_pool pool(2);
  context ctx{pool};
  for (const int64_t count : {0, 1, 33, 20001}) {
    std::vector<float> average = random_values(count, 3);
    const std::vector<float> values = random_values(count, 4);
    std::vector<double> expected(average.begin(), average.end());
    for (size_t i = 0; i < expected.size(); ++i) {
      expected[i] = 0.992 * expected[i] + 0.008 * static_cast<double>(values[i]);
    }
    fold_average(ctx, average.data(), values.data(), count, 0.992F);
    EXPECT_LE(test::relative_error(average, expected), 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, OptimizerTest, testing::ValuesIn(test::simd_targets()), test::simd_target_name);

TEST(OptimizerBitsTest, ThreadsAndVectorWidthLeaveTheBitsAlone) {
  const int64_t count = 50003;
  std::vector<std::vector<float>> results;
  for (const int64_t target : test::fused_simd_targets()) {
    const test::simd_target_scope scope(target);
    for (const int threads : {1, 2, 3}) {
      thread_pool pool(threads);
      context ctx{pool};
      arenas a(count);
      adamw_update(ctx, arguments(a, random_values(count, 5), 3));
      fold_average(ctx, a.first.data(), a.weight.data(), count, 0.99F);
      std::vector<float> all = a.weight;
      all.insert(all.end(), a.first.begin(), a.first.end());
      all.insert(all.end(), a.second.begin(), a.second.end());
      results.push_back(std::move(all));
      EXPECT_EQ(results.back(), results.front());
    }
  }
}

TEST(OptimizerErrorTest, ImpossibleSettingsAreRefused) {
  thread_pool pool(1);
  context ctx{pool};
  EXPECT_THROW(adamw_update(ctx, {.step = 0}), error);
  EXPECT_THROW(adamw_update(ctx, {.beta1 = 1.0F}), error);
  EXPECT_THROW(adamw_update(ctx, {.epsilon = 0.0F}), error);
  EXPECT_THROW(sum_of_squares(ctx, nullptr, -1), error);
  EXPECT_THROW(fold_average(ctx, nullptr, nullptr, 0, 1.5F), error);
}

}  // namespace
}  // namespace troupe::kernels
