// Rollouts on their way between ranks: what is sent arrives, and bytes that are no rollout are refused.
#include "actors/rollout.hpp"
#include "kernels/base/error.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

static scored_sequence sequence_of(uint64_t id) {
  auto s = std::make_shared<finished_sequence>();
  s->batch_id = 3;
  s->sequence_id = id;
  s->prompt = {
      .tokens = {1, 2, static_cast<int32_t>(id)}, .prompt_id = id * 7, .source = 2, .reference = "42 \xc3\xa9"};
  s->answer = std::vector<int32_t>(id % 5, 9);
  s->logprob = std::vector<float>(id % 5, -0.25F);
  s->finished = id % 2 == 0;
  scored_sequence one{.sequence = sequence_handle{std::move(s)}, .scores = {}};
  for (const scorer by : {scorer::reference, scorer::reward, scorer::critic}) {
    auto scores = std::make_shared<sequence_scores>();
    scores->sequence_id = id;
    scores->by = by;
    scores->values = std::vector<float>(id % 5, static_cast<float>(by) + 0.5F);
    one.scores[by] = scores_handle{std::move(scores)};
  }
  return one;
}

static void expect_equal(const scored_sequence& a, const scored_sequence& b) {
  EXPECT_EQ(a.sequence->sequence_id, b.sequence->sequence_id);
  EXPECT_EQ(a.sequence->batch_id, b.sequence->batch_id);
  EXPECT_EQ(a.sequence->prompt.tokens, b.sequence->prompt.tokens);
  EXPECT_EQ(a.sequence->prompt.prompt_id, b.sequence->prompt.prompt_id);
  EXPECT_EQ(a.sequence->prompt.source, b.sequence->prompt.source);
  EXPECT_EQ(a.sequence->prompt.reference, b.sequence->prompt.reference);
  EXPECT_EQ(a.sequence->answer, b.sequence->answer);
  EXPECT_EQ(a.sequence->logprob, b.sequence->logprob);
  EXPECT_EQ(a.sequence->finished, b.sequence->finished);
  ASSERT_EQ(a.scores.size(), b.scores.size());
  for (const auto& [by, scores] : a.scores) {
    EXPECT_EQ(scores->values, b.scores.at(by)->values);
    EXPECT_EQ(scores->sequence_id, b.scores.at(by)->sequence_id);
  }
}

TEST(Rollout, ArrivesAsItWasSent) {
  const rollout sent = {sequence_of(4), sequence_of(9), sequence_of(10)};
  const rollout got = rollout_of(to_bytes(sent));
  ASSERT_EQ(got.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    expect_equal(got[i], sent[i]);
  }
}

TEST(Rollout, CutShortAtAnyByteItIsRefused) {
  const auto bytes = to_bytes({sequence_of(3), sequence_of(4)});
  const size_t first = to_bytes({sequence_of(3)}).size();
  for (size_t length = 1; length < bytes.size(); ++length) {
    if (length != first) {
      EXPECT_THROW(rollout_of(std::span(bytes).first(length)), error) << length;
    }
  }
}

TEST(Rollout, EveryRankGetsTheSequencesOfAllInTheOrderOfTheirIds) {
  const std::vector<std::vector<uint64_t>> ids = {{12, 3}, {}, {7, 1, 20}};
  const auto check = [&](engine::world& here) {
    const auto group = here.open("work");
    rollout mine;
    for (const uint64_t id : ids[static_cast<size_t>(here.rank())]) {
      mine.push_back(sequence_of(id));
    }
    const rollout all = gather_rollout(*group, std::move(mine));
    ASSERT_EQ(all.size(), 5U);
    const std::vector<uint64_t> order = {1, 3, 7, 12, 20};
    for (size_t i = 0; i < order.size(); ++i) {
      expect_equal(all[i], sequence_of(order[i]));
    }
  };
  test::as_local_ranks(3, check, std::chrono::seconds(20));
}

}  // namespace troupe::actors
