// Learning with passes on an emulated card, and sums, moments and weights in host memory.
#include "engine/card/card_model.hpp"
#include "engine/card/wired_card.hpp"
#include "engine/optim/card_weights.hpp"
#include "engine/train/accumulate.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"
#include "support/errors.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
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

TEST(CardArena, SegmentsAreInRowsThereAndInPanelsHere) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const parameter_layout& layout = model.net.layout();
  const shard_plan plan = undivided(layout);
  test::emulated_context card;
  buffer memory;
  const int64_t size = layout.arena_size();
  const reals there = memory.room(card.ctx, dtype::f32, size);
  staging through;
  std::vector<float> rows_of_all(static_cast<size_t>(size)), back(static_cast<size_t>(size));
  for (int64_t s = 0; s < plan.segments(); ++s) {
    const arena_range range = plan.segment(s);
    send_segment(card.ctx, plan, s, model.weights.data(), there, through);
    to_card_order(card.ctx, plan, s, const_reals(model.weights.data() + range.first), rows_of_all.data() + range.first);
    to_host_order(card.ctx, plan, s, const_reals(rows_of_all.data() + range.first), back.data() + range.first);
  }
  for (const parameter& p : layout.all()) {
    for (int64_t i = p.offset; i < p.offset + p.size; ++i) {
      ASSERT_EQ(back[static_cast<size_t>(i)], model.weights.data()[i]) << p.name;
    }
    if (p.is_matrix()) {  // on the card row after row
      std::vector<float> rows(static_cast<size_t>(p.shape[0] * p.shape[1]));
      fetch(card.ctx, there + p.offset, rows);
      EXPECT_EQ(rows, read_parameter(p, model.weights.data())) << p.name;
      EXPECT_TRUE(std::equal(rows.begin(), rows.end(), rows_of_all.begin() + p.offset)) << p.name;
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

/// How a model learns.
struct way {
  dtype type = dtype::f32;  ///< that passes compute in
  learner_settings learns = {};
  bool sums_on_card = false;         ///< and all else that it learns with
  std::string model = "tiny/llama";  ///< or "deep": of five blocks; "deep tied": and its head is tied
  bool checkpointing = false;
};

struct outcome {
  std::vector<float> weights;
  std::vector<double> norms, losses;
  int64_t most_gradients = 0;  ///< bytes of the card that gradients had at a time
};

constexpr int64_t micro_batches = 5;

test::random_model model_of(const std::string& name) {
  if (name.starts_with("deep")) {
    const test::model_variant variant{name, "llama", {{"tie_word_embeddings", name == "deep tied"}}};
    return test::make_random_model(test::describe_small(variant, {.layers = 5}), 3);
  }
  test::loaded_model loaded = test::load_model(name);
  return {std::move(loaded.net), std::move(loaded.weights)};
}

/// Weights that learn and those that passes read, where the learner's sums are.
class learned_weights {
public:
  learned_weights(context& sums, world& here, const test::random_model& model, const way& how)
      : sums_(sums), net_(model.net), masters_(make(here, dtype::f32, how)) {
    const std::vector<float> whole(model.weights.begin(), model.weights.end());
    fill(masters_, whole);
    if (sums.on != nullptr && how.type == dtype::bf16) {
      read_.emplace(make(here, how.type, how));
      fill(*read_, whole);
    }
  }

  rank_weights& masters() { return masters_; }
  rank_weights& read() { return read_ ? *read_ : masters_; }
  reals rounded() { return read_ ? read_->data() : reals(nullptr); }

  std::vector<float> found() {
    gathered_weights whole(masters_);
    whole.hold_all(sums_);
    std::vector<float> values(static_cast<size_t>(masters_.size()));
    staging through;
    fetch_arena(sums_, net_.layout(), masters_.data(), values.data(), through);
    return values;
  }

private:
  rank_weights make(world& here, dtype type, const way& how) const {
    const arena_place at{sums_.on, "weights"};
    if (how.learns.zero < 3 || here.size() == 1) {
      return rank_weights(net_.layout().arena_size(), type, at);
    }
    return {std::make_shared<shard_plan>(net_.layout(), net_.segments(), here.size()),
            here.open(to_string(type) + std::string(" weights")), type, at};
  }
  void fill(rank_weights& to, const std::vector<float>& whole) {
    staging through;
    const shard_plan alone = undivided(net_.layout());
    send_parts(sums_, to.sharded() ? *to.plan() : alone, to.sharded() ? to.group()->rank() : 0, whole.data(), to.data(),
               part_places::of_arena, through, part_places::of_arena);
  }

  context& sums_;
  const transformer& net_;
  rank_weights masters_;
  std::optional<rank_weights> read_;
};

/// Two updates of one of some ranks. `card`: where passes compute; null: on the host.
outcome learn(world& here, device* card, const way& how) {
  thread_pool pool(1);
  context ctx{pool, card}, host{pool};
  context& sums = how.sums_on_card ? ctx : host;
  const test::random_model model = model_of(how.model);
  const transformer& net = model.net;
  learned_weights weights(sums, here, model, how);
  const bool copied = card != nullptr && !how.sums_on_card;
  const std::unique_ptr<card_weights> there =
      copied ? std::make_unique<card_weights>(net, how.type, "policy weights") : nullptr;
  learner learns(net, how.learns, here.open("gradients"), {.on = sums.on});
  train_workspace workspace(how.checkpointing);
  outcome out;
  for (int64_t update = 0; update < 2; ++update) {
    {
      const weights_in_use in_use(ctx, weights.read(), there.get());
      const auto train = [&](int64_t j, trainee to) {
        const std::function<void(int64_t)> done = to.segment_done;
        const auto look = [&] {
          out.most_gradients = std::max(out.most_gradients, card != nullptr ? bytes_of(*card, "gradients") : 0);
        };
        look();
        if (done) {
          to.segment_done = [&](int64_t segment) {
            done(segment);
            look();
          };
        }
        return sft_micro_batch(ctx, to, text(update * micro_batches + j), {.tokens = 26});
      };
      const auto found =
          accumulate<lm_statistics>(ctx, learns, micro_batches, {net, in_use.view(), nullptr, workspace}, train, [] {});
      for (const lm_statistics& one : found) {
        out.losses.push_back(one.nll_nats);
      }
    }
    out.norms.push_back(learns.update(sums, weights.masters().data(), 1e-3, weights.rounded()).gradient_norm);
    if (there) {
      there->outdate();
    }
  }
  out.weights = weights.found();
  return out;
}

/// The same on so many ranks, each with a card of its own; what the first has.
outcome learn_on(int ranks, bool on_cards, const way& how) {
  outcome first;
  std::mutex mutex;
  test::as_local_ranks(ranks, [&](world& here) {
    // Copies come as early as they may, or as late.
    const bool early = ranks == 1 || here.rank() % 2 == 1;
    const auto card =
        on_cards ? emulation::make_card({.page_bytes = 4096, .late = true, .early_copies = early}) : nullptr;
    outcome mine = learn(here, card.get(), how);
    const std::lock_guard lock(mutex);
    if (here.rank() == 0) {
      first = std::move(mine);
    }
  });
  return first;
}

void expect_same(const outcome& got, const outcome& want) {
  EXPECT_EQ(got.weights, want.weights);
  EXPECT_EQ(got.norms, want.norms);
  EXPECT_EQ(got.losses, want.losses);
}

TEST(LearningOnACard, IsTheHostsButForTheOrderOfSums) {
  const way how{.learns = {.lanes = 2}};
  const outcome host = learn_on(1, false, how);
  const outcome card = learn_on(1, true, how);
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
    const outcome one = learn_on(1, true, {.type = type, .learns = {.lanes = 4}});
    for (const auto& [ranks, zero] : {std::pair(2, 0), std::pair(2, 1), std::pair(2, 3), std::pair(4, 2)}) {
      SCOPED_TRACE(fmt::format("{}, {} ranks, stage {}", to_string(type), ranks, zero));
      expect_same(learn_on(ranks, true, {.type = type, .learns = {.lanes = 4, .zero = zero}}), one);
    }
    EXPECT_NE(learn_on(1, true, {.type = type, .learns = {.lanes = 1}}).weights, one.weights);
  }
}

/// Where they are in host memory, gradients come to the card by segments, in each of a lane's micro-batches.
TEST(LearningOnACard, SumsInHostMemoryAreThoseOnTheCard) {
  const auto expect_same_bits = [](way how, int ranks = 1) {
    SCOPED_TRACE(fmt::format("{}, {}, {} lanes, {} ranks, stage {}, checkpointing {}", how.model, to_string(how.type),
                             how.learns.lanes, ranks, how.learns.zero, how.checkpointing));
    const outcome host = learn_on(ranks, true, how);
    how.sums_on_card = true;
    expect_same(host, learn_on(ranks, true, how));
  };
  for (const int64_t lanes : {1, 2}) {
    expect_same_bits({.learns = {.lanes = lanes}});
  }
  expect_same_bits({.model = "tiny/qwen2"});  // its head is tied
  expect_same_bits({.type = dtype::bf16, .model = "tiny/llama3", .checkpointing = true});
  for (const int zero : {0, 1, 2, 3}) {
    expect_same_bits({.learns = {.lanes = 2, .zero = zero}, .model = "tiny/qwen2"}, 2);
  }
  expect_same_bits({.type = dtype::bf16, .learns = {.lanes = 2, .zero = 3}}, 2);
}

TEST(LearningOnACard, GradientsThereAreThoseOfSegmentsInFlight) {
  for (const char* name : {"deep", "deep tied"}) {
    for (const int64_t lanes : {1, 8}) {  // with sums that are sent up, and without
      SCOPED_TRACE(fmt::format("{}, {} lanes", name, lanes));
      const test::random_model model = model_of(name);
      const std::vector<arena_range> segments = model.net.segments();
      const bool tied = model.net.head_segment() == 0;
      int64_t two = 0;
      for (size_t s = tied ? 1 : 0; s + 1 < segments.size(); ++s) {
        two = std::max(two, segments[s].size() + segments[s + 1].size());
      }
      const int64_t most = (two + (tied ? segments[0].size() : 0)) * size_of(dtype::f32);
      const int64_t all = model.net.layout().arena_size() * size_of(dtype::f32);
      const outcome learned = learn_on(1, true, {.learns = {.lanes = lanes}, .model = name});
      std::printf("%s, %d lanes: at most %.1f kB of gradients on the card, of all weights %.1f kB\n", name,
                  static_cast<int>(lanes), static_cast<double>(learned.most_gradients) / 1e3,
                  static_cast<double>(all) / 1e3);
      constexpr int64_t page = 4096;
      EXPECT_GE(learned.most_gradients, most);
      EXPECT_LE(learned.most_gradients, most + 4 * page);
      EXPECT_LT(learned.most_gradients, all * 3 / 5);
    }
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

/// All that is free of a card, while it lives.
class full_card {
public:
  explicit full_card(device& card) : card_(card), taken_(card.reserve(card.use().free, "somebody")) {
    card_.map(taken_, card_.use().free);
  }
  full_card(const full_card&) = delete;
  ~full_card() { card_.free(taken_); }

private:
  device& card_;
  std::byte* taken_;
};

TEST(LearningOnACard, WhereItsMemoryEndsInTheMidstOfAPassAllRanksSaySo) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const transformer& net = model.net;
  test::as_local_ranks(2, [&](world& here) {
    thread_pool pool(1);
    const auto card = emulation::make_card({.bytes = int64_t{1} << 26, .page_bytes = 4096});
    context ctx{pool, card.get()};
    rank_weights weights(net.layout().arena_size());
    std::copy(model.weights.begin(), model.weights.end(), weights.begin());
    card_weights there(net, dtype::f32, "policy weights");
    learner learns(net, {.lanes = 2}, here.open("gradients"));
    train_workspace workspace;
    std::optional<full_card> full;
    const auto update = [&](bool fill) {
      const weights_in_use in_use(ctx, weights, &there);
      accumulate<lm_statistics>(
          ctx, learns, 4, {net, in_use.view(), nullptr, workspace},
          [&](int64_t j, trainee to) {
            const std::function<void(int64_t)> done = to.segment_done;
            to.segment_done = [&](int64_t segment) {
              if (fill && j >= 2 && !full) {  // in the second micro-batch of rank 0's lane, or of rank 1's
                full.emplace(*card);
              }
              done(segment);
            };
            return sft_micro_batch(ctx, to, text(j), {.tokens = 20});
          },
          [] {});
    };
    update(false);
    learns.discard();
    const int64_t free = card->use().free;
    test::expect_error(errc::out_of_memory, " for gradients are not there", [&] { update(here.rank() == 1); });
    full.reset();
    EXPECT_EQ(bytes_of(*card, "gradients"), 0);
    EXPECT_EQ(card->use().free, free);
    update(false);  // nothing is left of it
    learns.discard();
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

/// Where the ranks agree on it: none finds later that there is none.
TEST(LearningOnACard, MemoryForWhatArrivesIsThereBeforeThePasses) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const transformer& net = model.net;
  for (const int zero : {0, 2}) {
    SCOPED_TRACE(zero);
    const auto network = std::make_shared<emulation::wire_network>();
    test::as_local_ranks(2, [&](world& here) {
      test::wired_card mine(network, here);
      const test::model_on_card weights(mine.ctx, model, dtype::f32);
      const learner_settings settings{.lanes = 4, .zero = zero};
      learner learns(net, settings, here.open("gradients"), {.on = mine.card.get(), .model = "policy"});
      begin_accumulation(learns, 8);
      const int64_t held = bytes_of(*mine.card, "arriving pieces");
      const int64_t planned = learner_memory_of(*learns.plan(), here.rank(), settings, 8).arriving_bytes;
      EXPECT_GE(held, planned);
      EXPECT_LE(held, planned + mine.card->page_bytes() * learns.plan()->segments());
      learns.discard();
      train_workspace workspace;
      accumulate<lm_statistics>(
          mine.ctx, learns, 8, {net, weights.weights(), nullptr, workspace},
          [&](int64_t j, const trainee& to) { return sft_micro_batch(mine.ctx, to, text(j), {.tokens = 20}); }, [] {});
      learns.finish(mine.ctx);
      EXPECT_EQ(bytes_of(*mine.card, "arriving pieces"), held);
      learns.discard();
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
