// Weights of models that only score, which stay in host memory and go to an emulated card by segments.
#include "engine/card/card_model.hpp"
#include "engine/optim/card_weights.hpp"
#include "engine/train/scoring.hpp"
#include "support/errors.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

namespace troupe::engine {
namespace {

constexpr int64_t page = 4096;

int64_t weight_bytes(const device& card) {
  int64_t bytes = 0;
  for (const memory_use::holder& one : card.use().holders) {
    bytes += one.name == "weights" ? one.bytes : 0;
  }
  return bytes;
}

/// Two sequences, a function of `which`.
packed_batch texts(int64_t which) {
  packed_batch batch;
  for (int64_t b = 0; b < 2; ++b) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < 6 + which; ++i) {
      tokens.push_back(static_cast<int32_t>((which * 7 + b * 31 + i * 13) % 60));
    }
    batch.add(tokens, 1);
  }
  return batch;
}

rank_weights weights_of(const test::loaded_model& model, dtype type) {
  rank_weights weights(model.weights.size(), type);
  for (const parameter& p : model.net.layout().all()) {
    write_parameter(p, read_parameter(p, model.weights.data()), weights.data());
  }
  return weights;
}

/// Looks at the card whenever a pass has a segment.
class watched_access final : public weight_access {
public:
  watched_access(weight_access& of, const device& card) : of_(of), card_(card) {}
  void prefetch(int64_t segment) override {
    of_.prefetch(segment);
    most_ = std::max(most_, weight_bytes(card_));
  }
  void acquire(context& ctx, int64_t segment) override {
    of_.acquire(ctx, segment);
    most_ = std::max(most_, weight_bytes(card_));
  }
  void release(int64_t segment) override { of_.release(segment); }
  int64_t most() const { return most_; }

private:
  weight_access& of_;
  const device& card_;
  int64_t most_ = 0;
};

struct scored {
  std::vector<std::vector<float>> scores;  ///< of each batch
  int64_t most_weights = 0;                ///< bytes of the card that they had at a time
};

/// Two uses of two batches each.
scored score(context& ctx, const inference_model& net, rank_weights& weights, card_weights& there) {
  scored found;
  for (int64_t use = 0; use < 2; ++use) {
    const weights_in_use in_use(ctx, weights, &there);
    std::optional<watched_access> watched;
    weights_view view = in_use.view();
    if (view.access != nullptr) {
      view.access = &watched.emplace(*view.access, *ctx.on);
    }
    for (int64_t b = 0; b < 2; ++b) {
      const packed_batch batch = texts(2 * use + b);
      found.scores.push_back(net.description().scalar_head ? end_scores(ctx, net, view, batch)
                                                           : answer_log_probs(ctx, net, view, batch, 1.0F));
    }
    found.most_weights = std::max(found.most_weights, watched ? watched->most() : weight_bytes(*ctx.on));
  }
  return found;
}

struct card_and_host {
  explicit card_and_host(emulation::card_options options = {.page_bytes = page, .late = true})
      : card(emulation::make_card(options)) {}
  thread_pool pool{1};
  std::unique_ptr<device> card;
  context ctx{pool, card.get()};
};

int64_t two_largest(const inference_model& net) {
  const std::vector<arena_range> segments = net.segments();
  int64_t most = 0;
  for (size_t s = 0; s + 1 < segments.size(); ++s) {
    most = std::max(most, segments[s].size() + segments[s + 1].size());
  }
  return most;
}

TEST(StreamedWeights, ScoreTheSameAndTheCardHasTwoSegments) {
  struct named {
    const char* model;
    bool scalar_head;
  };
  for (const named& one : {named{"tiny/llama", false}, {"tiny/qwen2", false}, {"tiny/llama", true}}) {
    for (const dtype type : {dtype::f32, dtype::bf16}) {
      SCOPED_TRACE(std::string(one.model) + " " + to_string(type));
      const test::loaded_model model = test::load_model(one.model, one.scalar_head);
      card_and_host there, streamed;
      rank_weights sent = weights_of(model, type), kept = weights_of(model, type);
      card_weights all(model.net, type, "weights"), some(model.net, type, "weights", weights_stay::in_host_memory);
      const scored want = score(there.ctx, model.net, sent, all);
      const scored got = score(streamed.ctx, model.net, kept, some);
      EXPECT_EQ(got.scores, want.scores);
      const int64_t two = two_largest(model.net) * size_of(type);
      std::printf("%s: %.1f kB of weights on the card, streamed at most %.1f kB\n", one.model,
                  static_cast<double>(want.most_weights) / 1e3, static_cast<double>(got.most_weights) / 1e3);
      EXPECT_GE(got.most_weights, two);
      EXPECT_LE(got.most_weights, two + page * (1 + static_cast<int64_t>(model.net.segments().size())));
      EXPECT_LT(got.most_weights, want.most_weights);
      EXPECT_EQ(kept.size(), 0) << "there is one copy of them";
    }
  }
}

TEST(StreamedWeights, NeedNoPinnedMemory) {
  const test::loaded_model model = test::load_model("tiny/llama");
  card_and_host pinned, without({.page_bytes = page, .late = true, .most_pinned = 100'000});
  std::vector<std::vector<std::vector<float>>> found;
  for (card_and_host* on : {&pinned, &without}) {
    rank_weights weights = weights_of(model, dtype::f32);
    card_weights there(model.net, dtype::f32, "weights", weights_stay::in_host_memory);
    found.push_back(score(on->ctx, model.net, weights, there).scores);
  }
  EXPECT_EQ(found[0], found[1]);
}

TEST(StreamedWeights, OfRanksThatShareThemComeFromAllRanks) {
  const test::loaded_model model = test::load_model("tiny/llama");
  card_and_host alone;
  rank_weights whole = weights_of(model, dtype::bf16);
  card_weights all(model.net, dtype::bf16, "weights");
  const scored want = score(alone.ctx, model.net, whole, all);
  test::as_local_ranks(2, [&](world& here) {
    card_and_host own;
    rank_weights weights = weights_of(model, dtype::bf16);
    weights.shard(std::make_shared<shard_plan>(model.net.layout(), model.net.segments(), 2), here.open("weights"));
    card_weights there(model.net, dtype::bf16, "weights", weights_stay::in_host_memory);
    EXPECT_EQ(score(own.ctx, model.net, weights, there).scores, want.scores);
  });
}

TEST(StreamedWeights, WhereTheCardsMemoryEndsInAPassItIsToldAndNothingIsLeft) {
  const test::loaded_model model = test::load_model("tiny/llama");
  card_and_host on({.bytes = int64_t{1} << 26, .page_bytes = page});
  rank_weights weights = weights_of(model, dtype::f32);
  card_weights there(model.net, dtype::f32, "weights", weights_stay::in_host_memory);
  const scored want = score(on.ctx, model.net, weights, there);
  const int64_t free = on.card->use().free;
  std::byte* const others = on.card->reserve(free, "somebody");
  on.card->map(others, free - model.net.segments()[0].size() * size_of(dtype::f32) - page);  // the first has room
  const auto pass = [&] {
    const weights_in_use in_use(on.ctx, weights, &there);
    answer_log_probs(on.ctx, model.net, in_use.view(), texts(0), 1.0F);
  };
  test::expect_error(errc::out_of_memory, " for weights are not there", pass);
  on.card->free(others);
  EXPECT_EQ(on.card->use().free, free);
  EXPECT_EQ(score(on.ctx, model.net, weights, there).scores, want.scores);
}

}  // namespace
}  // namespace troupe::engine
