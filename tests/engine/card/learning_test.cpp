// Learning with passes on an emulated card, and sums, moments and weights in host memory.
#include "engine/card/card_model.hpp"
#include "engine/optim/card_weights.hpp"
#include "engine/train/accumulate.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"
#include "support/errors.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace troupe::engine {
namespace {

/// What of a card is mapped for these holders.
int64_t bytes_of(const device& card, const std::string& holder) {
  int64_t bytes = 0;
  for (const memory_use::holder& one : card.use().holders) {
    bytes += one.name == holder ? one.bytes : 0;
  }
  return bytes;
}

TEST(CardArena, SegmentsAreSentInRowsAndAddedInPanels) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const parameter_layout& layout = model.net.layout();
  const shard_plan plan = undivided(layout);
  test::emulated_context card;
  buffer memory;
  const int64_t size = layout.arena_size();
  const reals there = memory.room(card.ctx, dtype::f32, size);
  staging through;
  std::vector<float> sums(static_cast<size_t>(size), 0.5F);
  for (int64_t s = 0; s < plan.segments(); ++s) {
    send_segment(card.ctx, plan, s, model.weights.data(), there, through);
    add_segment(card.ctx, plan, s, there, sums.data(), through);
  }
  for (const parameter& p : layout.all()) {
    for (int64_t i = p.offset; i < p.offset + p.size; ++i) {
      ASSERT_EQ(sums[static_cast<size_t>(i)], 0.5F + model.weights.data()[i]) << p.name;
    }
    if (p.is_matrix()) {  // on the card row after row
      std::vector<float> rows(static_cast<size_t>(p.shape[0] * p.shape[1]));
      fetch(card.ctx, there + p.offset, rows);
      EXPECT_EQ(rows, read_parameter(p, model.weights.data())) << p.name;
    }
  }
}

/// A text of `length` tokens, a function of `which`.
packed_batch text(int64_t which) {
  packed_batch batch;
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < 5 + which % 3; ++i) {
    tokens.push_back(static_cast<int32_t>((which * 7 + i * 13) % 60));
  }
  batch.add(tokens, 1);
  return batch;
}

struct outcome {
  std::vector<float> weights;
  std::vector<double> norms, losses;
};

constexpr int64_t micro_batches = 5;

/// Two updates of one of some ranks. `card`: where passes compute; null: on the host.
outcome learn(world& here, device* card, dtype type, const learner_settings& how) {
  thread_pool pool(1);
  context ctx{pool, card}, host{pool};
  const test::loaded_model model = test::load_model("tiny/llama");
  const transformer& net = model.net;
  rank_weights weights(net.layout().arena_size());
  std::copy(model.weights.begin(), model.weights.end(), weights.begin());
  if (how.zero == 3) {
    weights.shard(std::make_shared<shard_plan>(net.layout(), net.segments(), here.size()), here.open("weights"));
  }
  const std::unique_ptr<card_weights> there =
      card != nullptr ? std::make_unique<card_weights>(net, type, "policy weights") : nullptr;
  learner learns(net, how, here.open("gradients"));
  train_workspace workspace;
  outcome out;
  for (int64_t update = 0; update < 2; ++update) {
    {
      const weights_in_use in_use(ctx, weights, there.get());
      const auto found = accumulate<lm_statistics>(
          ctx, learns, micro_batches, {net, in_use.view(), nullptr, workspace},
          [&](int64_t j, const trainee& to) {
            return sft_micro_batch(ctx, to, text(update * micro_batches + j), {.tokens = 26});
          },
          [] {});
      for (const lm_statistics& one : found) {
        out.losses.push_back(one.nll_nats);
      }
    }
    out.norms.push_back(learns.update(host, weights.data(), 1e-3).gradient_norm);
    if (there) {
      there->outdate();
    }
  }
  gathered_weights whole(weights);
  whole.hold_all(host);
  out.weights.assign(weights.begin(), weights.end());
  return out;
}

