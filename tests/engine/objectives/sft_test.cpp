#include "base/error.hpp"
#include "engine/objectives/moments.hpp"
#include "engine/objectives/rows.hpp"
#include "engine/objectives/sft.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace troupe::engine {
namespace {

using rows_t = std::vector<int64_t>;

const std::vector<int32_t> tokens{10, 11, 12, 20, 21, 22, 23, 30};
const std::vector<int64_t> offsets{0, 3, 7, 8};

TEST(PredictionRows, AnswersStartAfterTheirPrompt) {
  const prediction_rows r = answer_rows(tokens, offsets, std::vector<int64_t>{1, 3, 1});
  EXPECT_EQ(r.row_A, (rows_t{0, 1, 5}));
  EXPECT_EQ(r.target_A, (std::vector<int32_t>{11, 12, 23}));
  EXPECT_EQ(r.offset_B1, (rows_t{0, 2, 3, 3}));
}

TEST(PredictionRows, NothingCrossesFromOneSequenceIntoTheNext) {
  EXPECT_EQ(answer_rows(tokens, offsets, std::vector<int64_t>{1, 1, 1}).row_A, (rows_t{0, 1, 3, 4, 5}));
}

TEST(PredictionRows, PromptsOutsideOfTheirSequenceAreErrors) {
  EXPECT_THROW(answer_rows(tokens, offsets, std::vector<int64_t>{0, 3, 1}), error);
  EXPECT_THROW(answer_rows(tokens, offsets, std::vector<int64_t>{1, 5, 1}), error);
  EXPECT_THROW(answer_rows(tokens, offsets, std::vector<int64_t>{1, 1}), error);
  EXPECT_THROW(answer_rows(tokens, std::vector<int64_t>{0, 9}, std::vector<int64_t>{1}), error);
  EXPECT_THROW(answer_rows(tokens, std::vector<int64_t>{0, 5, 3, 8}, std::vector<int64_t>{1, 1, 1}), error);
}

/// The sums of a language-model loss over tokens of these log-probabilities, and its gradient.
struct lm_loss {
  lm_loss(const lm_scale& scale, const std::vector<float>& logprob, const std::vector<double>& weight = {}) {
    std::vector<kernels::token_terms> terms(logprob.size());
    const kernels::token_loss loss{
        .lm = scale, .weight_N = weight.empty() ? nullptr : weight.data(), .terms_N = terms.data()};
    for (size_t a = 0; a < logprob.size(); ++a) {
      terms[a] = terms_of(loss, static_cast<int64_t>(a), logprob[a], 0);
      slope.push_back(terms[a].dlogprob);
      EXPECT_EQ(terms[a].dentropy, 0.0F);
    }
    sums = lm_sums(loss, 0, static_cast<int64_t>(terms.size()));
  }

  lm_statistics sums;
  std::vector<float> slope;
};

TEST(LmLoss, MicroBatchesAddUpToTheMean) {
  const lm_loss first({3.0, 1.0}, {-1.0F, -3.0F}), second({3.0, 1.0}, {-2.0F});
  lm_statistics s = first.sums;
  s.add(second.sums);
  EXPECT_DOUBLE_EQ(s.weighted_loss, 2.0);
  EXPECT_DOUBLE_EQ(s.mean_nll_nats(), 2.0);
  EXPECT_DOUBLE_EQ(s.perplexity(), std::exp(2.0));
  EXPECT_FLOAT_EQ(first.slope[0], -1.0F / 3);
  EXPECT_FLOAT_EQ(second.slope[0], -1.0F / 3);
}

TEST(LmLoss, TheMixtureCoefficientScalesTheMean) {
  const lm_loss loss({2.0, 27.8}, {-1.0F, -3.0F});
  EXPECT_DOUBLE_EQ(loss.sums.weighted_loss, 27.8 * 2.0);
  EXPECT_DOUBLE_EQ(loss.sums.mean_nll_nats(), 2.0);  // statistics stay plain
  EXPECT_FLOAT_EQ(loss.slope[1], -27.8F / 2);
}

TEST(LmLoss, WeightsScaleSlopesAndTheLossButNotThePlainMean) {
  const lm_loss loss({3.0, 2.0}, {-1.0F, -3.0F, -0.5F}, {0.5, 2.0, 0.0});
  EXPECT_DOUBLE_EQ(loss.sums.weighted_loss, 2.0 / 3.0 * (0.5 * 1 + 2.0 * 3));
  EXPECT_DOUBLE_EQ(loss.sums.nll_nats, 4.5);
  EXPECT_FLOAT_EQ(loss.slope[0], -1.0F / 3);
  EXPECT_FLOAT_EQ(loss.slope[1], -4.0F / 3);
  EXPECT_FLOAT_EQ(loss.slope[2], 0.0F);
}

TEST(LmLoss, WeightsOfOneAreTheSameBitsAsNone) {
  const std::vector<float> logprob{-0.1F, -3.3F, -0.7F};
  const lm_loss plain({7.0, 0.3}, logprob), weighted({7.0, 0.3}, logprob, {1.0, 1.0, 1.0});
  EXPECT_EQ(plain.slope, weighted.slope);
  EXPECT_EQ(plain.sums.weighted_loss, weighted.sums.weighted_loss);
}

TEST(LmLoss, NothingToLearnAddsNothingAndNanIsAnError) {
  EXPECT_EQ(lm_loss({0.0, 1.0}, {}).sums.tokens, 0);
  EXPECT_THROW(lm_loss({0.0, 1.0}, {-1.0F}), error);
  EXPECT_THROW(lm_loss({1.0, 1.0}, {NAN}), error);
}

TEST(Moments, MergedPiecesAreTheWhole) {
  const std::vector<float> all{3.0F, -1.0F, 4.0F, 1.0F, 5.0F, -9.0F};
  moments merged = moments_of(std::span(all).subspan(0, 2));
  merged.merge(moments_of(std::span(all).subspan(2)));
  merged.merge({});
  const moments whole = moments_of(all);
  EXPECT_EQ(merged.count, 6);
  EXPECT_NEAR(merged.mean, whole.mean, 1e-15);
  EXPECT_NEAR(merged.variance(), whole.variance(), 1e-13);
  const std::vector<uint8_t> counts{1, 1, 0, 0, 0, 0};
  EXPECT_DOUBLE_EQ(moments_of(all, counts).mean, 1.0);
  EXPECT_DOUBLE_EQ(moments_of(all, counts).variance(), 4.0);
}

}  // namespace
}  // namespace troupe::engine
