#include "kernels/cuda/token_loss.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::kernels::cuda {
namespace {

using test::random_values;

constexpr int64_t n = 300;

/// What a loss reads, with tokens that do not count and one whose ratio overflows.
struct tokens {
  tokens() {
    for (int64_t i = 0; i < n; ++i) {
      weight.push_back(i % 5 == 0 ? 0.0 : 0.25);
    }
    logprob[7] = 2000;
  }

  token_loss loss(loss_kind kind, std::vector<token_terms>& terms) const {
    return {.kind = kind,
            .lm = {.tokens = 77, .coefficient = 0.5},
            .policy = {.entropy_coefficient = 0.01, .kl_coefficient = 0.1, .estimator = kl_estimator::k3},
            .logprob_old_N = logprob_old.data(),
            .advantage_N = advantage.data(),
            .logprob_ref_N = logprob_ref.data(),
            .weight_N = weight.data(),
            .terms_N = terms.data()};
  }

  std::vector<float> logprob = random_values(n, 1, 2.0), entropy = random_values(n, 2),
                     logprob_old = random_values(n, 3), advantage = random_values(n, 4),
                     logprob_ref = random_values(n, 5);
  std::vector<double> weight;
};

TEST(CudaTokenLossTest, TokensOfARangeGetTheTermsOfTheHost) {
  const tokens all;
  for (const emulation::thread_order order : test::thread_orders) {
    test::emulated_context on_card(order);
    for (const loss_kind kind : {loss_kind::language_model, loss_kind::policy}) {
      for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 0}, {3, 4}, {5, n}}) {
        std::vector<token_terms> terms(n, token_terms{.loss = -7});
        const token_loss loss = all.loss(kind, terms);
        token_terms_of(on_card.ctx, loss, all.logprob.data(), all.entropy.data(), begin, end);
        for (int64_t i = 0; i < n; ++i) {
          const auto at = static_cast<size_t>(i);
          const token_terms want =
              i >= begin && i < end ? terms_of(loss, i, all.logprob[at], all.entropy[at]) : token_terms{.loss = -7};
          EXPECT_EQ(terms[at].loss, want.loss);
          EXPECT_EQ(terms[at].surrogate_loss, want.surrogate_loss);
          EXPECT_EQ(terms[at].ratio, want.ratio);
          EXPECT_EQ(terms[at].dlogprob, want.dlogprob);
          EXPECT_EQ(terms[at].dentropy, want.dentropy);
        }
      }
    }
  }
}

}  // namespace
}  // namespace troupe::kernels::cuda
