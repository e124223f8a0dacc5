/// The head of a card against double, against the CPU, and its log-probabilities against each other, bit for bit.
#include "kernels/log_prob.hpp"
#include "kernels/matrix.hpp"
#include "support/emulation/card_test.hpp"
#include "support/log_prob_oracle.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

namespace troupe::kernels {
namespace {

using test::bits;
using test::each_near_oracle;
using test::emulated_context;
using test::largest_difference;
using test::near_oracle;
using test::operand;
using test::to_double;

struct shape {
  int64_t n, d, vocabulary;
  float temperature = 1.0F;
  double amplitude = 1;  ///< of the weights
};

constexpr float before = 0.25F;  ///< what accumulated gradients hold beforehand

/// A head with seeded operands on a card, and a policy's loss with every term.
struct head_case {
  head_case(const shape& given, dtype type)
      : s(given), x(test::random_values(s.n * s.d, 1), type), weight(weights(), type),
        bias(test::random_values(s.vocabulary, 3), type), dx(std::vector<float>(rows() * width(), NAN), type),
        advantage(test::random_values(s.n, 4)), logprob(rows(), NAN), entropy(rows(), NAN),
        dweight(vocabulary() * width(), before), dbias(vocabulary(), before), old(rows()), ref(rows()), terms(rows()) {
    for (int64_t row = 0; row < s.n; ++row) {
      target.push_back(static_cast<int32_t>(row * 7919 % s.vocabulary));
      weight_N.push_back(static_cast<double>((row + 1) % 5) / 4);  // some do not count
    }
  }

  size_t rows() const { return static_cast<size_t>(s.n); }
  size_t width() const { return static_cast<size_t>(s.d); }
  size_t vocabulary() const { return static_cast<size_t>(s.vocabulary); }
  std::vector<float> weights() const {
    std::vector<float> values = test::random_values(s.vocabulary * s.d, 2, s.amplitude);
    values.resize(static_cast<size_t>(panels_size(s.vocabulary, s.d)));
    return values;
  }

  log_prob_args forward_args() {
    return {.logprob_N = logprob.data(),
            .entropy_N = entropy.data(),
            .x_ND = x.data(),
            .weight = weight.data(),
            .bias_V = bias.data(),
            .target_N = target.data(),
            .n = s.n,
            .d = s.d,
            .vocabulary = s.vocabulary,
            .temperature = s.temperature};
  }

  void train(context& ctx) {
    for (size_t row = 0; row < rows(); ++row) {
      old[row] = logprob[row] + 0.1F * advantage[row];
      ref[row] = logprob[row] - 0.5F * advantage[row];
    }
    logprob.assign(rows(), NAN);
    entropy.assign(rows(), NAN);
    log_prob_train(ctx, {.dx_ND = dx.data(),
                         .dweight = dweight.data(),
                         .dbias_V = dbias.data(),
                         .forward = forward_args(),
                         .loss = loss()});
  }

  token_loss loss() {
    return {.kind = loss_kind::policy,
            .policy = {.entropy_coefficient = 0.4, .kl_coefficient = 0.3},
            .logprob_old_N = old.data(),
            .advantage_N = advantage.data(),
            .logprob_ref_N = ref.data(),
            .weight_N = weight_N.data(),
            .terms_N = terms.data()};
  }

  test::head_problem oracle() const {
    std::vector<double> rows_VD = to_double(weight.values());
    rows_VD.resize(vocabulary() * width());
    return {to_double(x.values()), rows_VD, to_double(bias.values()), target, s.d, s.vocabulary, s.temperature};
  }

  shape s;
  operand x, weight, bias, dx;
  std::vector<float> advantage, logprob, entropy, dweight, dbias, old, ref;
  std::vector<token_terms> terms;
  std::vector<double> weight_N;
  std::vector<int32_t> target;
};

class CudaLogProbTest : public testing::TestWithParam<std::tuple<shape, dtype>> {
protected:
  /// Logits of size 1e4 are themselves rounded to 1e-3.
  double tolerance() const { return values_.s.amplitude > 1 ? 1e-2 : 2e-5; }

