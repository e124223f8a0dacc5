/// The sampler of a card against the falling order in double, against the CPU, and against the head that scores.
#include "kernels/log_prob.hpp"
#include "kernels/matrix.hpp"
#include "kernels/sampling.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace troupe::kernels {
namespace {

using test::bits;
using test::emulated_context;

/// Rows of one call.
struct rows_case {
  rows_case(int64_t vocabulary_, std::vector<float> logits_, std::vector<row_draw> draws_)
      : vocabulary(vocabulary_), logits(std::move(logits_)), draws(std::move(draws_)), tokens(draws.size()) {}

  void sample(context& ctx) {
    scaled = logits;
    sample_rows(ctx, {.logits_NV = scaled.data(),
                      .draw_N = draws.data(),
                      .context = seen.data(),
                      .token_N = tokens.data(),
                      .n = static_cast<int64_t>(draws.size()),
                      .vocabulary = vocabulary,
                      .penalties = true});
  }

  std::span<const float> row(const std::vector<float>& of, size_t n) const {
    return std::span(of).subspan(n * static_cast<size_t>(vocabulary), static_cast<size_t>(vocabulary));
  }

  int64_t vocabulary;
  std::vector<float> logits, scaled;
  std::vector<row_draw> draws;
  std::vector<int32_t> seen{0, 2, 0, 1};
  std::vector<sampled_token> tokens;
};

/// What the filters keep of a row, in falling order, in double.
struct kept_order {
  kept_order(const rows_case& c, size_t n) {
    const sampling_settings& s = c.draws[n].settings;
    std::vector<double> z;
    for (const float logit : c.row(c.logits, n)) {
      z.push_back(static_cast<double>(logit));
    }
    std::vector<int32_t> ids(c.seen.begin() + c.draws[n].context_begin, c.seen.begin() + c.draws[n].context_end);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const int32_t id : ids) {
      double& logit = z[static_cast<size_t>(id)];
      logit = logit > 0 ? logit / static_cast<double>(s.repetition_penalty)
                        : logit * static_cast<double>(s.repetition_penalty);
    }
    order.resize(z.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return z[static_cast<size_t>(a)] > z[static_cast<size_t>(b)]; });
    const double top = z[static_cast<size_t>(order[0])];
    double sum = 0;
    for (const int32_t id : order) {
      p.push_back(std::exp((z[static_cast<size_t>(id)] - top) / static_cast<double>(s.temperature)));
      sum += p.back();
    }
    for (double& value : p) {
      value /= sum;
    }
    if (s.top_k > 0) {
      p.resize(std::min(p.size(), static_cast<size_t>(s.top_k)));
    }
    if (s.top_p < 1) {
      const double enough = static_cast<double>(s.top_p) * std::accumulate(p.begin(), p.end(), 0.0);
      double so_far = 0;
      size_t count = 0;
      while (so_far < enough - 1e-9) {
        so_far += p[count++];
      }
      p.resize(count);
    }
    while (p.back() < static_cast<double>(s.min_p) * p[0] - 1e-9) {
      p.pop_back();
    }
  }

  /// How far `uniform` lies outside of the token's part of what is kept; 1 if it is not kept.
  double distance(int32_t token, double uniform) const {
    const double wanted = uniform * std::accumulate(p.begin(), p.end(), 0.0);
    double below = 0;
    for (size_t rank = 0; rank < p.size(); ++rank) {
      if (order[rank] == token) {
        return std::max({0.0, below - wanted, wanted - below - p[rank]});
      }
      below += p[rank];
    }
    return 1;
  }

  std::vector<int32_t> order;
  std::vector<double> p;
};

std::vector<row_draw> draws_for(int64_t vocabulary) {
  const sampling_settings kinds[] = {{},
                                     {.temperature = 0.7F},
                                     {.top_k = 5},
                                     {.top_p = 0.83F},
                                     {.min_p = 0.09F},
                                     {.temperature = 1.9F, .top_k = 9, .top_p = 0.77F, .min_p = 0.031F},
                                     {.top_k = 100000, .repetition_penalty = 1.7F},
                                     {.top_p = 1e-6F},
                                     {.top_k = 3, .min_p = 0.9F}};
  std::vector<row_draw> draws;
  for (const sampling_settings& s : kinds) {
    for (const double uniform : {0.0, 0.37, 0.81, 1 - 0x1p-53}) {
      draws.push_back({.settings = s, .uniform = uniform, .context_begin = 0, .context_end = vocabulary > 2 ? 4 : 0});
    }
  }
  return draws;
}

/// Ties: few different values, 0 and -0 among them.
std::vector<float> logits_with_ties(int64_t count, uint64_t stream) {
  std::vector<float> logits = test::random_values(count, stream, 3.0);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = i % 3 == 0 ? -0.0F : std::round(logits[i]) / 2;
  }
  return logits;
}

