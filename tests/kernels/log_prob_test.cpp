#include "base/error.hpp"
#include "kernels/log_prob.hpp"
#include "kernels/matrix.hpp"
#include "support/log_prob_oracle.hpp"
#include "support/random_values.hpp"
#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace troupe::kernels {
namespace {

using test::random_values;
using test::to_double;

struct shape {
  int64_t n, d, vocabulary;
  float temperature = 1.0F;
  double amplitude = 1;  ///< of the weights
};

constexpr float before = 0.25F;  ///< what accumulated gradients hold beforehand

/// A head with seeded operands, and a policy's loss with every term.
struct head_case {
  explicit head_case(const shape& given)
      : s(given), x(random_values(s.n * s.d, 1)), weight(random_values(s.vocabulary * s.d, 2, s.amplitude)),
        bias(random_values(s.vocabulary, 3)), advantage(random_values(s.n, 4)),
        panels(static_cast<size_t>(panels_size(s.vocabulary, s.d))), logprob(advantage.size()),
        entropy(advantage.size()), dx(x.size(), NAN), dpanels(panels.size()), dbias(bias.size(), before),
        terms(advantage.size()) {
    to_panels(weight.data(), s.vocabulary, s.d, panels.data());
    const std::vector<float> start(weight.size(), before);
    to_panels(start.data(), s.vocabulary, s.d, dpanels.data());
    for (int64_t row = 0; row < s.n; ++row) {
      target.push_back(static_cast<int32_t>(row * 7919 % s.vocabulary));
      weight_N.push_back(static_cast<double>((row + 1) % 5) / 4);  // some do not count
    }
  }

  log_prob_args forward_args() {
    return {.logprob_N = logprob.data(),
            .entropy_N = entropy.data(),
            .x_ND = x.data(),
            .weight = panels.data(),
            .bias_V = bias.data(),
            .target_N = target.data(),
            .n = s.n,
            .d = s.d,
            .vocabulary = s.vocabulary,
            .temperature = s.temperature};
  }

  log_prob_train_args train_args() {
    return {.dx_ND = dx.data(),
            .dweight = dpanels.data(),
            .dbias_V = dbias.data(),
            .forward = forward_args(),
            .loss = {.kind = loss_kind::policy,
                     .policy = {.entropy_coefficient = 0.4, .kl_coefficient = 0.3},
                     .logprob_old_N = old.data(),
                     .advantage_N = advantage.data(),
                     .logprob_ref_N = ref.data(),
                     .weight_N = weight_N.data(),
                     .terms_N = terms.data()}};
  }

  void train(context& ctx) {
    log_prob_forward(ctx, forward_args());
    old = ref = logprob;
    for (size_t row = 0; row < old.size(); ++row) {
      old[row] += 0.1F * advantage[row];
      ref[row] -= 0.5F * advantage[row];
    }
    log_prob_train(ctx, train_args());
  }

  std::vector<double> gradient(float token_terms::*by) const {
    std::vector<double> values;
    for (const token_terms& t : terms) {
      values.push_back(t.*by);
    }
    return values;
  }

  test::head_problem oracle() const {
    return {to_double(x), to_double(weight), to_double(bias), target, s.d, s.vocabulary, s.temperature};
  }

  shape s;
  std::vector<float> x, weight, bias, advantage, panels, logprob, entropy, dx, dpanels, dbias, old, ref;
  std::vector<token_terms> terms;
  std::vector<double> weight_N;
  std::vector<int32_t> target;
};

double largest_difference(std::span<const float> a, std::span<const double> b) {
  double largest = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  return largest;
}

class LogProbTest : public testing::TestWithParam<std::tuple<shape, int64_t>> {
protected:
  LogProbTest() : target_(std::get<1>(GetParam())), values_(std::get<0>(GetParam())) {}

  /// Logits of size 1e4 are themselves rounded to 1e-3.
  double tolerance() const { return values_.s.amplitude > 1 ? 1e-2 : 2e-5; }

