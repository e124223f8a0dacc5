#include "base/error.hpp"
#include "engine/generate/generator.hpp"
#include "engine/tensor_parallel/column_model.hpp"
#include "support/generation.hpp"
#include "support/local_ranks.hpp"
#include "support/model_fixture.hpp"
#include "support/random_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

using test::expect_equal;
using test::prompt_of;
using test::request_of;

std::vector<generation_request> mixed_requests() {
  return {request_of({10}, prompt_of(1, 1), 30), request_of({20, 21, 22}, prompt_of(70, 2), 12),
          request_of({30}, prompt_of(64, 3), 5), request_of({50, 51}, prompt_of(9, 5), 20)};
}

/// Few pages, so that sequences give way and are computed again: every rank must do the same then too.
constexpr generator_settings narrow{.cache_pages = 5, .step_tokens = 48};

std::vector<generated_sequence> generate_plainly(const transformer& net, const float* weights) {
  thread_pool pool{1};
  context ctx{pool};
  generator whole(net, weights, narrow);
  auto all = generate_all(ctx, whole, mixed_requests());
  EXPECT_GT(whole.counters().preemptions, 0);
  return all;
}

void expect_equal_on_columns(int ranks, const transformer& net, const float* weights,
                             const std::vector<generated_sequence>& expected) {
  test::as_local_ranks(ranks, [&](world& w) {
    thread_pool pool{1};
    context ctx{pool};
    column_model part(net, w.open("columns"));
    part.fill(ctx, weights, nullptr);
    generator g(part.net(), part.weights(), narrow);
    SCOPED_TRACE("rank " + std::to_string(w.rank()) + " of " + std::to_string(ranks));
    expect_equal(generate_all(ctx, g, mixed_requests()), expected);
  });
}

class ColumnGenerationTest : public testing::TestWithParam<const char*> {};

