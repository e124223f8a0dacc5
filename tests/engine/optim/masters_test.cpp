// Learning with weights in bfloat16 beside float32 masters, on many ranks (threads here), against a loop that rounds by
// the scalar function and runs passes in float32.
#include "engine/optim/average.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/train/accumulate.hpp"
#include "support/local_ranks.hpp"
#include "support/model_fixture.hpp"
#include "support/small_batch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

constexpr int64_t micro_batches = 5;
constexpr int64_t updates = 3;
constexpr int64_t lanes = 4;

std::vector<float> rounded(std::span<const float> values) {
  std::vector<float> result(values.size() + 32);  // a full vector load at the end reads on
  std::transform(values.begin(), values.end(), result.begin(), [](float value) { return to_float(to_bf16(value)); });
  return result;
}

/// What the updates leave behind.
struct trained {
  std::vector<float> masters, average;
  std::vector<double> norms, losses;
  bool operator==(const trained&) const = default;
};

std::vector<double> losses_of(context& ctx, learner& learns, const transformer& net, const weights_view& weights,
                              int64_t update) {
  train_workspace workspace;
  std::vector<double> losses;
  for (const lm_statistics& one : accumulate<lm_statistics>(
           ctx, learns, micro_batches, {net, weights, nullptr, workspace},
           [&](int64_t j, const trainee&to) {
             return sft_micro_batch(ctx, to, test::small_batch(update * 100 + j, net.description().vocabulary),
                                    {70.0, 1.0});
           },
           [] {})) {
    losses.push_back(one.nll_nats);
  }
  return losses;
}

constexpr adamw_settings decaying{.weight_decay = 0.1};

trained expected_of(const test::loaded_model& m) {
  thread_pool pool(2);
  context ctx{pool};
  trained result;
  result.masters.assign(m.weights.begin(), m.weights.end());
  learner learns(m.net.layout(), decaying, lanes);
  weight_average average(learns.plan(), nullptr, result.masters.data(), 0.75);
  for (int64_t update = 0; update < updates; ++update) {
    const std::vector<float> read = rounded(result.masters);
    for (const double loss : losses_of(ctx, learns, m.net, read.data(), update)) {
      result.losses.push_back(loss);
    }
    result.norms.push_back(learns.update(ctx, result.masters.data(), 1e-2).gradient_norm);
    average.fold(ctx, result.masters.data());
  }
  result.average.assign(average.weights().begin(), average.weights().end());
  return result;
}

/// A rank's masters, and what passes read of them.
struct rank_state {
  rank_weights masters, read;

  rank_state(const test::loaded_model& m, world& here, int zero)
      : masters(m.weights.size()), read(m.weights.size(), dtype::bf16) {
    std::copy(m.weights.begin(), m.weights.end(), masters.begin());
    const auto plan = std::make_shared<shard_plan>(m.net.layout(), m.net.segments(), here.size());
    const communicator_ptr of_masters = here.open("masters");
    const communicator_ptr of_read = here.open("weights");
    if (zero > 0) {
      masters.shard(plan, of_masters);
    }
    if (zero == 3) {
      read.shard(plan, of_read);
    }
  }
};

std::vector<float> all_of(context& ctx, rank_weights& weights) {
  gathered_weights whole(weights);
  whole.hold_all(ctx);
  return {weights.begin(), weights.end()};
}

std::vector<uint16_t> bits_of(context& ctx, rank_weights& weights) {
  gathered_weights whole(weights);
  whole.hold_all(ctx);
  const auto* first = static_cast<const uint16_t*>(weights.data().data());
  return {first, first + weights.size()};
}

struct division {
  int ranks = 1, zero = 0;
};

class Masters : public testing::TestWithParam<division> {
protected:
  const test::loaded_model model_ = test::load_model("tiny/llama");
};

TEST_P(Masters, UpdatesHaveTheBitsOfTheFormulaOnAnyRanksAndStage) {
  const trained expected = expected_of(model_);
  const std::vector<float> read_at_the_end = rounded(expected.masters);
  test::as_local_ranks(GetParam().ranks, [&](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    rank_state state(model_, here, GetParam().zero);
    learner learns(model_.net, {.adamw = decaying, .lanes = lanes, .zero = GetParam().zero}, here.open("gradients"));
    weight_average average(learns.plan(), here.open("average"), state.masters.data(), 0.75);
    learns.round(ctx, state.masters.data(), state.read.data());
    trained found;
    for (int64_t update = 0; update < updates; ++update) {
      {
        gathered_weights in_use(state.read);
        for (const double loss : losses_of(ctx, learns, model_.net, in_use.view(), update)) {
          found.losses.push_back(loss);
        }
      }
      found.norms.push_back(learns.update(ctx, state.masters.data(), 1e-2, state.read.data()).gradient_norm);
      average.fold(ctx, state.masters.data());
    }
    found.masters = all_of(ctx, state.masters);
    found.average = all_of(ctx, average.weights());
    EXPECT_EQ(found, expected);
    std::vector<uint16_t> bits;
    for (int64_t i = 0; i < model_.weights.size(); ++i) {
      bits.push_back(to_bf16(read_at_the_end[static_cast<size_t>(i)]).bits);
    }
    EXPECT_EQ(bits_of(ctx, state.read), bits) << "what passes read is the masters rounded";
  });
}

TEST_P(Masters, GathersMoveTwoBytesAWeight) {
  const auto [ranks, zero] = GetParam();
  test::as_local_ranks(ranks, [&](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    rank_state state(model_, here, zero);
    const communicator_ptr group = here.open("gradients");
    learner learns(model_.net, {.lanes = lanes, .zero = zero}, group);
    const int64_t shard = learns.plan()->shard_size(here.rank());
    learns.round(ctx, state.masters.data(), state.read.data());
    const bool shares = zero == 1 || zero == 2;
    EXPECT_EQ(group->sent().gathered, shares ? (ranks - 1) * shard * 2 : 0);
    if (state.read.sharded()) {
      gathered_weights whole(state.read);
      whole.hold_all(ctx);
      EXPECT_EQ(state.read.group()->sent().gathered, (ranks - 1) * shard * 2);
      EXPECT_EQ(whole.peak_bytes(), (state.read.size() - shard) * 2);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Divisions, Masters,
                         testing::Values(division{1, 0}, division{2, 0}, division{2, 1}, division{4, 2}, division{2, 3},
                                         division{4, 3}),
                         [](const auto& tested) {
                           return std::to_string(tested.param.ranks) + "ranks_zero" + std::to_string(tested.param.zero);
                         });

}  // namespace
}  // namespace troupe::engine