  test::simd_target_scope target_;
  head_case values_;
  thread_pool pool_{2};
  context ctx_{pool_};
};

TEST_P(LogProbTest, ForwardMatchesTheOracle) {
  const auto oracle = test::log_prob_oracle(values_.oracle());
  log_prob_forward(ctx_, values_.forward_args());
  EXPECT_LE(largest_difference(values_.logprob, oracle.logprob_N), tolerance());
  EXPECT_LE(largest_difference(values_.entropy, oracle.entropy_N), tolerance());
}

TEST_P(LogProbTest, TrainingMatchesTheOracle) {
  head_case& v = values_;
  v.train(ctx_);
  auto oracle = test::log_prob_backward_oracle(v.oracle(), v.gradient(&token_terms::dlogprob),
                                               v.gradient(&token_terms::dentropy));
  for (auto* gradient : {&oracle.dweight_VD, &oracle.dbias_V}) {
    for (double& value : *gradient) {
      value += before;
    }
  }
  std::vector<float> dweight(v.weight.size());
  from_panels(v.dpanels.data(), v.s.vocabulary, v.s.d, dweight.data());
  const double limit = v.s.amplitude > 1 ? 1e-5 : 1e-10;  // as the tolerance, squared and relative
  EXPECT_LE(test::relative_error(v.dx, oracle.dx_ND), limit);
  EXPECT_LE(test::relative_error(dweight, oracle.dweight_VD), limit);
  EXPECT_LE(test::relative_error(v.dbias, oracle.dbias_V), limit);
}

TEST_P(LogProbTest, TrainingGivesForwardsBits) {
  log_prob_forward(ctx_, values_.forward_args());
  const std::vector<float> logprob = values_.logprob, entropy = values_.entropy;
  values_.train(ctx_);
  EXPECT_EQ(values_.logprob, logprob);
  EXPECT_EQ(values_.entropy, entropy);
}

TEST_P(LogProbTest, EachRowHasItsOwnLoss) {
  head_case& v = values_;
  v.train(ctx_);
  for (size_t row = 0; row < v.terms.size(); ++row) {
    const token_terms expected =
        terms_of(v.train_args().loss, static_cast<int64_t>(row), v.logprob[row], v.entropy[row]);
    EXPECT_EQ(v.terms[row].dlogprob, expected.dlogprob) << row;
    EXPECT_EQ(v.terms[row].dentropy, expected.dentropy) << row;
    EXPECT_EQ(v.terms[row].loss, expected.loss) << row;
    EXPECT_EQ(v.terms[row].dentropy == 0, v.weight_N[row] == 0) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LogProbTest,
                         testing::Combine(testing::Values(shape{0, 4, 10}, shape{1, 1, 1}, shape{3, 31, 33, 0.7F},
                                                          shape{300, 8, 31}, shape{5, 16, 768, 1.3F},
                                                          shape{20, 4, 50000}, shape{9, 16, 500, 1.0F, 1e4}),
                                          testing::ValuesIn(test::simd_targets())),
                         [](const auto& info) {
                           const shape& s = std::get<0>(info.param);
                           return std::to_string(s.n) + "x" + std::to_string(s.d) + "x" + std::to_string(s.vocabulary) +
                                  (s.amplitude > 1 ? "extreme_" : "_") + hwy::TargetName(std::get<1>(info.param));
                         });

TEST(LogProbBitsTest, RowEqualsTheSamplersAlone) {
  thread_pool pool(2);
  context ctx{pool};
  head_case v({300, 24, 101, 0.8F});
  log_prob_forward(ctx, v.forward_args());
  for (const int64_t row : {0, 150, 299}) {
    std::vector<float> logits(101);
    linear_forward(ctx, {.y_NO = logits.data(),
                         .x_NI = v.x.data() + row * v.s.d,
                         .weight = v.panels.data(),
                         .bias_O = v.bias.data(),
                         .n = 1,
                         .outputs = 101,
                         .inputs = v.s.d});
    const auto s = log_softmax_row(logits.data(), 101, 0.8F);
    const auto at = static_cast<size_t>(row);
    EXPECT_EQ(log_prob_of(logits.data(), s, v.target[at]), v.logprob[at]) << "row " << row;
  }
}

TEST(LogProbBitsTest, ThreadsAndVectorWidthDoNotMatter) {
  thread_pool single(1);
  context single_ctx{single};
  head_case first({40, 24, 1001, 0.9F});
  first.train(single_ctx);
  for (const int64_t target : test::fused_simd_targets()) {
    const test::simd_target_scope scope(target);
    for (const int threads : {1, 2, 3}) {
      thread_pool pool(threads);
      context ctx{pool};
      head_case other({40, 24, 1001, 0.9F});
      other.train(ctx);
      EXPECT_EQ(other.logprob, first.logprob) << hwy::TargetName(target) << ", " << threads;
      EXPECT_EQ(other.entropy, first.entropy) << hwy::TargetName(target) << ", " << threads;
      EXPECT_EQ(other.dx, first.dx) << hwy::TargetName(target) << ", " << threads;
      EXPECT_EQ(other.dpanels, first.dpanels) << hwy::TargetName(target) << ", " << threads;
      EXPECT_EQ(other.dbias, first.dbias) << hwy::TargetName(target) << ", " << threads;
    }
  }
}

TEST(LogSoftmaxTest, TemperatureOneLeavesTheLogitsAlone) {
  std::vector<float> logits = random_values(33, 1, 1e4);
  const std::vector<float> original = logits;
  log_softmax_row(logits.data(), 33, 1.0F);
  EXPECT_EQ(logits, original);
  log_softmax_row(logits.data(), 33, 2.0F);
  EXPECT_EQ(logits[7], original[7] / 2.0F);
}

TEST(LogSoftmaxTest, ForbiddenTokenHasNoProbability) {
  std::vector<float> logits = {0.0F, -INFINITY, 0.0F};
  const auto s = log_softmax_row(logits.data(), 3, 1.0F);
  EXPECT_EQ(log_prob_of(logits.data(), s, 1), -INFINITY);
  EXPECT_FLOAT_EQ(log_prob_of(logits.data(), s, 2), std::log(0.5F));
}

TEST(LogProbOracleTest, BackwardMatchesCentralDifferences) {
  head_case v({3, 4, 6, 0.7F});
  test::head_problem p = v.oracle();
  const std::vector<double> dlogprob = to_double(random_values(3, 4)), dentropy = to_double(random_values(3, 5));
  const auto loss = [&] {
    const auto values = test::log_prob_oracle(p);
    return std::inner_product(dlogprob.begin(), dlogprob.end(), values.logprob_N.begin(), 0.0) +
           std::inner_product(dentropy.begin(), dentropy.end(), values.entropy_N.begin(), 0.0);
  };
  const auto g = test::log_prob_backward_oracle(p, dlogprob, dentropy);
  const auto compare = [&](std::vector<double>& values, const std::vector<double>& gradient) {
    for (size_t i = 0; i < values.size(); ++i) {
      const double at = values[i];
      values[i] = at + 1e-6;
      const double above = loss();
      values[i] = at - 1e-6;
      const double below = loss();
      values[i] = at;
      EXPECT_NEAR(gradient[i], (above - below) / 2e-6, 1e-8) << "element " << i;
    }
  };
  compare(p.x_ND, g.dx_ND);
  compare(p.weight_VD, g.dweight_VD);
  compare(p.bias_V, g.dbias_V);
}

TEST(LogProbArgumentsTest, BadTargetsAndTemperaturesAreErrors) {
  thread_pool pool(1);
  context ctx{pool};
  head_case cold({2, 4, 10, 0.0F});
  EXPECT_THROW(log_prob_forward(ctx, cold.forward_args()), error);
  head_case outside({2, 4, 10});
  outside.target[1] = 10;
  EXPECT_THROW(log_prob_forward(ctx, outside.forward_args()), error);
  head_case silent({2, 4, 10});
  silent.train(ctx);
  log_prob_train_args without_terms = silent.train_args();
  without_terms.loss.terms_N = nullptr;
  EXPECT_THROW(log_prob_train(ctx, without_terms), error);
  log_prob_train_args without_reference = silent.train_args();
  without_reference.loss.logprob_ref_N = nullptr;
  EXPECT_THROW(log_prob_train(ctx, without_reference), error);
}

}  // namespace
}  // namespace troupe::kernels
