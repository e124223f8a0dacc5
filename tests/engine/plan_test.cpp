#include "base/thread_pool.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/models/transformer.hpp"
#include "engine/plan.hpp"
#include "support/model_fixture.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace troupe::engine {
namespace {

const std::vector<std::string> models = {"tiny/opt",    "tiny/gpt2",       "tiny/bloom", "tiny/gpt_neox",
                                         "tiny/llama3", "tiny/opt_postln", "tiny/qwen2", "stories260k"};

/// Two layers, two heads of 16, one vocabulary panel: small enough to count on paper.
model_description paper_model() {
  model_description d;
  d.vocabulary = 64;
  d.width = d.embedding_width = 32;
  d.layers = 2;
  d.heads = 2;
  d.kv_heads = 1;
  d.head_width = 16;
  d.feed_forward = 96;
  d.max_positions = 128;
  d.rotary.rotated = 16;
  d.tied_head = true;
  return d;
}

TEST(Plan, CountsOfAPaperModel) {
  const model_size size = size_of(paper_model());
  // A block: qkv 64 x 32, out 32 x 32, gate and up 192 x 32, down 32 x 96, and two norms of 32.
  constexpr int64_t block = 64 * 32 + 32 * 32 + 192 * 32 + 32 * 96;
  EXPECT_EQ(size.parameters, 2 * (block + 64) + 64 * 32 + 32);
  EXPECT_EQ(size.matrix_elements, 2 * block + 64 * 32);
  EXPECT_EQ(size.arena_bytes, 4 * size.parameters);  // all of it in whole panels and cache lines
}

TEST(Plan, FlopsOfAPaperModel) {
  // 2 for each of 26,624 weights, and 4 for each of 10 positions in 2 layers of 32 query dimensions.
  EXPECT_EQ(forward_flops(paper_model(), 3, 10), 3 * (2.0 * 26624 + 4.0 * 2 * 32 * 10));
}

TEST(Plan, SavedActivationsOfAPaperModel) {
  // Per token and block: 64 (queries, keys, values) + 32 + 2 (attention) + 192 (up) + 32 (middle); 3 streams of 32.
  EXPECT_EQ(saved_activation_bytes(paper_model(), 7, false), 4 * 7 * (3 * 32 + 2 * 322));
  EXPECT_EQ(saved_activation_bytes(paper_model(), 7, true), 4 * 7 * (3 * 32 + 322));
}

TEST(Plan, CacheOfAPaperModelTakesWholePages) {
  // 65 positions are two pages of 64, and one is kept for the next token's.
  EXPECT_EQ(cache_bytes(paper_model(), 5, 65), 5 * 3 * kv_cache::page_bytes(paper_model()));
}

TEST(Plan, ColumnsOfAPaperModel) {
  // One head with its key and value: 48 rows, in panels of 32; 16 of the stream's columns; 48 units, each gate and up;
  // 32 of 64 tokens, of a table that the head shares.
  constexpr int64_t block = 64 * 32 + 32 * 32 + 96 * 32 + 32 * 96;
  EXPECT_EQ(column_weight_bytes(paper_model(), 2), 4 * (2 * (block + 64) + 32 * 32 + 32));
  EXPECT_EQ(column_weight_bytes(paper_model(), 1), size_of(paper_model()).arena_bytes);
}

TEST(Plan, ArenaIsThatOfTheModel) {
  for (const std::string& name : models) {
    const test::loaded_model m = test::load_model(name);
    const model_size size = size_of(m.description());
    EXPECT_EQ(size.arena_bytes, m.net.layout().arena_size() * 4) << name;
    EXPECT_EQ(size.parameters, m.net.layout().parameter_count()) << name;
  }
}

TEST(Plan, TrainingMemoryFallsWithRanksAndStages) {
  const model_description model = test::load_model("tiny/llama").description();
  const int64_t arena = size_of(model).arena_bytes;
  const auto one = training_memory_of(model, {});
  EXPECT_EQ(one.gradient_bytes, arena);
  EXPECT_EQ(one.moment_bytes, 2 * arena);
  EXPECT_EQ(one.shard_bytes, arena);
  EXPECT_EQ(training_memory_of(model, {.ranks = 1, .zero = 2, .lanes = 4}).gradient_bytes, 3 * arena);

  const auto first = training_memory_of(model, {.ranks = 4, .zero = 1, .lanes = 8});
  EXPECT_EQ(first.gradient_bytes, 2 * arena);
  EXPECT_EQ(first.moment_bytes, 2 * first.shard_bytes);
  EXPECT_GE(first.shard_bytes, arena / 4);
  EXPECT_LT(first.shard_bytes, arena / 2);
  const auto second = training_memory_of(model, {.ranks = 4, .zero = 2, .lanes = 8});
  EXPECT_EQ(second.gradient_bytes, 2 * first.shard_bytes);
  EXPECT_EQ(second.transient_bytes, arena);
  EXPECT_EQ(first.transient_bytes, 0);
  // Pieces of its part from three others; in stage 2 of two segments of the four at a time.
  EXPECT_EQ(one.collective_bytes, 0);
  EXPECT_EQ(first.collective_bytes, 3 * first.shard_bytes);
  EXPECT_LT(second.collective_bytes, first.collective_bytes);
  EXPECT_GT(second.collective_bytes, first.collective_bytes / 4);
}

TEST(Plan, WeightsOfStageThreeAreAShardAndTwoSegments) {
  model_description model = paper_model();
  model.layers = 16;
  model.width = model.embedding_width = 256;
  model.heads = model.kv_heads = 16;
  model.feed_forward = 1024;
  const int64_t arena = size_of(model).arena_bytes;
  EXPECT_EQ(pass_weight_bytes(model, 4, 2), arena);
  EXPECT_EQ(pass_weight_bytes(model, 1, 3), arena);
  // Others hold three quarters of two blocks; cuts are between panels, of 3 % of a block at most.
  constexpr int64_t block = 4 * (768 * 256 + 256 * 256 + 2048 * 256 + 256 * 1024 + 512);
  const auto expected = static_cast<double>(arena / 4 + 2 * block * 3 / 4);
  EXPECT_NEAR(static_cast<double>(pass_weight_bytes(model, 4, 3)), expected, 0.05 * expected);
}

TEST(Plan, LogitsExistForAFewRowsOfALanguageModelOnly) {
  model_description model = paper_model();
  EXPECT_EQ(sampling_scratch_bytes(model), 32 * 64 * 4);
  EXPECT_EQ(head_scratch_bytes(model), 256 * 64 * 4);
  model.vocabulary = 50000;
  EXPECT_EQ(head_scratch_bytes(model), 80 * 50000 * int64_t{4});  // 16 MiB hold 83 rows: whole sixteens
  model.scalar_head = true;
  EXPECT_EQ(head_scratch_bytes(model), 0);
}

TEST(Plan, PassesWithoutGradientsRunInGroupsButNoSequenceIsDivided) {
  EXPECT_EQ((planned_batch{.tokens = 300, .longest = 100}.forward_tokens()), 300);
  EXPECT_EQ((planned_batch{.tokens = 5000, .longest = 100}.forward_tokens()), 2048);
  EXPECT_EQ((planned_batch{.tokens = 5000, .longest = 3000}.forward_tokens()), 3000);
  EXPECT_EQ((planned_batch{.tokens = 5000, .longest = 100, .weights_fetched = true}.forward_tokens()), 5000);
  const model_description model = paper_model();
  const auto scratch = [&](const planned_batch& batch) { return forward_scratch_bytes(model, batch); };
  EXPECT_GT(scratch({.tokens = 5000, .longest = 3000}), scratch({.tokens = 5000, .longest = 100}));
  const auto training = [&](const planned_batch& batch) { return training_scratch_bytes(model, batch); };
  EXPECT_GT(training({.tokens = 5000, .longest = 3000}), training({.tokens = 5000, .longest = 100}));
  EXPECT_EQ(generation_scratch_bytes(model, 6000), 2 * generation_scratch_bytes(model, 3000))
      << "a step is never divided";
}

TEST(Plan, SavedActivationsAreThoseOfARun) {
  thread_pool pool(1);
  context ctx{pool};
  const std::vector<int32_t> token_N = {3, 4, 5, 6, 7, 8, 9};
  const std::vector<int64_t> offset_B1 = {0, 3, 7};
  for (const std::string& name : models) {
    const test::loaded_model m = test::load_model(name);
    std::vector<float> hidden_ND(token_N.size() * static_cast<size_t>(m.description().embedding_width));
    for (const bool checkpointing : {false, true}) {
      saved_activations saved(checkpointing);
      m.net.forward(ctx, m.weights.data(), {.token_N = token_N, .offset_B1 = offset_B1, .position_N = {}},
                    hidden_ND.data(), saved);
      EXPECT_EQ(saved.bytes(), saved_activation_bytes(m.description(), 7, checkpointing)) << name << checkpointing;
    }
  }
}

}  // namespace
}  // namespace troupe::engine
