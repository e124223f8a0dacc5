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

TEST(LmLoss, MicroBatchesAddUpToTheMean) {
  const std::vector<float> first{-1.0F, -3.0F}, second{-2.0F};
  std::vector<float> slope(2), other(1);
  lm_statistics s;
  lm_loss({3.0, 1.0}, first, slope, s);
  lm_loss({3.0, 1.0}, second, other, s);
  EXPECT_DOUBLE_EQ(s.weighted_loss, 2.0);
  EXPECT_DOUBLE_EQ(s.mean_nll_nats(), 2.0);
  EXPECT_DOUBLE_EQ(s.perplexity(), std::exp(2.0));
  EXPECT_FLOAT_EQ(slope[0], -1.0F / 3);
  EXPECT_FLOAT_EQ(other[0], -1.0F / 3);
}

TEST(LmLoss, TheMixtureCoefficientScalesTheMean) {
  const std::vector<float> logprob{-1.0F, -3.0F};
  std::vector<float> slope(2);
  lm_statistics s;
  lm_loss({2.0, 27.8}, logprob, slope, s);
  EXPECT_DOUBLE_EQ(s.weighted_loss, 27.8 * 2.0);
  EXPECT_DOUBLE_EQ(s.mean_nll_nats(), 2.0);  // statistics stay plain
  EXPECT_FLOAT_EQ(slope[1], -27.8F / 2);
}

TEST(LmLoss, NothingToLearnAddsNothingAndNanIsAnError) {
  lm_statistics s;
  lm_loss({0.0, 1.0}, {}, {}, s);
  EXPECT_EQ(s.tokens, 0);
  std::vector<float> slope(1);
  EXPECT_THROW(lm_loss({0.0, 1.0}, std::vector<float>{-1.0F}, slope, s), error);
  EXPECT_THROW(lm_loss({1.0, 1.0}, std::vector<float>{NAN}, slope, s), error);
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