/// The same on so many ranks, each with a card of its own; what the first has.
outcome learn_on(int ranks, bool on_cards, dtype type, const learner_settings& how) {
  outcome first;
  std::mutex mutex;
  test::as_local_ranks(ranks, [&](world& here) {
    const auto card = on_cards ? emulation::make_card() : nullptr;
    outcome mine = learn(here, card.get(), type, how);
    const std::lock_guard lock(mutex);
    if (here.rank() == 0) {
      first = std::move(mine);
    }
  });
  return first;
}

TEST(LearningOnACard, IsTheHostsButForTheOrderOfSums) {
  const learner_settings how{.lanes = 2};
  const outcome host = learn_on(1, false, dtype::f32, how);
  const outcome card = learn_on(1, true, dtype::f32, how);
  ASSERT_EQ(card.losses.size(), host.losses.size());
  for (size_t i = 0; i < host.losses.size(); ++i) {
    EXPECT_NEAR(card.losses[i], host.losses[i], 1e-4 * (1 + host.losses[i])) << i;
  }
  for (size_t i = 0; i < host.norms.size(); ++i) {
    EXPECT_NEAR(card.norms[i], host.norms[i], 1e-4 * host.norms[i]) << i;
  }
}

TEST(LearningOnACard, DependsOnTheLanesAlone) {
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    const outcome one = learn_on(1, true, type, {.lanes = 4});
    for (const auto& [ranks, zero] : {std::pair(2, 0), std::pair(2, 1), std::pair(2, 3), std::pair(4, 2)}) {
      SCOPED_TRACE(fmt::format("{}, {} ranks, stage {}", to_string(type), ranks, zero));
      const outcome several = learn_on(ranks, true, type, {.lanes = 4, .zero = zero});
      EXPECT_EQ(several.weights, one.weights);
      EXPECT_EQ(several.norms, one.norms);
      EXPECT_EQ(several.losses, one.losses);
    }
    EXPECT_NE(learn_on(1, true, type, {.lanes = 1}).weights, one.weights);
  }
}

/// Its error is the one that is told, also where ranks share weights, which leave the card as they are let go.
TEST(LearningOnACard, ACardThatFailsInTheMiddleIsToldByItsError) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const transformer& net = model.net;
  test::as_local_ranks(2, [&](world& here) {
    thread_pool pool(1);
    bool failed = false;
    const auto card = emulation::make_card({.failed = &failed});
    context ctx{pool, card.get()};
    rank_weights weights(net.layout().arena_size());
    weights.shard(std::make_shared<shard_plan>(net.layout(), net.segments(), 2), here.open("weights"));
    card_weights there(net, dtype::bf16, "policy weights");
    const auto use = [&] {
      weights_in_use in_use(ctx, weights, &there);
      in_use.hold_all(ctx);
      failed = true;
      answer_log_probs(ctx, net, in_use.view(), text(1), 1.0F);
    };
    test::expect_error(errc::device_failure, "it has failed", use);
  });
}

TEST(LearningOnACard, WhereItsMemoryDoesNotSufficeForGradientsAllRanksSaySo) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const transformer& net = model.net;
  const int64_t arena = net.layout().arena_size() * size_of(dtype::f32);
  test::as_local_ranks(2, [&](world& here) {
    thread_pool pool(1);
    // The weights fit, and on one of the cards the gradients do not.
    const auto card = emulation::make_card({.bytes = here.rank() == 0 ? int64_t{1} << 28 : arena + (int64_t{1} << 18)});
    context ctx{pool, card.get()};
    rank_weights weights(net.layout().arena_size());
    std::copy(model.weights.begin(), model.weights.end(), weights.begin());
    card_weights there(net, dtype::f32, "policy weights");
    learner learns(net, {.lanes = 2}, here.open("gradients"));
    train_workspace workspace;
    const auto update = [&] {
      const weights_in_use in_use(ctx, weights, &there);
      accumulate<lm_statistics>(
          ctx, learns, 4, {net, in_use.view(), nullptr, workspace},
          [&](int64_t j, const trainee& to) { return sft_micro_batch(ctx, to, text(j), {.tokens = 20}); }, [] {});
    };
    test::expect_error(errc::out_of_memory, " for gradients are not there", update);
    learns.begin(4);  // nothing is left of it
  });
}

