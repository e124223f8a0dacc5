// Minibatches of an assembled rollout: each epoch sees every sequence once, with its own numbers.
#include "actors/cast/minibatches.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

namespace troupe::actors {
namespace {

constexpr int64_t sequences = 7;

/// Sequence b has a prompt [b], an answer of 1 + b tokens, and values that tell where they are from: 10 b + position.
rollout assembled() {
  rollout all;
  for (int64_t b = 0; b < sequences; ++b) {
    auto sequence = std::make_shared<finished_sequence>();
    sequence->prompt.tokens = {static_cast<int32_t>(b)};
    sequence->answer = std::vector<int32_t>(static_cast<size_t>(1 + b), 50);
    all.push_back({.sequence = {std::move(sequence)}, .scores = {}});
  }
  return all;
}

engine::rollout_arrays arrays() {
  engine::rollout_arrays made;
  for (int64_t b = 0; b < sequences; ++b) {
    for (int64_t a = 0; a <= b; ++a) {
      const auto value = static_cast<float>(10 * b + a);
      made.logprob_old_A.push_back(value);
      made.logprob_ref_A.push_back(value + 100);
      made.value_A.push_back(value + 200);
      made.learned_advantage_A.push_back(value + 300);
      made.return_A.push_back(value + 400);
      made.counts_A.push_back(b != 2 ? 1 : 0);  // sequence 2 takes no part
    }
    made.answer_offset_B1.push_back(static_cast<int64_t>(made.logprob_old_A.size()));
  }
  return made;
}

minibatch_rules rules() { return {.seed = 3, .minibatches = 2, .micro_batches = {.token_budget = 12}}; }

TEST(Minibatches, EpochIsAPermutationInSlices) {
  std::set<std::vector<int64_t>> first_slices;
  for (uint64_t epoch = 0; epoch < 4; ++epoch) {
    std::set<int64_t> seen;
    for (uint64_t index = 0; index < 2; ++index) {
      const auto chosen = sequences_of(rules(), {.iteration = 5, .epoch = epoch, .index = index}, sequences);
      EXPECT_EQ(chosen.size(), index == 0 ? 3U : 4U);
      EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
      seen.insert(chosen.begin(), chosen.end());
      if (index == 0) {
        first_slices.insert(chosen);
      }
    }
    EXPECT_EQ(seen.size(), static_cast<size_t>(sequences));
  }
  EXPECT_GT(first_slices.size(), 1U) << "another order each epoch";
}

TEST(Minibatches, EveryTokenHasItsOwnNumbers) {
  for (uint64_t index = 0; index < 2; ++index) {
    const served_minibatch served =
        make_minibatch(rules(), {.iteration = 5, .epoch = 1, .index = index}, assembled(), arrays());
    EXPECT_EQ(served.batch->id, make_minibatch_id(1, index));
    EXPECT_EQ(served.reply.batch_id, served.batch->id);
    EXPECT_FALSE(served.batch->fresh);
    int64_t counted = 0;
    for (const minibatch::part& part : served.batch->parts) {
      EXPECT_LE(part.packed.tokens(), 12);
      size_t a = 0;
      for (int64_t i = 0; i < part.packed.sequences(); ++i) {
        const auto first = static_cast<size_t>(part.packed.offset_B1[static_cast<size_t>(i)]);
        const int32_t b = part.packed.token_N[first];
        for (int32_t at = 0; at <= b; ++at, ++a) {
          const auto value = static_cast<float>(10 * b + at);
          EXPECT_EQ(part.logprob_old_A[a], value);
          EXPECT_EQ(part.logprob_ref_A[a], value + 100);
          EXPECT_EQ(part.value_old_A[a], value + 200);
          EXPECT_EQ(part.advantage_A[a], value + 300);
          EXPECT_EQ(part.return_A[a], value + 400);
          EXPECT_EQ(part.weight_A[a] > 0, b != 2);
          counted += b != 2 ? 1 : 0;
        }
      }
      EXPECT_EQ(a, part.weight_A.size());
    }
    EXPECT_EQ(served.reply.loss_terms, counted);
  }
}

TEST(Minibatches, AnswersOfAnotherPolicyStartFromItsLogProbabilitiesAndAreWeighedForThePolicyAlone) {
  engine::rollout_arrays replayed = arrays();
  for (size_t a = 0; a < replayed.logprob_old_A.size(); ++a) {
    replayed.logprob_start_A.push_back(replayed.logprob_old_A[a] + 500);
    replayed.importance_A.push_back(0.5F * static_cast<float>(a % 3));
  }
  const served_minibatch plain = make_minibatch(rules(), {.iteration = 5}, assembled(), arrays());
  const served_minibatch served = make_minibatch(rules(), {.iteration = 5}, assembled(), replayed, false);
  EXPECT_FALSE(served.batch->fresh) << "the policy has moved since it was sampled";
  ASSERT_EQ(served.batch->parts.size(), plain.batch->parts.size());
  for (size_t p = 0; p < plain.batch->parts.size(); ++p) {
    const minibatch::part& before = plain.batch->parts[p];
    const minibatch::part& now = served.batch->parts[p];
    EXPECT_EQ(before.policy_weight_A, before.weight_A);
    EXPECT_EQ(now.weight_A, before.weight_A) << "of the critic";
    for (size_t a = 0; a < now.weight_A.size(); ++a) {
      EXPECT_EQ(now.logprob_old_A[a], before.logprob_old_A[a] + 500);
      const auto at = std::find(replayed.logprob_old_A.begin(), replayed.logprob_old_A.end(), before.logprob_old_A[a]);
      const float importance = replayed.importance_A[static_cast<size_t>(at - replayed.logprob_old_A.begin())];
      EXPECT_EQ(now.policy_weight_A[a], before.weight_A[a] * static_cast<double>(importance));
    }
  }
}

TEST(Minibatches, OnlyTheFirstOfAnIterationIsFresh) {
  const auto fresh = [](uint64_t epoch, uint64_t index) {
    return make_minibatch(rules(), {.iteration = 5, .epoch = epoch, .index = index}, assembled(), arrays())
        .batch->fresh;
  };
  EXPECT_TRUE(fresh(0, 0));
  EXPECT_FALSE(fresh(0, 1));
  EXPECT_FALSE(fresh(1, 0));
}

}  // namespace
}  // namespace troupe::actors