TEST_P(ColumnGenerationTest, TokensAndLogProbabilitiesAreThoseOfOneRank) {
  const test::loaded_model m = test::load_model(GetParam());
  const auto expected = generate_plainly(m.net, m.weights.data());
  for (const int ranks : {1, 2, 3, 4}) {
    expect_equal_on_columns(ranks, m.net, m.weights.data(), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ColumnGenerationTest,
                         testing::Values("tiny/opt", "tiny/opt_postln", "tiny/gpt2", "tiny/llama", "tiny/llama3",
                                         "tiny/qwen2", "tiny/gpt_neox", "tiny/bloom", "stories260k"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

/// Every matrix divides into whole panels on 4 ranks.
model_description even_shape() {
  model_description d;
  d.vocabulary = 128;
  d.width = d.embedding_width = 128;
  d.layers = 3;
  d.heads = 8;
  d.kv_heads = 4;
  d.head_width = 16;
  d.feed_forward = 256;
  d.max_positions = 256;
  d.rotary.rotated = 16;
  return d;
}

class ColumnMemoryTest : public testing::TestWithParam<bool> {};

TEST_P(ColumnMemoryTest, MatricesAndCacheTakeAShareOnEachRank) {
  model_description d = even_shape();
  d.tied_head = GetParam();
  const transformer whole(d);
  int64_t divided = 0;
  for (const parameter& p : whole.layout().all()) {
    divided += p.is_matrix() ? p.size : 0;
  }
  EXPECT_GT(divided * 100, whole.layout().arena_size() * 99);
  for (const int ranks : {2, 4}) {
    test::as_local_ranks(ranks, [&](world& w) {
      const column_model part(whole, w.open("columns"));
      EXPECT_EQ(part.net().layout().arena_size(), whole.layout().arena_size() - divided + divided / ranks);
      EXPECT_EQ(part.bytes(), part.net().layout().arena_size() * 4);
      EXPECT_EQ(kv_cache::page_bytes(part.net().description()), kv_cache::page_bytes(whole.description()) / ranks);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, ColumnMemoryTest, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "tied" : "own"; });

TEST(ColumnModelTest, ADecodeStepSendsWhatTheFormulaSays) {
  const test::random_model m = test::make_random_model(even_shape(), 3);
  const model_description d = even_shape();
  for (const int ranks : {2, 3, 4}) {
    std::array<std::atomic<int64_t>, 3> looked_up{};  // rows, by all ranks
    test::as_local_ranks(ranks, [&](world& w) {
      thread_pool pool{1};
      context ctx{pool};
      const communicator_ptr group = w.open("columns");
      column_model part(m.net, group);
      part.fill(ctx, m.weights.data(), nullptr);
      generator g(part.net(), part.weights(), {.cache_pages = 8, .step_tokens = 64});
      g.submit(request_of({1, 2, 3}, {4, 5, 6, 7, 8}, 10));
      const column_split split = split_columns(d, w.rank(), ranks);
      const int64_t row = split.heads.size() * d.head_width + split.units.size() + 2 * split.columns.size();
      struct step {
        int64_t rows, drawn_from;
      };
      const std::array<step, 3> steps = {{{5, 1}, {3, 3}, {3, 3}}};  // the prompt once; then each of its samples
      for (size_t i = 0; i < steps.size(); ++i) {
        const traffic before = group->sent();
        g.step(ctx);
        const traffic after = group->sent();
        EXPECT_EQ(after.operations - before.operations, 1 + 4 * d.layers + 1);
        const int64_t floats = (after.gathered - before.gathered) / 4 / (ranks - 1) - steps[i].rows * row * d.layers -
                               steps[i].drawn_from * split.tokens.size();
        EXPECT_EQ(floats % d.embedding_width, 0);
        looked_up[i] += floats / d.embedding_width;
        if (i == 0) {
          EXPECT_EQ(floats, w.rank() == 0 ? 5 * d.embedding_width : 0) << "tokens 4 to 8 are rank 0's";
        }
        EXPECT_EQ(after.other + after.reduced, 0);
      }
    });
    EXPECT_EQ(looked_up[1], 3);
    EXPECT_EQ(looked_up[2], 3);
  }
}

/// Of rows that are minus zero, not even the sign changes.
TEST(ColumnModelTest, RowsOfTheTableArriveBitForBit) {
  test::random_model m = test::make_random_model(even_shape(), 7);
  float* table = m.weights.data() + m.net.layout().at("embedding.token.weight").offset;
  for (int64_t i = 0; i < 128 * 128; i += 3) {
    table[i] = -0.0F;
  }
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 128; ++i) {
    tokens.push_back(127 - i * 5 % 128);
  }
  const std::vector<int64_t> offset_B1 = {0, 128};
  const token_batch batch{.token_N = tokens, .offset_B1 = offset_B1, .position_N = {}};
  thread_pool pool{1};
  context ctx{pool};
  const std::vector<float> hidden = test::hidden_of(ctx, m.net, m.weights.data(), batch);
  const std::vector<float> logits = test::logits_of(ctx, m.net, m.weights.data(), hidden.data(), 128);
  test::as_local_ranks(3, [&](world& w) {
    thread_pool own_pool{1};
    context own{own_pool};
    column_model part(m.net, w.open("columns"));
    part.fill(own, m.weights.data(), nullptr);
    const std::vector<float> found = test::hidden_of(own, part.net(), part.weights(), batch);
    EXPECT_EQ(test::bits(found), test::bits(hidden));
    std::vector<float> drawn_from(logits.size());
    part.net().logits(own, part.weights(), 128, found.data(), drawn_from.data());
    EXPECT_EQ(test::bits(drawn_from), test::bits(logits));
    const std::vector<int32_t> unknown = {1, 128};
    const std::vector<int64_t> two = {0, 2};
    const token_batch beyond{.token_N = unknown, .offset_B1 = two, .position_N = {}};
    EXPECT_THROW(test::hidden_of(own, part.net(), part.weights(), beyond), error) << "on every rank";
  });
}

/// Segments that are there only between acquire and release, as under ZeRO stage 3.
class fetched_weights final : public weight_access {
public:
  fetched_weights(const transformer& net, const float* weights)
      : segments_(net.segments()), weights_(weights), arena_(net.layout().arena_size()) {
    std::fill(arena_.begin(), arena_.end(), std::numeric_limits<float>::quiet_NaN());
  }
  const float* arena() const { return arena_.data(); }
  int64_t fetched() const { return fetched_; }

  void prefetch(int64_t segment) override { EXPECT_EQ(segment, prefetched_++); }
  void acquire(context&, int64_t segment) override {
    EXPECT_EQ(segment, fetched_++);
    EXPECT_LE(segment, prefetched_);
    const arena_range& range = segments_[static_cast<size_t>(segment)];
    std::copy(weights_ + range.first, weights_ + range.last, arena_.data() + range.first);
  }
  void release(int64_t segment) override {
    EXPECT_EQ(segment, released_++);
    const arena_range& range = segments_[static_cast<size_t>(segment)];
    std::fill(arena_.data() + range.first, arena_.data() + range.last, std::numeric_limits<float>::quiet_NaN());
  }

private:
  std::vector<arena_range> segments_;
  const float* weights_;
  aligned_buffer<float> arena_;
  int64_t prefetched_ = 0, fetched_ = 0, released_ = 0;
};

std::span<const float> values_of(const column_model& part) {
  return {part.weights().as<float>(), static_cast<size_t>(part.bytes() / 4)};
}

TEST(ColumnModelTest, SegmentsAreFetchedOneAfterTheOther) {
  const test::random_model m = test::make_random_model(even_shape(), 4);
  test::as_local_ranks(3, [&](world& w) {
    thread_pool pool{1};
    context ctx{pool};
    column_model plain(m.net, w.open("plain"));
    column_model sharded(m.net, w.open("sharded"));
    plain.fill(ctx, m.weights.data(), nullptr);
    fetched_weights access(m.net, m.weights.data());
    sharded.fill(ctx, access.arena(), &access);
    EXPECT_EQ(access.fetched(), even_shape().layers + 2);
    EXPECT_TRUE(std::ranges::equal(values_of(plain), values_of(sharded)));
  });
}

TEST(ColumnModelTest, ReleasedAndFilledAgainItHasTheNewWeights) {
  const test::random_model before = test::make_random_model(even_shape(), 5);
  const test::random_model after = test::make_random_model(even_shape(), 6);
  const std::vector<generation_request> requests = {request_of({7, 8}, {4, 5, 6, 7, 8}, 20)};
  test::as_local_ranks(2, [&](world& w) {
    thread_pool pool{1};
    context ctx{pool};
    column_model part(before.net, w.open("columns"));
    generator g(part.net(), part.weights(), {});
    for (const test::random_model* m : {&before, &after}) {
      part.fill(ctx, m->weights.data(), nullptr);
      generator whole(before.net, m->weights.data(), {});
      expect_equal(generate_all(ctx, g, requests), generate_all(ctx, whole, requests));
      part.release();
      g.release_memory();
      EXPECT_EQ(std::ranges::count(values_of(part), 0.0F), part.bytes() / 4);
    }
  });
}

TEST(ColumnModelTest, MoreRanksThanHeadsAreRefused) {
  const transformer whole(even_shape());
  test::as_local_ranks(9, [&](world& w) {
    const communicator_ptr group = w.open("columns");
    EXPECT_THROW(column_model(whole, group), error);
  });
}

}  // namespace
}  // namespace troupe::engine