class CudaSamplingTest : public testing::TestWithParam<std::tuple<int64_t, bool>> {
protected:
  rows_case make() const {
    const auto& [vocabulary, ties] = GetParam();
    std::vector<row_draw> draws = draws_for(vocabulary);
    const int64_t count = static_cast<int64_t>(draws.size()) * vocabulary;
    return {vocabulary, ties ? logits_with_ties(count, 1) : test::random_values(count, 1, 4.0), std::move(draws)};
  }
};

TEST_P(CudaSamplingTest, TokensLieWhereTheFallingOrderHasThem) {
  emulated_context card;
  rows_case on_card = make();
  on_card.sample(card.ctx);
  thread_pool pool(1);
  context host{pool};
  rows_case twin = make();
  twin.sample(host);
  for (size_t n = 0; n < on_card.draws.size(); ++n) {
    const kept_order kept(on_card, n);
    EXPECT_LT(kept.distance(on_card.tokens[n].token, on_card.draws[n].uniform), 1e-6) << "row " << n;
    EXPECT_LT(kept.distance(twin.tokens[n].token, on_card.draws[n].uniform), 1e-6) << "row " << n;
    if (on_card.tokens[n].token == twin.tokens[n].token) {
      EXPECT_NEAR(on_card.tokens[n].logprob, twin.tokens[n].logprob, 2e-6) << "row " << n;
    }
    const double temperature = static_cast<double>(on_card.draws[n].settings.temperature);
    EXPECT_NEAR(on_card.row(on_card.scaled, n)[0], static_cast<double>(on_card.row(on_card.logits, n)[0]) / temperature,
                1e-5);
  }
}

TEST_P(CudaSamplingTest, TheOrderOfThreadsAndTheOtherRowsDoNotMatter) {
  rows_case first = make();
  emulated_context card;
  first.sample(card.ctx);
  for (const emulation::thread_order order : {emulation::thread_order::falling, emulation::thread_order::shuffled}) {
    emulated_context other(order);
    rows_case again = make();
    again.draws.resize(5);
    again.sample(other.ctx);
    for (size_t n = 0; n < again.draws.size(); ++n) {
      EXPECT_EQ(again.tokens[n].token, first.tokens[n].token) << n;
      EXPECT_EQ(bits(std::vector{again.tokens[n].logprob}), bits(std::vector{first.tokens[n].logprob})) << n;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, CudaSamplingTest,
                         testing::Combine(testing::Values(1, 33, 700), testing::Values(false, true)),
                         [](const auto& info) {
                           return std::to_string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) ? "WithTies" : "Tokens");
                         });

TEST(CudaSamplingRowsTest, GreedyTakesTheLowestOfTheLargest) {
  emulated_context card;
  rows_case c(600, std::vector<float>(1800, -1.0F),
              {{.settings = {.temperature = 0}}, {.settings = {.temperature = 0}}, {.settings = {.temperature = 0}}});
  c.logits[599] = c.logits[570] = 2.5F;
  c.logits[600 + 7] = -0.0F;
  c.logits[600 + 5] = 0.0F;
  c.sample(card.ctx);
  EXPECT_EQ(c.tokens[0].token, 570);
  EXPECT_EQ(c.tokens[1].token, 5);
  EXPECT_EQ(c.tokens[2].token, 0);
  EXPECT_NEAR(c.tokens[2].logprob, -std::log(600.0), 1e-5);
}

TEST(CudaSamplingRowsTest, APenaltyCountsOnceAndOnlyForTheChoice) {
  emulated_context card;
  const sampling_settings greedy{.temperature = 0, .repetition_penalty = 2.0F};
  rows_case c(4, {3, 2, 0, -1, /**/ 3, 2, 0, -1}, {{.settings = greedy, .context_end = 3}, {.settings = greedy}});
  c.seen = {0, 0, 2};
  c.sample(card.ctx);
  EXPECT_EQ(c.tokens[0].token, 1);  // 3 / 2, not 3 / 4, and 0 stays
  EXPECT_EQ(c.tokens[1].token, 0);  // no context
  EXPECT_EQ(c.row(c.scaled, 0)[0], 3.0F);
  const double log_sum = std::log(std::exp(3.0) + std::exp(2.0) + 1 + std::exp(-1.0));
  EXPECT_NEAR(c.tokens[0].logprob, 2 - log_sum, 1e-6);
}

