// Models whose weights lie on a card: what is read, saved and told of them is what it is of those in host memory.
#include "actors/models/model_files.hpp"
#include "actors/models/weights_digest.hpp"
#include "base/error.hpp"
#include "engine/optim/host_weights.hpp"
#include "support/emulation/card_test.hpp"
#include "support/local_ranks.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

namespace troupe::actors {
namespace {

const std::string gpt2 = test_data() + "/tiny/gpt2";
constexpr dtype types[] = {dtype::f32, dtype::bf16};

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// How a model that learns is loaded.
model_loading learning_on(test::emulated_context& card, dtype type) {
  return {.type = type, .learns = true, .lies_on = &card.ctx, .name = "policy"};
}

/// Writes `weights`, wherever they lie.
void save(context& ctx, const model& m, engine::rank_weights& weights, const std::filesystem::path& folder) {
  engine::host_weights here(ctx, weights, m.net);
  const engine::weights_view view = here.view();
  engine::segment_walk walk(ctx, view.access, 0, static_cast<int64_t>(m.net.segments().size()) - 1);
  save_model(m, view.data, folder, {.enter = [&walk] { walk.enter_next(); }});
}

TEST(CardModel, HasTheDigestAndTheFilesOfTheHosts) {
  const test::temporary_folder folder;
  thread_pool pool(1);
  context host{pool};
  for (const dtype type : types) {
    const model_ptr expected = load_model(gpt2, head_kind::language_model, {.type = type, .learns = true});
    test::emulated_context card;
    const model_ptr m = load_model(gpt2, head_kind::language_model, learning_on(card, type));
    EXPECT_EQ(m->weights.on(), card.card.get());
    EXPECT_EQ(m->learned().on(), card.card.get());
    EXPECT_EQ(m->learned().type(), dtype::f32);
    EXPECT_EQ(m->type(), type);
    EXPECT_EQ(m->rounded() != nullptr, type != dtype::f32);
    EXPECT_EQ(weights_digest(host, *m), weights_digest(host, *expected));
    for (const auto& [name, of] : {std::pair("card", m), std::pair("host", expected)}) {
      save(host, *of, of->weights, folder / to_string(type) / name);
    }
    const std::string saved = bytes_of(folder / to_string(type) / "host/model.safetensors");
    EXPECT_FALSE(saved.empty());
    EXPECT_EQ(bytes_of(folder / to_string(type) / "card/model.safetensors"), saved) << "as passes read them";
  }
}

TEST(CardModel, OfRandomWeightsHasThoseOfTheHosts) {
  thread_pool pool(1);
  context host{pool};
  test::emulated_context card;
  const model_ptr expected = random_model(gpt2, head_kind::scalar, 7);
  EXPECT_EQ(weights_digest(host, *random_model(gpt2, head_kind::scalar, 7, learning_on(card, dtype::bf16))),
            weights_digest(host, *expected));
}

/// A card that has no room for a whole arena of float32.
TEST(CardModel, ThatRanksShareNeedsRoomForTheirPartsAlone) {
  thread_pool pool(1);
  context host{pool};
  const model_ptr expected = load_model(gpt2, head_kind::language_model);
  const std::string digest = weights_digest(host, *expected);
  const int64_t arena_bytes = expected->weights.size() * size_of(dtype::f32);
  const auto small_card = [&] { return emulation::make_card({.bytes = arena_bytes, .page_bytes = 4096}); };
  test::as_local_ranks(2, [&](engine::world& here) {
    thread_pool own(1);
    const auto card = small_card();
    context there{own, card.get()};
    model_loading how{.type = dtype::bf16, .learns = true, .lies_on = &there, .name = "policy"};
    how.group = here.open("weights");
    how.master_group = here.open("masters");
    const model_ptr m = load_model(gpt2, head_kind::language_model, how);
    EXPECT_TRUE(m->weights.sharded() && m->masters->sharded());
    EXPECT_EQ(weights_digest(there, *m), digest);
  });
  const auto card = small_card();
  context there{pool, card.get()};
  try {
    load_model(gpt2, head_kind::language_model,
               {.type = dtype::bf16, .learns = true, .lies_on = &there, .name = "policy"});
    ADD_FAILURE() << "it has room for all";
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::out_of_memory);
    EXPECT_NE(std::string(failure.what()).find(" for policy masters are not there"), std::string::npos)
        << failure.what();
  }
}

TEST(CardModel, SegmentsInUseAloneAreInHostMemory) {
  thread_pool pool(1);
  context host{pool};
  test::emulated_context card;
  const model_ptr expected = load_model(gpt2, head_kind::language_model);
  const model_ptr m = load_model(gpt2, head_kind::language_model, learning_on(card, dtype::f32));
  engine::host_weights here(host, m->weights, m->net);
  const engine::weights_view view = here.view();
  const auto segments = m->net.segments();
  const auto is_there = [&](const engine::arena_range& segment) {
    return std::memcmp(view.data.as<float>() + segment.first, expected->weights.begin() + segment.first,
                       static_cast<size_t>(segment.size()) * sizeof(float)) == 0;
  };
  {
    const engine::held_segment first(host, view.access, 0);
    EXPECT_TRUE(is_there(segments[0]));
    EXPECT_FALSE(is_there(segments[1]));
    {
      const engine::held_segment again(host, view.access, 0);
      const engine::held_segment second(host, view.access, 1);
      EXPECT_TRUE(is_there(segments[1]));
    }
    EXPECT_TRUE(is_there(segments[0])) << "somebody still holds it";
    EXPECT_FALSE(is_there(segments[1]));
  }
  EXPECT_FALSE(is_there(segments[0]));
}

}  // namespace
}  // namespace troupe::actors
