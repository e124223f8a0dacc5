// What the reward sources say of answers: models and rules beside each other, in the job's order.
#include "actors/cast/judging.hpp"
#include "engine/train/scoring.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace troupe::actors {
namespace {

/// A prompt of one token with the reference "#### 4", and this answer.
sequence_handle answer(std::vector<int32_t> tokens) {
  auto sequence = std::make_shared<finished_sequence>();
  sequence->prompt.tokens = {1};
  sequence->prompt.reference = "#### 4";
  sequence->answer = std::move(tokens);
  return {std::move(sequence)};
}

class Judging : public ::testing::Test {
protected:
  std::vector<std::vector<float>> verdicts(const std::vector<reward_judge>& judges) {
    judging at_work(judges, tokens_);
    return at_work.verdicts(on_.ctx, {.sequences = sequences_, .packed = pack(sequences_)});
  }

  device on_{1};
  test::piece_tokenizer tokens_{{"good ", "bad ", "#### 4"}};
  std::vector<sequence_handle> sequences_ = {answer({0}), answer({1, 2})};
  reward_judge rule_{.source = {.name = "rule", .kind = io::reward_kind::answer}, .of = nullptr, .words = {}};
  reward_judge mood_{.source = {.name = "mood", .kind = io::reward_kind::lexicon, .measure = io::valence_measure::sum},
                     .of = nullptr,
                     .words = io::lexicon::load(test_data() + "/vader/vader_lexicon.txt")};
};

TEST_F(Judging, EachSourceHasItsPlaceInTheVerdicts) {
  const auto found = verdicts({rule_, mood_});
  ASSERT_EQ(found.size(), 2U);
  ASSERT_EQ(found[0].size(), 2U);
  EXPECT_EQ(found[0][0], 0.0F);
  EXPECT_EQ(found[1][0], 1.0F);
  EXPECT_GT(found[0][1], 0.0F);
  EXPECT_LT(found[1][1], 0.0F);
  EXPECT_EQ(verdicts({mood_, rule_})[1][1], 1.0F);
}

TEST_F(Judging, ModelJudgesAtTheLastToken) {
  const model_ptr m = load_model(test_data() + "/tiny/gpt2", head_kind::scalar);
  for (int64_t i = 0; i < m->weights.size(); ++i) {
    m->weights.data()[i] += 0.001F * static_cast<float>(i % 7);  // a new head is all zeros
  }
  const reward_judge judge{.source = {.name = "model", .kind = io::reward_kind::model}, .of = m, .words = {}};
  const auto found = verdicts({judge});
  const auto expected = engine::end_scores(on_.ctx, m->net, engine::weights_view(m->weights.data()), pack(sequences_));
  EXPECT_EQ(found, (std::vector<std::vector<float>>{{expected[0]}, {expected[1]}}));
  EXPECT_NE(expected[0], expected[1]);
}

TEST_F(Judging, RulesAndModelsOfOneRankNeedNoGroup) {
  const model_ptr m = load_model(test_data() + "/tiny/gpt2", head_kind::scalar);
  const std::vector<reward_judge> judges = {
      rule_, {.source = {.name = "model", .kind = io::reward_kind::model}, .of = m, .words = {}}};
  EXPECT_EQ(judging(judges, tokens_).group(), nullptr);
}

}  // namespace
}  // namespace troupe::actors