TEST(CudaSamplingRowsTest, ARowWithoutADistributionSaysSoAndStopsNoOther) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  emulated_context card;
  thread_pool pool(1);
  context host{pool};
  for (context* ctx : {&card.ctx, &host}) {
    rows_case c(3, {0, NAN, 1, -infinity, -infinity, -infinity, 0, infinity, 0, -infinity, 1, -infinity},
                {{}, {}, {}, {.uniform = 0.5}});
    c.sample(*ctx);
    EXPECT_EQ(c.tokens[0].token, -1);
    EXPECT_EQ(c.tokens[1].token, -1);
    EXPECT_EQ(c.tokens[2].token, -1);
    EXPECT_EQ(c.tokens[3].token, 1);
    EXPECT_EQ(c.tokens[3].logprob, 0.0F);
  }
}

/// Sums of one bucket pass 2^32 again and again: equal tokens are each drawn by their share of (0, 1).
TEST(CudaSamplingRowsTest, SumsOfAnySizeAreWhole) {
  constexpr int64_t vocabulary = 3000;
  for (const emulation::thread_order order : test::thread_orders) {
    emulated_context card(order);
    // Rows of equal tokens; of such and as many that are 2^20 times as likely; of one with all the probability.
    std::vector<float> logits(vocabulary, 0.5F);
    for (int64_t v = 0; v < vocabulary; ++v) {
      logits.push_back(v % 2 == 0 ? 0.0F : 13.862944F);
    }
    for (int64_t v = 0; v < vocabulary; ++v) {
      logits.push_back(v == 1234 ? 0.0F : -1e4F);
    }
    std::vector<float> all;
    std::vector<row_draw> draws;
    std::vector<int32_t> expected;
    const auto add = [&](int64_t row, double uniform, const sampling_settings& settings, int32_t token) {
      all.insert(all.end(), logits.begin() + row * vocabulary, logits.begin() + (row + 1) * vocabulary);
      draws.push_back({.settings = settings, .uniform = uniform});
      expected.push_back(token);
    };
    for (const int32_t token : {0, 1, 1499, 2999}) {
      add(0, (token + 0.5) / vocabulary, {}, token);
      add(0, (token % 700 + 0.5) / 700, {.top_k = 700}, token % 700);
      add(1, (token / 2 + 0.5) / 1500, {.top_p = 0.9999F}, token / 2 * 2 + 1);
    }
    constexpr double last = 1 - 0x1p-53;  // where each unit of a sum counts
    add(0, last, {}, 2999);
    add(0, last, {.top_k = 700}, 699);
    add(1, last, {.top_p = 0.9999F}, 2999);
    for (const double uniform : {0.0, 0.5, last}) {
      add(2, uniform, {}, 1234);
      add(2, uniform, {.top_k = 2000, .top_p = 0.5F}, 1234);
    }
    rows_case c(vocabulary, all, draws);
    c.sample(card.ctx);
    for (size_t n = 0; n < expected.size(); ++n) {
      EXPECT_EQ(c.tokens[n].token, expected[n]) << "row " << n;
    }
  }
}

TEST(CudaSamplingRowsTest, NoRowsAreNone) {
  emulated_context card;
  rows_case c(3, {}, {});
  c.sample(card.ctx);
  EXPECT_TRUE(c.tokens.empty());
}

/// The promise that sampling and scoring share: the same number, to the last bit.
TEST(CudaSamplingRowsTest, LogProbabilitiesAreThoseOfScoring) {
  constexpr int64_t n = 20, d = 24, vocabulary = 300;
  emulated_context card;
  const std::vector<float> x = test::random_values(n * d, 1);
  const test::operand hidden(x, dtype::bf16);
  test::operand x16 = hidden, weight(test::random_values(panels_size(vocabulary, d), 2), dtype::bf16);
  std::vector<row_draw> draws;
  for (int64_t row = 0; row < n; ++row) {
    draws.push_back({.settings = {.temperature = 0.8F, .top_k = 50}, .uniform = static_cast<double>(row) / n});
  }
  rows_case c(vocabulary, std::vector<float>(static_cast<size_t>(n * vocabulary)), draws);
  linear_forward(card.ctx, {.y_NO = c.logits.data(),
                            .x_NI = x16.data(),
                            .weight = weight.data(),
                            .n = n,
                            .outputs = vocabulary,
                            .inputs = d});
  c.sample(card.ctx);
  std::vector<int32_t> target;
  for (const sampled_token& token : c.tokens) {
    target.push_back(token.token);
  }
  std::vector<float> scored(static_cast<size_t>(n), NAN);
  log_prob_forward(card.ctx, {.logprob_N = scored.data(),
                              .x_ND = x16.data(),
                              .weight = weight.data(),
                              .target_N = target.data(),
                              .n = n,
                              .d = d,
                              .vocabulary = vocabulary,
                              .temperature = 0.8F});
  for (size_t row = 0; row < scored.size(); ++row) {
    EXPECT_EQ(c.tokens[row].logprob, scored[row]) << row;
  }
}

}  // namespace
}  // namespace troupe::kernels
