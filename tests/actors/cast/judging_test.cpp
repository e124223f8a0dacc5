// What the reward sources say of answers: models and rules beside each other, in the job's order.
#include "actors/cast/judging.hpp"
#include "engine/train/scoring.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
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
    judging at_work(on_.ctx, judges, tokens_);
    return at_work.verdicts({.sequences = sequences_, .packed = pack(sequences_)});
  }

  /// A program of the user's, which gives this Python expression of an item `i`.
  reward_judge program(const std::string& reward) const {
    std::ofstream(folder_ / "reward.py") << "import json, sys\n"
                                            "for line in sys.stdin:\n"
                                            "  request = json.loads(line)\n"
                                            "  items = [{'reward': " +
                                                reward +
                                                "} for i in request['items']]\n"
                                                "  print(json.dumps({'id': request['id'], 'items': items}))\n";
    reward_judge own{.source = {.name = "own", .kind = io::reward_kind::command}, .of = nullptr, .words = {}};
    own.source.command = "python3 reward.py";
    own.source.folder = folder_.path().string();
    own.program = std::make_shared<io::command_reward>(io::command_reward_settings{.source = own.source});
    return own;
  }

  test::temporary_folder folder_;
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

TEST_F(Judging, AReferenceWithoutANumberLeavesAnAnswerWithoutReward) {
  auto other = std::make_shared<finished_sequence>(*sequences_[1]);
  other->prompt.reference = "I do not know";
  sequences_.push_back({std::move(other)});
  const auto found = verdicts({rule_});
  EXPECT_EQ(found[1][0], 1.0F);
  EXPECT_TRUE(std::isnan(found[2][0]));
}

TEST_F(Judging, AProgramIsAskedWithTextsAndTheNameOfTheirDataSet) {
  const std::vector<reward_judge> judges = {
      program("2 if (i['prompt'], i['answer'], i['label'], i['source'], i['finish']) == "
              "('bad ', 'bad #### 4', '#### 4', 'sums', 'length') else 1"),
      rule_};
  const std::vector<std::string> names = {"sums"};
  judging at_work(on_.ctx, judges, tokens_, names);
  EXPECT_EQ(at_work.verdicts({.sequences = sequences_, .packed = pack(sequences_)}),
            (std::vector<std::vector<float>>{{1, 0}, {2, 1}}));
}

TEST_F(Judging, AnAnswersFirstSpaceIsItsOwn) {
  // SentencePiece drops the space before the first piece of a text, and an answer is not one by itself.
  const auto pieces = io::load_tokenizer(test_data() + "/stories260k");
  const std::vector<int32_t> prompt = pieces->encode("Leo and", true), all = pieces->encode("Leo and Susie", true);
  auto sequence = std::make_shared<finished_sequence>();
  sequence->prompt.tokens = prompt;
  sequence->answer.assign(all.begin() + static_cast<int64_t>(prompt.size()), all.end());
  sequences_ = {sequence_handle{std::move(sequence)}};
  const std::vector<reward_judge> judges = {program("1 if i['prompt'] + i['answer'] == 'Leo and Susie' else 0")};
  judging at_work(on_.ctx, judges, *pieces);
  EXPECT_EQ(at_work.verdicts({.sequences = sequences_, .packed = pack(sequences_)}),
            (std::vector<std::vector<float>>{{1}}));
}

TEST_F(Judging, RulesAndModelsOfOneRankNeedNoGroup) {
  const model_ptr m = load_model(test_data() + "/tiny/gpt2", head_kind::scalar);
  const std::vector<reward_judge> judges = {
      rule_, {.source = {.name = "model", .kind = io::reward_kind::model}, .of = m, .words = {}}};
  EXPECT_EQ(judging(on_.ctx, judges, tokens_).group(), nullptr);
}

}  // namespace
}  // namespace troupe::actors
