// The reward model's losses against DeepSpeed-Chat's, computed in float64
// (tests/data/tiny/README.md, "rm").
#include "base/error.hpp"
#include "engine/objectives/pairwise.hpp"
#include "support/fixture.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

/// The fixture's pairs in our order, with DeepSpeed-Chat's pads as tokens.
struct padded_pairs {
  explicit padded_pairs(const std::string& family) : file("tiny/" + family + "/rlhf.safetensors") {
    const auto shape = file.shape("rm.scores");
    pairs = shape[0] / 2;
    const auto all_scores = file.floats("rm.scores");
    const auto all_ids = file.values<int32_t>("rm.input_ids");
    const auto ends = file.integers("rm.end_index");
    for (int64_t p = 0; p < pairs; ++p) {
      for (int64_t side = 0; side < 2; ++side) {
        const auto first = static_cast<size_t>((side * pairs + p) * shape[1]);
        const auto last = first + static_cast<size_t>(shape[1]);
        score.insert(score.end(), all_scores.begin() + first, all_scores.begin() + last);
        token.insert(token.end(), all_ids.begin() + first, all_ids.begin() + last);
        offset.push_back(static_cast<int64_t>(score.size()));
        end.push_back(ends[static_cast<size_t>(p * 2 + side)]);
      }
    }
  }

  pair_statistics loss(const pair_settings& settings, std::span<float> dscore = {}) const {
    return pairwise_loss(settings, {dscore, score, token, offset, end, static_cast<double>(pairs)});
  }

  test::fixture file;
  int64_t pairs = 0;
  std::vector<float> score;
  std::vector<int32_t> token;
  std::vector<int64_t> offset{0}, end;
};

class PairwiseFixture : public testing::TestWithParam<const char*> {};

TEST_P(PairwiseFixture, LossesAreTheReferences) {
  const padded_pairs p(GetParam());
  const double end = p.file.number("rm.end.loss");
  const double span = p.file.number("rm.span.loss");
  EXPECT_NEAR(p.loss({pair_loss::end_token}).mean_loss(), end, 1e-6 * end);
  EXPECT_NEAR(p.loss({pair_loss::span}).mean_loss(), span, 1e-6 * span);
}

TEST_P(PairwiseFixture, MeanScoresAndMarginAreThoseOfTheEndTokens) {
  const padded_pairs p(GetParam());
  const pair_statistics s = p.loss({pair_loss::span});
  const auto chosen = p.file.doubles("rm.chosen_end_score");
  const auto rejected = p.file.doubles("rm.rejected_end_score");
  double c = 0, r = 0;
  double right = 0;
  for (size_t i = 0; i < chosen.size(); ++i) {
    c += chosen[i] / static_cast<double>(chosen.size());
    r += rejected[i] / static_cast<double>(chosen.size());
    right += chosen[i] > rejected[i] ? 1 : chosen[i] == rejected[i] ? 0.5 : 0;
  }
  EXPECT_NEAR(s.mean_chosen(), c, 1e-6);
  EXPECT_NEAR(s.mean_rejected(), r, 1e-6);
  EXPECT_NEAR(s.mean_margin(), c - r, 1e-6);
  EXPECT_EQ(s.right, right);
}

TEST_P(PairwiseFixture, GradientsMatchCentralDifferences) {
  const padded_pairs base(GetParam());
  for (const pair_loss kind : {pair_loss::end_token, pair_loss::span}) {
    const pair_settings settings{kind, 0.01};
    std::vector<float> slope(base.score.size());
    base.loss(settings, slope);
    for (size_t n = 0; n < slope.size(); ++n) {
      padded_pairs up = base, down = base;
      up.score[n] += 1e-2F;
      down.score[n] -= 1e-2F;
      const double wide = static_cast<double>(up.score[n]) - down.score[n];
      EXPECT_NEAR(slope[n], (up.loss(settings).mean_loss() - down.loss(settings).mean_loss()) / wide, 1e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, PairwiseFixture, testing::Values("llama", "opt", "opt_postln"));

TEST(Pairwise, WithoutPadsAShorterSequenceCountsWithItsLastScore) {
  // chosen 5 6 7 8, rejected 5 9: they differ from index 1 on, up to the end of the longer one.
  const std::vector<float> score{0.0F, 1.0F, 2.0F, 3.0F, 0.5F, -1.0F};
  const std::vector<int32_t> token{5, 6, 7, 8, 5, 9};
  const std::vector<int64_t> offset{0, 4, 6};
  std::vector<float> dscore(6);
  const pair_statistics s = pairwise_loss({pair_loss::span}, {dscore, score, token, offset, {}, 1});
  const auto loss = [](double x) { return std::log1p(std::exp(-x)); };
  EXPECT_NEAR(s.loss, (loss(2) + loss(3) + loss(4)) / 3, 1e-12);
  EXPECT_EQ(dscore[0], 0.0F);
  EXPECT_EQ(dscore[4], 0.0F);
  EXPECT_NEAR(dscore[5], -(dscore[1] + dscore[2] + dscore[3]), 1e-7);
}

TEST(Pairwise, ATieIsHalfAWin) {
  const std::vector<float> score_N = {0, 2, 0, 2, 0, 3, 0, 1};
  const std::vector<int64_t> offset_B1 = {0, 2, 4, 6, 8};
  pair_loss_args args;
  args.score_N = score_N;
  args.offset_B1 = offset_B1;
  const pair_statistics s = pairwise_loss({pair_loss::end_token}, args);
  EXPECT_EQ(s.pairs, 2);
  EXPECT_EQ(s.right, 1.5);
  EXPECT_EQ(s.accuracy(), 0.75);
  EXPECT_EQ(rightness(-1), 0);
}

TEST(Pairwise, ExtremeMarginsStayFinite) {
  const std::vector<float> score{-1e4F, 1e4F};
  const std::vector<int64_t> offset{0, 1, 2};
  std::vector<float> dscore(2);
  const pair_statistics s = pairwise_loss({}, {dscore, score, {}, offset, {}, 1});
  EXPECT_DOUBLE_EQ(s.loss, 2e4);
  EXPECT_FLOAT_EQ(dscore[0], -1.0F);
}

TEST(Pairwise, PairsThatCannotBeScoredAreErrors) {
  const std::vector<float> score{1.0F, 2.0F, 3.0F}, nan{NAN, 1.0F};
  EXPECT_THROW(pairwise_loss({}, {{}, score, {}, std::vector<int64_t>{0, 1, 2, 3}, {}, 1}), error);
  EXPECT_THROW(pairwise_loss({}, {{}, score, {}, std::vector<int64_t>{0, 3, 3}, {}, 1}), error);
  EXPECT_THROW(pairwise_loss({}, {{}, nan, {}, std::vector<int64_t>{0, 1, 2}, {}, 1}), error);
  EXPECT_EQ(pairwise_loss({}, {{}, {}, {}, std::vector<int64_t>{0}, {}, 0}).pairs, 0);
}

}  // namespace
}  // namespace troupe::engine
