// Values and gradients of the formulas: tests/engine/objectives, against other programs and central differences.
#include "kernels/token_loss.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::kernels {
namespace {

TEST(TokenLossTest, WhatIsNotFiniteHasNoGradient) {
  const float old[] = {-1.0F, -1.0F, -300.0F, -1.0F};
  const float advantage[] = {0.5F, NAN, 0.5F, 0.5F};
  const double weight[] = {1.0, 1.0, 1.0, 1.0};
  const float logprob[] = {-1.0F, -1.0F, 500.0F, NAN};  // a ratio of e^800
  const token_loss loss{.kind = loss_kind::policy,
                        .policy = {.entropy_coefficient = 0.1},
                        .logprob_old_N = old,
                        .advantage_N = advantage,
                        .weight_N = weight};
  EXPECT_EQ(terms_of(loss, 0, logprob[0], 1.0F).dlogprob, -0.5F);
  EXPECT_EQ(terms_of(loss, 0, logprob[0], 1.0F).dentropy, -0.1F);
  for (int64_t n = 1; n < 4; ++n) {
    const token_terms terms = terms_of(loss, n, logprob[n], 1.0F);
    EXPECT_EQ(terms.dlogprob, 0.0F) << n;
    EXPECT_EQ(terms.dentropy, 0.0F) << n;
    EXPECT_FALSE(std::isfinite(terms.ratio) && std::isfinite(terms.loss)) << n;
  }
}

TEST(TokenLossTest, LanguageModelWithoutTokensHasNoGradient) {
  EXPECT_EQ(terms_of({.lm = {.tokens = 4}}, 0, -3.0F, 0).dlogprob, -0.25F);
  EXPECT_EQ(terms_of({.lm = {.tokens = 0}}, 0, -3.0F, 0).dlogprob, 0.0F);
  EXPECT_EQ(terms_of({.lm = {.tokens = 4}}, 0, -INFINITY, 0).dlogprob, 0.0F);
}

}  // namespace
}  // namespace troupe::kernels
