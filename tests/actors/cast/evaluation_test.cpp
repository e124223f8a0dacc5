// Held-out evaluation on many ranks: the numbers of one rank to the last bit, each rank with a share of the work.
#include "actors/cast/policy.hpp"
#include "actors/cast/reward.hpp"
#include "support/local_ranks.hpp"
#include "support/random_values.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace troupe::actors {
namespace {

constexpr int64_t micro_batches = 7;

/// Pairs of sequences of ids that the tiny model knows, in micro-batches of one pair or two.
batch_handle held_out_batch() {
  auto batch = std::make_shared<example_batch>();
  batch->id = 1;
  batch->what = serving::held_out;
  for (int64_t j = 0; j < micro_batches; ++j) {
    engine::packed_batch& part = batch->micro_batches.emplace_back();
    auto& sources = batch->sources.emplace_back();
    for (int64_t pair = 0; pair <= j % 2; ++pair) {
      sources.push_back(static_cast<uint16_t>((j + pair) % 2));
      for (int64_t s = 0; s < 2; ++s) {
        std::vector<int32_t> ids;
        for (const float x : test::random_values(4 + j + s, static_cast<uint64_t>(100 * j + 10 * pair + s), 20)) {
          ids.push_back(static_cast<int32_t>(x + 21));
        }
        part.add(ids, 2);
      }
    }
  }
  return {std::move(batch)};
}

struct ranks_and_stage {
  int ranks, zero;
};

/// What each rank says and how often it computed, `evaluate(device, model)` being one of the two actors.
struct finding {
  statistics values;
  uint64_t passes = 0;
};

template <class Evaluate>
std::vector<finding> evaluate_on(const ranks_and_stage& how, head_kind head, const Evaluate& evaluate) {
  std::vector<finding> found(static_cast<size_t>(how.ranks));
  test::as_local_ranks(how.ranks, [&](engine::world& here) {
    const engine::communicator_ptr shared = how.zero == 3 ? here.open("weights") : nullptr;
    const auto trained = std::make_shared<trained_model>();
    trained->of = random_model(test_data() + "/tiny/gpt2", head, 3, {.group = shared});
    trained->learner = std::make_unique<engine::learner>(trained->of->net, engine::learner_settings{.zero = how.zero},
                                                         here.open("gradients"));
    const auto on = std::make_shared<device>(1);
    finding& mine = found[static_cast<size_t>(here.rank())];
    mine.values = evaluate(on, trained);
    mine.passes = 0;
    for (const pulse& one : on->pulses) {
      mine.passes += one.count();
    }
  });
  return found;
}

statistics perplexity(const device_ptr& on, const trained_model_ptr& trained) {
  policy_state policy;
  policy.open({.on = on, .trained = trained, .learning = {}, .rollout = std::nullopt});
  policy.keep(held_out_batch());
  return policy.evaluate({.batch_id = 1}).statistics;
}

statistics accuracy(const device_ptr& on, const trained_model_ptr& trained) {
  reward_state reward;
  reward.open({.on = on,
               .source_names = {"one", "other"},
               .judges = {},
               .tokens = nullptr,
               .replay = {},
               .trained = trained,
               .loss = {}});
  reward.keep(held_out_batch());
  return reward.evaluate({.batch_id = 1}).statistics;
}

class HeldOut : public testing::TestWithParam<ranks_and_stage> {
protected:
  template <class Evaluate> void expect_what_one_rank_says(head_kind head, const Evaluate& evaluate) {
    const statistics one = evaluate_on({1, 0}, head, evaluate).front().values;
    const auto found = evaluate_on(GetParam(), head, evaluate);
    uint64_t most = 0;
    for (const finding& rank : found) {
      EXPECT_EQ(rank.values, one);
      most = std::max(most, rank.passes);
    }
    // A pulse for each pass, and the operation's begin and end: of the
    // seven micro-batches two or four at most on a rank.
    EXPECT_LT(most, 2U + micro_batches);
  }
};

TEST_P(HeldOut, PerplexityIsThatOfOneRank) { expect_what_one_rank_says(head_kind::language_model, perplexity); }

TEST_P(HeldOut, AccuracyIsThatOfOneRank) { expect_what_one_rank_says(head_kind::scalar, accuracy); }

INSTANTIATE_TEST_SUITE_P(Ranks, HeldOut,
                         testing::Values(ranks_and_stage{2, 0}, ranks_and_stage{4, 0}, ranks_and_stage{4, 2},
                                         ranks_and_stage{2, 3}, ranks_and_stage{4, 3}),
                         [](const auto& info) {
                           return std::to_string(info.param.ranks) + "ranks_zero" + std::to_string(info.param.zero);
                         });

TEST(HeldOutOfOneRank, CountsEveryPairAndSource) {
  const statistics found = evaluate_on({1, 0}, head_kind::scalar, accuracy).front().values;
  EXPECT_EQ(found.at("held_out/pairs"), 10);
  EXPECT_EQ(found.at("held_out/one/pairs") + found.at("held_out/other/pairs"), 10);
  EXPECT_GT(found.at("held_out/one/pairs"), 0);
  EXPECT_NE(found.at("held_out/margin"), 0);
}

}  // namespace
}  // namespace troupe::actors
