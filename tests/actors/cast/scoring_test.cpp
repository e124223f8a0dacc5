// What the scoring actors share: the queue, micro-batches in the order of ids, and ranks that must score equally often.
#include "actors/cast/scoring.hpp"
#include "support/local_ranks.hpp"
#include "support/stepped_actors.hpp"

#include <gtest/gtest.h>

#include <mutex>

namespace troupe::actors {
namespace {

using ids = std::vector<uint64_t>;

/// A prompt of two tokens, and an answer of so many.
sequence_handle sequence_of(uint64_t id, size_t answer = 3) {
  auto one = std::make_shared<finished_sequence>();
  one->sequence_id = id;
  one->prompt.tokens = {1, static_cast<int32_t>(id)};
  one->answer = std::vector<int32_t>(answer, 7);
  return {std::move(one)};
}

ids ids_of(std::span<const sequence_handle> sequences) {
  ids all;
  for (const sequence_handle& one : sequences) {
    all.push_back(one->sequence_id);
  }
  return all;
}

TEST(ScoringQueue, SequencesLeaveInTheOrderOfTheirIds) {
  scoring_queue queue;
  for (const uint64_t id : {9, 2, 5}) {
    queue.add(sequence_of(id));
  }
  queue.add(sequence_of(5));  // once is enough
  EXPECT_EQ(queue.waiting(), 3);
  EXPECT_EQ(ids_of(queue.take(10)), (ids{2, 5}));
  queue.add(sequence_of(1));
  EXPECT_EQ(ids_of(queue.take(1000)), (ids{1, 9}));
  EXPECT_EQ(queue.waiting(), 0);
  EXPECT_TRUE(queue.take(1000).empty());
}

TEST(ScoringQueue, BatchHasTheTokensOfItsBudgetButAtLeastOneSequence) {
  scoring_queue queue;
  for (uint64_t id = 0; id < 4; ++id) {
    queue.add(sequence_of(id));  // 5 tokens each
  }
  EXPECT_EQ(queue.take(3).size(), 1U) << "more than the budget by itself";
  EXPECT_EQ(queue.take(10).size(), 2U);
  EXPECT_EQ(queue.waiting(), 1);
}

TEST(Scoring, PackedSequenceIsItsPromptAndItsAnswer) {
  const std::vector<sequence_handle> two = {sequence_of(4, 1), sequence_of(6, 2)};
  const engine::packed_batch batch = pack(two);
  EXPECT_EQ(batch.token_N, (std::vector<int32_t>{1, 4, 7, 1, 6, 7, 7}));
  EXPECT_EQ(batch.offset_B1, (std::vector<int64_t>{0, 3, 7}));
  EXPECT_EQ(batch.prompt_length_B, (std::vector<int64_t>{2, 2}));
}

/// Scores a queue of these ids; what each call was given.
std::pair<score_reply, std::vector<ids>> score(const ids& waiting, int64_t budget,
                                               const engine::communicator_ptr& group = nullptr) {
  scoring_queue queue;
  for (const uint64_t id : waiting) {
    queue.add(sequence_of(id));
  }
  pulse signs;
  const operation_scope progress(signs, "scoring");
  std::vector<ids> calls;
  const score_reply reply = score_waiting(queue, progress, budget, group, [&](const scored_batch& batch) {
    EXPECT_EQ(batch.packed.sequences(), static_cast<int64_t>(batch.sequences.size()));
    calls.push_back(ids_of(batch.sequences));
  });
  EXPECT_EQ(queue.waiting(), 0);
  EXPECT_EQ(signs.count(), 1 + calls.size()) << "each call is a sign of life";
  return {reply, calls};
}

TEST(Scoring, WhatWaitsIsScoredInMicroBatchesOfTheBudget) {
  const auto [reply, calls] = score({5, 4, 3, 2, 1}, 15);
  EXPECT_EQ(calls, (std::vector<ids>{{1, 2, 3}, {4, 5}}));
  EXPECT_EQ(reply.tokens, 25);
  EXPECT_TRUE(score({}, 15).second.empty());
}

TEST(Scoring, RanksThatShareWeightsCallEquallyOftenWithEmptyBatchesAtTheEnd) {
  const std::vector<ids> waiting = {{1}, {}, {2, 3, 4, 5, 6}};
  std::vector<std::vector<ids>> calls(3);
  std::vector<score_reply> replies(3);
  test::as_local_ranks(
      3,
      [&](engine::world& here) {
        const auto rank = static_cast<size_t>(here.rank());
        std::tie(replies[rank], calls[rank]) = score(waiting[rank], 10, here.open("weights"));
      },
      std::chrono::seconds(20));
  EXPECT_EQ(calls[0], (std::vector<ids>{{1}, {}, {}}));
  EXPECT_EQ(calls[1], (std::vector<ids>{{}, {}, {}}));
  EXPECT_EQ(calls[2], (std::vector<ids>{{2, 3}, {4, 5}, {6}}));
  EXPECT_EQ(replies[0].tokens, 5) << "of its own only";
  EXPECT_EQ(replies[1].tokens, 0);
  EXPECT_EQ(replies[2].tokens, 25);
}

TEST(Scoring, EachSequenceGetsItsPartOfTheValues) {
  test::stepped_actors actors;
  std::map<uint64_t, std::vector<float>> received;
  const auto receiver = actors.system().spawn([&received](caf::event_based_actor*) {
    return caf::behavior{[&received](const scores_handle& scores) {
      EXPECT_EQ(scores->by, scorer::critic);
      received[scores->sequence_id] = scores->values;
    }};
  });
  const std::vector<sequence_handle> three = {sequence_of(4, 1), sequence_of(5, 0), sequence_of(6, 2)};
  const std::vector<float> values = {1, 2, 3};
  send_scores(receiver, scorer::critic, three, by_answer(three, values));
  actors.run();
  EXPECT_EQ(received, (std::map<uint64_t, std::vector<float>>{{4, {1}}, {5, {}}, {6, {2, 3}}}));
  actors.end(receiver);
}

TEST(SequenceScorer, SendsWhatItsModelSaysOfAllThatWaits) {
  test::stepped_actors actors;
  std::map<uint64_t, std::vector<float>> received;
  const auto receiver = actors.system().spawn([&received](caf::event_based_actor*) {
    return caf::behavior{[&received](const scores_handle& scores) {
      EXPECT_EQ(scores->by, scorer::reward);
      received[scores->sequence_id] = scores->values;
    }};
  });
  const auto on = std::make_shared<device>(1);
  const pulse& signs = on->pulse_of(role::reward);
  sequence_scorer scoring(
      {.on = on, .as = role::reward, .by = scorer::reward, .micro_batch_tokens = 10, .replay = receiver});
  for (const uint64_t id : {3, 1, 2}) {
    scoring.add(sequence_of(id));
  }
  size_t batches = 0;
  const auto double_ids = [&](context&, const scored_batch& batch) {
    ++batches;
    EXPECT_STREQ(signs.operation(), "reward scoring");
    std::vector<std::vector<float>> values;
    for (const sequence_handle& sequence : batch.sequences) {
      values.push_back({static_cast<float>(2 * sequence->sequence_id)});
    }
    return values;
  };
  const score_reply reply = scoring.score("reward scoring", nullptr, double_ids);
  actors.run();
  EXPECT_EQ(reply.tokens, 15);
  EXPECT_EQ(batches, 2U);
  EXPECT_EQ(signs.operation(), nullptr);
  EXPECT_EQ(received, (std::map<uint64_t, std::vector<float>>{{1, {2}}, {2, {4}}, {3, {6}}}));
  EXPECT_EQ(scoring.score("reward scoring", nullptr, double_ids).tokens, 0) << "each once";
  actors.end(receiver);
}

}  // namespace
}  // namespace troupe::actors
