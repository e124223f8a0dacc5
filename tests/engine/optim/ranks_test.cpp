// The learner on many ranks (threads here) against the learner on one.
#include "base/error.hpp"
#include "base/random.hpp"
#include "engine/optim/average.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/train/accumulate.hpp"
#include "support/local_ranks.hpp"
#include "support/model_fixture.hpp"
#include "support/small_batch.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

namespace troupe::engine {
namespace {

/// What three updates leave behind, put together from the shards of all ranks.
struct trained {
  std::vector<float> weights, first_moment, second_moment, average;
  std::vector<double> norms, losses;
  std::vector<traffic> sent;     ///< by rank: of gradients
  std::vector<traffic> fetched;  ///< by rank: of weights, in stage 3
  std::vector<int64_t> bytes;    ///< by rank
  std::vector<int64_t> shards;   ///< floats, by rank
  int64_t arena = 0, units = 0;
};

struct plan_of_test {
  std::string model = "tiny/llama";
  int ranks = 1, zero = 0;
  int64_t lanes = 4, micro_batches = 7, updates = 3;
  bool checkpointing = false;
};

/// A rank's weights as its ZeRO stage has them.
rank_weights weights_of(const test::loaded_model& m, world& here, int zero) {
  rank_weights weights(m.weights.size());
  std::copy(m.weights.begin(), m.weights.end(), weights.begin());
  if (zero == 3) {
    weights.shard(std::make_shared<shard_plan>(m.net.layout(), m.net.segments(), here.size()), here.open("weights"));
  }
  return weights;
}

/// One rank's part of it; `all` is shared.
void train_rank(world& here, const plan_of_test& plan, trained& all, std::mutex& mutex) {
  thread_pool pool(1);
  context ctx{pool};
  test::loaded_model m = test::load_model(plan.model);
  train_workspace workspace(plan.checkpointing);
  rank_weights weights = weights_of(m, here, plan.zero);
  const communicator_ptr group = here.open("gradients");
  learner learns(m.net, {.adamw = {.weight_decay = 0.1}, .lanes = plan.lanes, .zero = plan.zero}, group);
  weight_average average(learns.plan(), here.open("average"), weights.data(), 0.75);
  std::vector<double> norms, losses;
  const auto learn = [&](int64_t update) {
    gathered_weights in_use(weights);
    const auto by_part = accumulate<lm_statistics>(
        ctx, learns, plan.micro_batches, {m.net, in_use.view(), nullptr, workspace},
        [&](int64_t j, const trainee& to) {
          return sft_micro_batch(ctx, to, test::small_batch(update * 100 + j, m.description().vocabulary), {70.0, 1.0});
        },
        [] {});
    for (const lm_statistics& one : by_part) {
      losses.push_back(one.nll_nats);
    }
  };
  for (int64_t update = 0; update < plan.updates; ++update) {
    learn(update);
    norms.push_back(learns.update(ctx, weights.data(), 1e-3).gradient_norm);
    average.fold(ctx, weights.data());
  }
  const traffic fetched = weights.sharded() ? weights.group()->sent() : traffic();
  gathered_weights at_the_end(weights);
  at_the_end.hold_all(ctx);
  const traffic sent = group->sent();
  gathered_weights whole_average(average.weights());
  whole_average.hold_all(ctx);

  const std::lock_guard lock(mutex);
  const auto rank = static_cast<size_t>(here.rank());
  const shard_plan& shards = *learns.plan();
  all.arena = shards.arena_size();
  all.units = static_cast<int64_t>(shards.units().size());
  all.sent[rank] = sent;
  all.fetched[rank] = fetched;
  all.bytes[rank] = learns.bytes(plan.micro_batches);
  all.shards[rank] = shards.shard_size(here.rank());
  if (all.weights.empty()) {
    all.weights.assign(weights.begin(), weights.end());
    all.average.assign(average.weights().begin(), average.weights().end());
    all.norms = norms;
    all.losses = losses;
    all.first_moment.resize(all.weights.size());
    all.second_moment.resize(all.weights.size());
  }
  EXPECT_EQ(all.weights, std::vector<float>(weights.begin(), weights.end())) << "rank " << rank;
  EXPECT_EQ(all.average, std::vector<float>(average.weights().begin(), average.weights().end())) << "rank " << rank;
  EXPECT_EQ(all.norms, norms);
  EXPECT_EQ(all.losses, losses);
  for (int64_t s = 0; s < shards.segments(); ++s) {
    const arena_range part = shards.part(s, here.rank());
    const int64_t from = learns.whole_moments() ? part.first : shards.shard_offset(s, here.rank());
    std::copy_n(learns.first_moment().span().begin() + from, part.size(), all.first_moment.begin() + part.first);
    std::copy_n(learns.second_moment().span().begin() + from, part.size(), all.second_moment.begin() + part.first);
  }
}

trained train(const plan_of_test& plan) {
  trained all;
  all.sent.resize(static_cast<size_t>(plan.ranks));
  all.fetched.resize(static_cast<size_t>(plan.ranks));
  all.bytes.resize(static_cast<size_t>(plan.ranks));
  all.shards.resize(static_cast<size_t>(plan.ranks));
  std::mutex mutex;
  test::as_local_ranks(plan.ranks, [&](world& here) { train_rank(here, plan, all, mutex); });
  return all;
}

struct ranks_and_stage {
  std::string model;
  int ranks, zero;
  int64_t micro_batches;
  bool checkpointing = false;
};

class LearnerOfRanks : public testing::TestWithParam<ranks_and_stage> {};

TEST_P(LearnerOfRanks, HasTheBitsOfOneRank) {
  const auto [model, ranks, zero, micro_batches, checkpointing] = GetParam();
  const trained one = train({.model = model, .micro_batches = micro_batches});
  const trained many = train(
      {.model = model, .ranks = ranks, .zero = zero, .micro_batches = micro_batches, .checkpointing = checkpointing});
  EXPECT_EQ(one.weights, many.weights);
  EXPECT_EQ(one.first_moment, many.first_moment);
  EXPECT_EQ(one.second_moment, many.second_moment);
  EXPECT_EQ(one.average, many.average);
  EXPECT_EQ(one.norms, many.norms);
  EXPECT_EQ(one.losses, many.losses);
  EXPECT_GT(one.norms.front(), 0);
}

std::vector<ranks_and_stage> layouts() {
  std::vector<ranks_and_stage> all;
  for (const int64_t micro_batches : {2, 7}) {  // lanes without a micro-batch, and lanes with two
    for (const int zero : {0, 1, 2, 3}) {
      for (const int ranks : {2, 4}) {
        all.push_back({"tiny/llama", ranks, zero, micro_batches});
      }
    }
  }
  all.push_back({"tiny/gpt2", 4, 2, 4});  // a tied head
  all.push_back({"tiny/opt_postln", 2, 1, 5});
  all.push_back({"tiny/llama", 4, 3, 7, true});
  all.push_back({"tiny/gpt2", 4, 3, 4});
  all.push_back({"tiny/gpt2", 2, 3, 5, true});
  all.push_back({"tiny/opt_postln", 2, 3, 5});  // embeddings are projected: backward reads the first segment
  all.push_back({"tiny/opt_postln", 4, 3, 5, true});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Layouts, LearnerOfRanks, testing::ValuesIn(layouts()), [](const auto& info) {
  const ranks_and_stage& p = info.param;
  return p.model.substr(p.model.find('/') + 1) + "_" + std::to_string(p.ranks) + "ranks_zero" + std::to_string(p.zero) +
         "_" + std::to_string(p.micro_batches) + (p.checkpointing ? "_checkpointing" : "");
});

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double apart = 0;
  double size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    apart += d * d;
    size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(apart / size);
}

TEST(LearnerOfThreeRanks, IsNearOneRank) {
  const trained one = train({.lanes = 1});
  for (const int zero : {0, 1, 2, 3}) {
    const trained three = train({.ranks = 3, .zero = zero, .lanes = 1});
    EXPECT_LE(distance(three.weights, one.weights), 5e-6) << zero;
    EXPECT_LE(distance(three.first_moment, one.first_moment), 5e-6) << zero;
  }
}

TEST(LearnerTraffic, IsWhatTheoryCounts) {
  for (const int zero : {0, 1, 2, 3}) {
    const trained t = train({.ranks = 2, .zero = zero, .updates = 1});
    for (size_t r = 0; r < 2; ++r) {
      const int64_t lane_steps = zero >= 2 ? 2 : 1;  // S/R, each with micro-batches
      EXPECT_EQ(t.sent[r].reduced, lane_steps * (t.arena - t.shards[r]) * 4) << zero;
      EXPECT_EQ(t.sent[r].gathered, zero == 3 ? 0 : t.shards[r] * 4) << zero;
    }
  }
}

TEST(LearnerMemory, FallsWithTheStage) {
  std::vector<int64_t> bytes;
  for (const int zero : {0, 1, 2}) {
    const trained t = train({.ranks = 4, .zero = zero, .lanes = 8, .micro_batches = 16, .updates = 1});
    const int64_t arena = t.arena * 4;
    const int64_t shard = t.shards[0] * 4;
    // S/R = 2 lanes on each rank: two sums. Lanes of two micro-batches need a whole arena in stage 2.
    const int64_t expected = zero == 0   ? 2 * arena + 2 * arena
                             : zero == 1 ? 2 * arena + 2 * shard
                                         : 2 * shard + 2 * shard + arena;
    EXPECT_EQ(t.bytes[0], expected) << zero;
    bytes.push_back(t.bytes[0]);
  }
  EXPECT_GT(bytes[0], bytes[1]);
  EXPECT_GT(bytes[1], bytes[2]);
  const trained bucketed = train({.ranks = 4, .zero = 2, .lanes = 8, .micro_batches = 8, .updates = 1});
  EXPECT_LT(bucketed.bytes[0], bytes[2]);
}

TEST(LearnerOfRanksErrors, ANormThatIsNotFiniteIsFoundByAllRanks) {
  for (const int zero : {0, 1, 2, 3}) {
    test::as_local_ranks(2, [zero](world& here) {
      thread_pool pool(1);
      context ctx{pool};
      test::loaded_model m = test::load_model("tiny/llama");
      const std::vector<float> before(m.weights.begin(), m.weights.end());
      train_workspace workspace;
      learner learns(m.net, {.lanes = 2, .zero = zero}, here.open("gradients"));
      for (const bool poisoned : {true, false}) {
        accumulate<int>(
            ctx, learns, 2, {m.net, m.weights.data(), nullptr, workspace},
            [&](int64_t j, const trainee& to) {
              to.gradients[0] = poisoned && j == 1 ? std::numeric_limits<float>::quiet_NaN() : 0.5F;
              return 0;
            },
            [] {});
        std::optional<errc> code;
        try {
          learns.update(ctx, m.weights.data(), 1e-3);
        } catch (const error& failure) {
          code = failure.code();
        }
        EXPECT_EQ(code, poisoned ? std::optional(errc::not_finite) : std::nullopt) << "rank " << here.rank();
        const bool own = zero < 3 || here.rank() == 0;  // whose part the only gradient is in
        EXPECT_EQ(before == std::vector<float>(m.weights.begin(), m.weights.end()), poisoned || !own);
        EXPECT_EQ(learns.updates(), poisoned ? 0 : 1);
      }
    });
  }
}

/// What a rank's update is made of: 4 micro-batches, of which `poisoned` (negative: none) has an advantage that is NaN.
void learn_policy(context& ctx, learner& learns, rank_weights& weights, test::loaded_model& m,
                  train_workspace& workspace, int64_t poisoned) {
  gathered_weights in_use(weights);
  accumulate<policy_statistics>(
      ctx, learns, 4, {m.net, in_use.view(), nullptr, workspace},
      [&](int64_t j, const trainee& to) {
        const packed_batch batch = test::small_batch(j, m.description().vocabulary);
        const auto answers = static_cast<size_t>(batch.tokens() - batch.sequences());  // prompts of one token
        const std::vector<float> logprob_A(answers, -1.0F);
        std::vector<float> advantage_A(answers, 0.5F);
        advantage_A.back() = j == poisoned ? std::numeric_limits<float>::quiet_NaN() : 0.5F;
        const std::vector<double> weight_A(answers, 0.01);
        return policy_micro_batch(
            ctx, to, batch, {},
            {.logprob_old_A = logprob_A, .logprob_ref_A = {}, .advantage_A = advantage_A, .weight_A = weight_A});
      },
      [] {});
}

TEST(LearnerOfRanksErrors, ALossThatOneRankFindsNotFiniteIsThrownByAllAndForgotten) {
  for (const int zero : {0, 1, 2, 3}) {
    test::as_local_ranks(
        2,
        [zero](world& here) {
          thread_pool pool(1);
          context ctx{pool};
          std::vector<std::vector<float>> after;
          for (const bool fails_first : {true, false}) {
            const std::string name = fails_first ? "failing" : "sound";
            test::loaded_model m = test::load_model("tiny/llama");
            rank_weights weights = weights_of(m, here, zero);
            train_workspace workspace;
            learner learns(m.net, {.lanes = 4, .zero = zero}, here.open(name));
            if (fails_first) {
              try {
                learn_policy(ctx, learns, weights, m, workspace, 1);
                ADD_FAILURE() << "no error";
              } catch (const error& failure) {
                EXPECT_EQ(failure.code(), errc::not_finite);
                const std::string text = failure.what();
                EXPECT_NE(text.find("advantage_A"), std::string::npos) << text;
                EXPECT_NE(text.find("(found by rank "), std::string::npos) << text;
              }
            }
            learn_policy(ctx, learns, weights, m, workspace, -1);
            learns.update(ctx, weights.data(), 1e-3);
            gathered_weights all(weights);
            all.hold_all(ctx);
            after.emplace_back(weights.begin(), weights.end());
          }
          EXPECT_EQ(after[0], after[1]) << "ZeRO stage " << zero;
        },
        std::chrono::seconds(60));
  }
}

TEST(LearnerOfRanksErrors, AnyErrorOfAnObjectiveReachesAllRanksWhereNoWeightsAreFetched) {
  for (const int zero : {0, 1, 2}) {
    test::as_local_ranks(
        2,
        [zero](world& here) {
          thread_pool pool(1);
          context ctx{pool};
          test::loaded_model m = test::load_model("tiny/llama");
          train_workspace workspace;
          learner learns(m.net, {.lanes = 2, .zero = zero}, here.open("gradients"));
          const auto fails = [&](int64_t j, const trainee&) -> int {
            if (j == 3) {
              throw std::bad_alloc();
            }
            return 0;
          };
          try {
            accumulate<int>(ctx, learns, 4, {m.net, m.weights.data(), nullptr, workspace}, fails, [] {});
            ADD_FAILURE() << "no error";
          } catch (const error& failure) {
            EXPECT_EQ(failure.code(), errc::out_of_memory);
            EXPECT_NE(std::string(failure.what()).find("(found by rank 1)"), std::string::npos) << failure.what();
          }
        },
        std::chrono::seconds(20));
  }
}

TEST(LearnerOfRanksErrors, LanesMustBeAMultipleOfTheRanks) {
  test::as_local_ranks(3, [](world& here) {
    const test::loaded_model m = test::load_model("tiny/llama");
    const communicator_ptr group = here.open("gradients");
    EXPECT_THROW(learner(m.net, {.lanes = 4}, group), error);
    EXPECT_THROW(learner(m.net, {.zero = 4}, group), error);
  });
}

TEST(LearnerOfRanksErrors, ADroppedAccumulationLeavesNothingBehind) {
  for (const int zero : {0, 2}) {
    test::as_local_ranks(2, [zero](world& here) {
      thread_pool pool(1);
      context ctx{pool};
      test::loaded_model m = test::load_model("tiny/llama");
      train_workspace workspace;
      learner learns(m.net, {.lanes = 2, .zero = zero}, here.open("gradients"));
      const auto learn = [&](float gradient) {
        accumulate<int>(
            ctx, learns, 3, {m.net, m.weights.data(), nullptr, workspace},
            [&](int64_t, const trainee& to) {
              to.gradients[0] += gradient;
              return 0;
            },
            [] {});
      };
      learn(100.0F);
      EXPECT_THROW(learns.begin(3), error) << "what was accumulated would be mixed with what follows";
      learns.discard();
      learn(1.0F);
      EXPECT_EQ(learns.update(ctx, m.weights.data(), 1e-3).gradient_norm, 3.0);
    });
  }
}

class Segments : public testing::TestWithParam<const char*> {};

TEST_P(Segments, AreCompleteWhenBackwardSaysSo) {
  thread_pool pool(1);
  context ctx{pool};
  const test::loaded_model m = test::load_model(GetParam());
  const auto segments = m.net.segments();
  ASSERT_EQ(static_cast<int64_t>(segments.size()), m.description().layers + 2);
  EXPECT_EQ(segments.front().first, 0);
  EXPECT_EQ(segments.back().last, m.net.layout().arena_size());
  aligned_buffer<float> gradients(m.net.layout().arena_size());
  std::vector<std::vector<float>> then(segments.size());
  std::vector<int64_t> order;
  train_workspace workspace;
  const trainee to{m.net, m.weights.data(), gradients.data(), workspace, [&](int64_t s) {
                     const arena_range range = segments[static_cast<size_t>(s)];
                     order.push_back(s);
                     then[static_cast<size_t>(s)].assign(gradients.data() + range.first, gradients.data() + range.last);
                   }};
  sft_micro_batch(ctx, to, test::small_batch(1, m.description().vocabulary), {10.0, 1.0});
  for (int64_t s = 0; s < static_cast<int64_t>(segments.size()); ++s) {
    const arena_range range = segments[static_cast<size_t>(s)];
    EXPECT_EQ(order[order.size() - 1 - static_cast<size_t>(s)], s);
    EXPECT_EQ(then[static_cast<size_t>(s)],
              std::vector<float>(gradients.data() + range.first, gradients.data() + range.last))
        << s;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Segments, testing::Values("tiny/gpt2", "tiny/llama", "tiny/opt_postln"),
                         [](const auto& info) { return std::string(info.param).substr(5); });

}  // namespace
}  // namespace troupe::engine
