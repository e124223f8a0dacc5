// Training with everything on cards: passes, sums, the optimizer, and weights of which a rank has its parts.
#include "engine/arena/card_arena.hpp"
#include "engine/card/card_model.hpp"
#include "engine/optim/learner.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/train/accumulate.hpp"
#include "support/local_ranks.hpp"
#include "support/small_batch.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

constexpr int64_t updates = 2;

struct division {
  int ranks = 1, zero = 0;
  int64_t micro_batches = 3;
};

/// What is left of the updates, in the host's order.
struct trained {
  std::vector<float> read;
  std::vector<double> norms, losses;
  bool operator==(const trained&) const = default;
};

rank_weights zeros(const test::loaded_model& m, communicator_ptr group, dtype type, device* on) {
  const arena_place at{on, "weights"};
  if (group == nullptr) {
    return rank_weights(m.weights.size(), type, at);
  }
  return {std::make_shared<shard_plan>(m.net.layout(), m.net.segments(), group->size()), group, type, at};
}

void fill(context& ctx, const test::loaded_model& m, int rank, rank_weights& weights) {
  staging through;
  if (!weights.sharded()) {
    send_arena(ctx, m.net.layout(), m.weights.data(), weights.data(), through);
    return;
  }
  send_parts(ctx, *weights.plan(), rank, m.weights.data(), weights.data(), part_places::of_arena, through,
             part_places::of_arena);
}

trained train_rank(context& ctx, world& here, const test::loaded_model& m, const division& way, dtype type) {
  const bool many = way.ranks > 1;
  rank_weights read = zeros(m, many && way.zero == 3 ? here.open("weights") : nullptr, type, ctx.on);
  fill(ctx, m, here.rank(), read);
  std::optional<rank_weights> masters;
  if (type != dtype::f32) {
    masters.emplace(zeros(m, many && way.zero > 0 ? here.open("masters") : nullptr, dtype::f32, ctx.on));
    fill(ctx, m, here.rank(), *masters);
  }
  learner learns(m.net, {.adamw = {.weight_decay = 0.1}, .lanes = 2, .zero = way.zero},
                 many ? here.open("gradients") : nullptr, {.on = ctx.on, .model = "policy"});
  train_workspace workspace;
  trained found;
  for (int64_t update = 0; update < updates; ++update) {
    {
      gathered_weights in_use(read);
      for (const lm_statistics& one : accumulate<lm_statistics>(
               ctx, learns, way.micro_batches, {m.net, in_use.view(), nullptr, workspace},
               [&](int64_t j, const trainee&to) {
                 return sft_micro_batch(ctx, to, test::small_batch(update * 100 + j, m.description().vocabulary),
                                        {70.0, 1.0});
               },
               [] {})) {
        found.losses.push_back(one.nll_nats);
      }
    }
    rank_weights& learned = masters ? *masters : read;
    const reals rounded = masters ? read.data() : reals(nullptr);
    found.norms.push_back(learns.update(ctx, learned.data(), 1e-2, rounded).gradient_norm);
  }
  gathered_weights whole(read);
  whole.hold_all(ctx);
  found.read.resize(static_cast<size_t>(read.size()));
  staging through;
  fetch_arena(ctx, m.net.layout(), read.data(), found.read.data(), through);
  return found;
}

/// On cards, or on the host.
trained train(const std::string& name, const division& way, dtype type, bool on_cards) {
  std::vector<trained> by_rank(static_cast<size_t>(way.ranks));
  test::as_local_ranks(way.ranks, [&](world& here) {
    const test::loaded_model m = test::load_model(name);
    const std::unique_ptr<device> card = emulation::make_card({.page_bytes = 4096, .late = true});
    thread_pool pool(1);
    context ctx{pool, on_cards ? card.get() : nullptr};
    by_rank[static_cast<size_t>(here.rank())] = train_rank(ctx, here, m, way, type);
  });
  for (const trained& one : by_rank) {
    EXPECT_EQ(one, by_rank.front());
  }
  return by_rank.front();
}

class TrainingOnCards : public testing::TestWithParam<dtype> {};

TEST_P(TrainingOnCards, HasTheSameBitsOnAnyRanksAndStage) {
  const trained one = train("tiny/llama", {}, GetParam(), true);
  for (const int zero : {0, 1, 2, 3}) {
    EXPECT_EQ(train("tiny/llama", {.ranks = 2, .zero = zero}, GetParam(), true), one) << zero;
  }
}

/// No more micro-batches than lanes: segments of gradients come and go while passes write them. The one head is tied,
/// the other's embeddings are projected.
TEST_P(TrainingOnCards, SegmentsAreThereWhenPassesWriteThem) {
  for (const char* model : {"tiny/gpt2", "tiny/opt_postln"}) {
    for (const int64_t micro_batches : {1, 2}) {  // a rank without any, and none
      const trained one = train(model, {.micro_batches = micro_batches}, GetParam(), true);
      EXPECT_EQ(train(model, {.ranks = 2, .zero = 3, .micro_batches = micro_batches}, GetParam(), true), one)
          << model << ", " << micro_batches;
    }
  }
}

TEST_P(TrainingOnCards, LearnsWhatTheHostLearns) {
  const trained there = train("tiny/llama", {.ranks = 2, .zero = 2}, GetParam(), true);
  const trained here = train("tiny/llama", {.ranks = 2, .zero = 2}, GetParam(), false);
  const double limit = GetParam() == dtype::bf16 ? 3e-2 : 1e-4;
  for (size_t i = 0; i < here.norms.size(); ++i) {
    EXPECT_NEAR(there.norms[i], here.norms[i], limit * here.norms[i]);
  }
  for (size_t i = 0; i < here.losses.size(); ++i) {
    EXPECT_NEAR(there.losses[i], here.losses[i], limit * here.losses[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, TrainingOnCards, testing::Values(dtype::f32, dtype::bf16),
                         [](const auto& info) { return std::string(to_string(info.param)); });

}  // namespace
}  // namespace troupe::engine