/// Also where what learns lies on the cards: the sums do not fit on one of them.
TEST(LearningOnACard, WhereItsMemoryDoesNotSufficeForSumsAllRanksSaySo) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const transformer& net = model.net;
  const int64_t arena = net.layout().arena_size() * size_of(dtype::f32);
  for (const int zero : {0, 2}) {
    SCOPED_TRACE(zero);
    test::as_local_ranks(2, [&](world& here) {
      thread_pool pool(1);
      // Weights and moments fit, and the scratch of kernels.
      const int64_t moments = zero == 0 ? 2 * arena : arena;
      const auto card = emulation::make_card(
          {.bytes = here.rank() == 0 ? int64_t{1} << 28 : arena + moments + arena / 4, .page_bytes = 4096});
      context ctx{pool, card.get()};
      const test::model_on_card weights(ctx, model, dtype::f32);
      learner learns(net, {.lanes = 4, .zero = zero}, here.open("gradients"), {.on = card.get(), .model = "policy"});
      const int64_t free = card->use().free;
      train_workspace workspace;
      const auto update = [&] {
        accumulate<lm_statistics>(
            ctx, learns, 8, {net, weights.weights(), nullptr, workspace},
            [&](int64_t j, const trainee& to) { return sft_micro_batch(ctx, to, text(j), {.tokens = 20}); }, [] {});
      };
      test::expect_error(errc::out_of_memory, " for policy gradients are not there", update);
      EXPECT_EQ(card->use().free, free);
      learns.begin(8);  // nothing is left of it
    });
  }
}

TEST(LearningOnACard, GradientsAndSharedWeightsLeaveItsMemory) {
  test::emulated_context card;
  const test::loaded_model model = test::load_model("tiny/llama");
  const transformer& net = model.net;
  train_workspace workspace;
  learner learns(net, {.lanes = 1});
  rank_weights weights(net.layout().arena_size());
  std::copy(model.weights.begin(), model.weights.end(), weights.begin());
  card_weights there(net, dtype::bf16, "policy weights");
  const auto train = [&] {
    const weights_in_use in_use(card.ctx, weights, &there);
    accumulate<lm_statistics>(
        card.ctx, learns, 1, {net, in_use.view(), nullptr, workspace},
        [&](int64_t /*j*/, const trainee& to) { return sft_micro_batch(card.ctx, to, text(1), {.tokens = 5}); }, [] {});
    learns.discard();
  };
  train();
  const int64_t buffers = bytes_of(*card.card, "buffers of passes"), held = bytes_of(*card.card, "policy weights");
  EXPECT_GE(held, net.layout().arena_size() * size_of(dtype::bf16));
  const int64_t free = card.card->use().free;
  train();
  EXPECT_EQ(card.card->use().free, free);
  EXPECT_EQ(bytes_of(*card.card, "buffers of passes"), buffers);

  test::as_local_ranks(2, [&](world& here) {
    thread_pool pool(1);
    const auto own = emulation::make_card();
    context ctx{pool, own.get()};
    rank_weights shared(net.layout().arena_size());
    std::copy(model.weights.begin(), model.weights.end(), shared.begin());
    shared.shard(std::make_shared<shard_plan>(net.layout(), net.segments(), 2), here.open("weights"));
    card_weights copy(net, dtype::f32, "policy weights");
    {
      weights_in_use in_use(ctx, shared, &copy);
      in_use.hold_all(ctx);
      EXPECT_GE(bytes_of(*own, "policy weights"), net.layout().arena_size() * size_of(dtype::f32));
    }
    // A page that two segments share stays.
    EXPECT_LE(bytes_of(*own, "policy weights"), own->page_bytes() * static_cast<int64_t>(net.segments().size()));
  });
}

}  // namespace
}  // namespace troupe::engine
