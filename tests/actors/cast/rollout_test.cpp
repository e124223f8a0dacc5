// Rollouts on their way between ranks: what is sent arrives, and bytes that are no rollout are refused.
#include "actors/cast/rollout.hpp"
#include "base/error.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

static sequence_handle sequence_of(uint64_t id) {
  auto s = std::make_shared<finished_sequence>();
  s->batch_id = 3;
  s->sequence_id = id;
  s->prompt = {
      .tokens = {1, 2, static_cast<int32_t>(id)}, .prompt_id = id * 7, .source = 2, .reference = "42 \xc3\xa9"};
  s->answer = std::vector<int32_t>(id % 5, 9);
  s->logprob = std::vector<float>(id % 5, -0.25F);
  s->finished = id % 2 == 0;
  return {std::move(s)};
}

static scores_handle scores_by(scorer by, uint64_t id) {
  auto scores = std::make_shared<sequence_scores>();
  scores->sequence_id = id;
  scores->by = by;
  scores->values = std::vector<float>(id % 5, static_cast<float>(by) + 0.5F);
  return {std::move(scores)};
}

static void expect_equal(const sequence_handle& a, const sequence_handle& b) {
  EXPECT_EQ(a->sequence_id, b->sequence_id);
  EXPECT_EQ(a->batch_id, b->batch_id);
  EXPECT_EQ(a->prompt.tokens, b->prompt.tokens);
  EXPECT_EQ(a->prompt.prompt_id, b->prompt.prompt_id);
  EXPECT_EQ(a->prompt.source, b->prompt.source);
  EXPECT_EQ(a->prompt.reference, b->prompt.reference);
  EXPECT_EQ(a->answer, b->answer);
  EXPECT_EQ(a->logprob, b->logprob);
  EXPECT_EQ(a->finished, b->finished);
}

static void expect_equal(const scores_handle& a, const scores_handle& b) {
  EXPECT_EQ(a->sequence_id, b->sequence_id);
  EXPECT_EQ(a->by, b->by);
  EXPECT_EQ(a->values, b->values);
}

TEST(Rollout, SequencesArriveAsTheyWereSent) {
  const std::vector<sequence_handle> sent = {sequence_of(4), sequence_of(9), sequence_of(10)};
  const auto got = sequences_of(to_bytes(sent));
  ASSERT_EQ(got.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    expect_equal(got[i], sent[i]);
  }
}

TEST(Rollout, ScoresArriveAsTheyWereSent) {
  const std::vector<scores_handle> sent = {scores_by(scorer::reward, 4), scores_by(scorer::critic, 8)};
  const auto got = scores_of(to_bytes(sent));
  ASSERT_EQ(got.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    expect_equal(got[i], sent[i]);
  }
}

/// `whole` holds two of something, the first of `first` bytes.
template <class Read>
static void expect_refused_at_every_byte(std::span<const std::byte> whole, size_t first, const Read& read) {
  for (size_t length = 1; length < whole.size(); ++length) {
    if (length != first) {
      EXPECT_THROW(read(whole.first(length)), error) << length;
    }
  }
}

TEST(Rollout, CutShortAtAnyByteItIsRefused) {
  const std::vector<sequence_handle> sequences = {sequence_of(3), sequence_of(4)};
  expect_refused_at_every_byte(to_bytes(sequences), to_bytes(std::span(sequences).first(1)).size(), sequences_of);
  const std::vector<scores_handle> scores = {scores_by(scorer::reference, 3), scores_by(scorer::reward, 4)};
  expect_refused_at_every_byte(to_bytes(scores), to_bytes(std::span(scores).first(1)).size(), scores_of);
}

TEST(Rollout, ScorerThatThereIsNotIsRefused) {
  const std::vector<scores_handle> scores = {scores_by(scorer::reference, 3)};
  auto bytes = to_bytes(scores);
  bytes[sizeof(uint64_t)] = std::byte{4};
  EXPECT_THROW(scores_of(bytes), error);
}

TEST(Rollout, EveryRankGetsWhatAllHave) {
  const std::vector<std::vector<uint64_t>> ids = {{12, 3}, {}, {7, 1, 20}};
  const auto check = [&](engine::world& here) {
    const auto group = here.open("work");
    std::vector<sequence_handle> mine;
    std::vector<scores_handle> scores;
    for (const uint64_t id : ids[static_cast<size_t>(here.rank())]) {
      mine.push_back(sequence_of(id));
      scores.push_back(scores_by(scorer::reward, id));
    }
    const auto all = gather(*group, std::move(mine));
    const std::vector<uint64_t> by_id = {1, 3, 7, 12, 20};
    ASSERT_EQ(all.size(), by_id.size());
    for (size_t i = 0; i < by_id.size(); ++i) {
      expect_equal(all[i], sequence_of(by_id[i]));
    }
    const auto all_scores = gather(*group, std::move(scores));
    const std::vector<uint64_t> by_rank = {12, 3, 7, 1, 20};
    ASSERT_EQ(all_scores.size(), by_rank.size());
    for (size_t i = 0; i < by_rank.size(); ++i) {
      expect_equal(all_scores[i], scores_by(scorer::reward, by_rank[i]));
    }
  };
  test::as_local_ranks(3, check, std::chrono::seconds(20));
}

}  // namespace troupe::actors