  dtype type_ = std::get<1>(GetParam());
  head_case values_{std::get<0>(GetParam()), type_};
  emulated_context card_;
};

TEST_P(CudaLogProbTest, ForwardIsNearTheOracleAndTheCpu) {
  log_prob_forward(card_.ctx, values_.forward_args());
  const auto oracle = test::log_prob_oracle(values_.oracle());
  const bool extreme = values_.s.amplitude > 1;
  EXPECT_TRUE(each_near_oracle(extreme ? "log_prob, extreme logits" : "log_prob", type_, values_.logprob,
                               oracle.logprob_N, tolerance()));
  EXPECT_TRUE(each_near_oracle(extreme ? "entropy, extreme logits" : "entropy", type_, values_.entropy,
                               oracle.entropy_N, tolerance()));

  head_case twin(values_.s, dtype::f32);
  const operand wide = widened(values_.weight);
  std::vector<float> panels(wide.values().size());
  to_panels(wide.values().data(), values_.s.vocabulary, values_.s.d, panels.data());
  twin.x = widened(values_.x);
  twin.bias = widened(values_.bias);
  twin.weight = operand(panels, dtype::f32);
  thread_pool pool(1);
  context host{pool};
  log_prob_forward(host, twin.forward_args());
  EXPECT_LE(largest_difference(values_.logprob, to_double(twin.logprob)), tolerance());
  EXPECT_LE(largest_difference(values_.entropy, to_double(twin.entropy)), tolerance());
}

TEST_P(CudaLogProbTest, TrainingIsNearTheOracleAndGivesForwardsBits) {
  head_case& v = values_;
  log_prob_forward(card_.ctx, v.forward_args());
  const std::vector<float> logprob = v.logprob, entropy = v.entropy;
  v.train(card_.ctx);
  EXPECT_EQ(bits(v.logprob), bits(logprob));
  EXPECT_EQ(bits(v.entropy), bits(entropy));
  std::vector<double> dlogprob, dentropy;
  for (int64_t row = 0; row < v.s.n; ++row) {
    const auto at = static_cast<size_t>(row);
    const token_terms expected = terms_of(v.loss(), row, v.logprob[at], v.entropy[at]);
    EXPECT_EQ(v.terms[at].dlogprob, expected.dlogprob) << row;
    EXPECT_EQ(v.terms[at].dentropy, expected.dentropy) << row;
    EXPECT_EQ(v.terms[at].loss, expected.loss) << row;
    dlogprob.push_back(static_cast<double>(v.terms[at].dlogprob));
    dentropy.push_back(static_cast<double>(v.terms[at].dentropy));
  }
  auto oracle = test::log_prob_backward_oracle(v.oracle(), dlogprob, dentropy);
  for (auto* gradient : {&oracle.dweight_VD, &oracle.dbias_V}) {
    for (double& value : *gradient) {
      value += static_cast<double>(before);
    }
  }
  // In bfloat16 gradients of logits are rounded, and so is dx.
  const double limit = type_ == dtype::bf16 ? 2e-5 : v.s.amplitude > 1 ? 1e-5 : 1e-10;
  const bool extreme = v.s.amplitude > 1;
  const char* const input = extreme ? "log_prob backward, extreme logits" : "log_prob backward";
  const char* const weights = extreme ? "log_prob backward, weights, extreme logits" : "log_prob backward, weights";
  EXPECT_TRUE(near_oracle(input, type_, v.dx.values(), oracle.dx_ND, limit));
  EXPECT_TRUE(near_oracle(weights, type_, v.dweight, oracle.dweight_VD, limit));
  EXPECT_TRUE(near_oracle(weights, type_, v.dbias, oracle.dbias_V, limit));
}

TEST_P(CudaLogProbTest, TheOrderOfThreadsDoesNotMatter) {
  std::vector<std::vector<uint32_t>> logprob, entropy, dx, dweight;
  for (const emulation::thread_order order : test::thread_orders) {
    emulated_context card(order);
    head_case v(values_.s, type_);
    log_prob_forward(card.ctx, v.forward_args());
    v.train(card.ctx);
    logprob.push_back(bits(v.logprob));
    entropy.push_back(bits(v.entropy));
    dx.push_back(bits(v.dx.values()));
    dweight.push_back(bits(v.dweight));
  }
  for (const auto& results : {logprob, entropy, dx, dweight}) {
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaLogProbTest,
                         testing::Combine(testing::Values(shape{0, 4, 10}, shape{1, 1, 1}, shape{3, 31, 33, 0.7F},
                                                          shape{70, 8, 31}, shape{5, 16, 768, 1.3F},
                                                          shape{9, 16, 500, 1.0F, 1e4}),
                                          testing::Values(dtype::bf16, dtype::f32)),
                         [](const auto& info) {
                           const shape& s = std::get<0>(info.param);
                           return std::to_string(s.n) + "x" + std::to_string(s.d) + "x" + std::to_string(s.vocabulary) +
                                  (s.amplitude > 1 ? "extreme_" : "_") + to_string(std::get<1>(info.param));
                         });

/// More rows than have logits at one time: the last ones are a part of their own.
TEST(CudaLogProbBitsTest, ARowIsTheSameAloneAndInAnyPart) {
  emulated_context card;
  head_case all({1030, 8, 40, 0.9F}, dtype::bf16);
  log_prob_forward(card.ctx, all.forward_args());
  const std::vector<float> logprob = all.logprob;
  const auto oracle = test::log_prob_oracle(all.oracle());
  EXPECT_TRUE(each_near_oracle("log_prob", dtype::bf16, logprob, oracle.logprob_N, 2e-5));
  all.train(card.ctx);
  EXPECT_EQ(bits(all.logprob), bits(logprob));
  for (const int64_t row : {0, 1023, 1025, 1028}) {
    const auto at = static_cast<size_t>(row);
    log_prob_args one = all.forward_args();
    float alone = NAN;
    one.logprob_N = &alone;
    one.entropy_N = nullptr;
    one.x_ND = one.x_ND + row * 8;
    one.target_N += row;
    one.n = 1;
    log_prob_forward(card.ctx, one);
    EXPECT_EQ(alone, logprob[at]) << row;
  }
  std::vector<double> dlogprob, dentropy;
  for (const token_terms& t : all.terms) {
    dlogprob.push_back(static_cast<double>(t.dlogprob));
    dentropy.push_back(static_cast<double>(t.dentropy));
  }
  auto gradients = test::log_prob_backward_oracle(all.oracle(), dlogprob, dentropy);
  for (double& value : gradients.dweight_VD) {
    value += static_cast<double>(before);
  }
  EXPECT_TRUE(near_oracle("log_prob backward", dtype::bf16, all.dx.values(), gradients.dx_ND, 2e-5));
  EXPECT_TRUE(near_oracle("log_prob backward, weights", dtype::bf16, all.dweight, gradients.dweight_VD, 2e-5));
  for (const int64_t row : {0, 1023, 1025, 1028}) {
    const auto at = static_cast<size_t>(row);
    EXPECT_EQ(all.terms[at].loss, terms_of(all.loss(), row, logprob[at], all.entropy[at]).loss) << row;
  }
}

}  // namespace
}  // namespace troupe::kernels
