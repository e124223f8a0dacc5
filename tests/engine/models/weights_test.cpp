#include "base/error.hpp"
#include "engine/arena/shards.hpp"
#include "engine/models/weights.hpp"
#include "support/model_fixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace troupe::engine {
namespace {

using test::load_model;
using test::loaded_model;

/// A file in memory that a test can spoil.
struct memory_file {
  std::map<std::string, host_array> arrays;

  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [name, array] : arrays) {
      out.push_back(name);
    }
    return out;
  }
  array_finder finder() const {
    return [this](const std::string& name) -> std::optional<host_array> {
      const auto found = arrays.find(name);
      return found == arrays.end() ? std::nullopt : std::optional(found->second);
    };
  }
  void add(host_array array) { arrays[array.name] = std::move(array); }
  void rename(const std::string& from, const std::string& to) {
    host_array array = arrays.at(from);
    arrays.erase(from);
    array.name = to;
    add(std::move(array));
  }
};

memory_file saved(const transformer& net, const float* weights) {
  memory_file file;
  save_weights(net, weights, [&](host_array array) { file.add(std::move(array)); });
  return file;
}

aligned_buffer<float> load(const transformer& net, const memory_file& file, bool new_scalar_head = false) {
  aligned_buffer<float> weights(net.layout().arena_size());
  load_weights(net, file.names(), file.finder(), weights.data(), new_scalar_head);
  return weights;
}

/// The error of loading the file, which must fail.
error failure(const transformer& net, const memory_file& file) {
  try {
    load(net, file);
  } catch (const error& e) {
    return e;
  }
  ADD_FAILURE() << "the file was accepted";
  return {errc::bad_argument, "accepted"};
}

void expect_text(const error& e, const std::string& part) {
  EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
}

host_array zeros(const std::string& name, std::vector<int64_t> shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) {
    count *= extent;
  }
  return make_host_array(name, std::move(shape), std::vector<float>(static_cast<size_t>(count)));
}

class WeightFiles : public testing::TestWithParam<const char*> {};

TEST_P(WeightFiles, ComeBackBitForBit) {
  const loaded_model model = load_model(std::string("tiny/") + GetParam());
  const memory_file file = saved(model.net, model.weights.data());
  const aligned_buffer<float> again = load(model.net, file);
  EXPECT_TRUE(std::equal(again.begin(), again.end(), model.weights.begin(), model.weights.end()));
}

TEST_P(WeightFiles, AreSavedWithTheValuesAndShapesTheyWereReadWith) {
  const loaded_model model = load_model(std::string("tiny/") + GetParam());
  size_t compared = 0;
  for (const auto& [name, array] : saved(model.net, model.weights.data()).arrays) {
    const std::string prefixless = name.substr(name.find('.') + 1);
    auto original = model.folder.find(name);
    original = original ? original : model.folder.find(prefixless);
    original = original || name != "embed_out.weight" ? original : model.folder.find("lm_head.weight");
    ASSERT_TRUE(original.has_value()) << name;
    EXPECT_EQ(array.shape, original->shape) << name;
    EXPECT_EQ(to_float32(array), to_float32(*original)) << name;
    ++compared;
  }
  const std::vector<std::string> names = model.folder.tensor_names();
  EXPECT_EQ(compared, std::count_if(names.begin(), names.end(), [](const std::string& name) {
              return !name.ends_with(".attn.bias") && name != "v_head.weight";
            }));
}

TEST_P(WeightFiles, OfARanksShareAreReadWithoutTheRest) {
  const loaded_model m = load_model(std::string("tiny/") + GetParam());
  const memory_file file = saved(m.net, m.weights.data());
  constexpr int ranks = 3;
  const shard_plan plan(m.net.layout(), m.net.segments(), ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    const std::vector<parameter_rows> mine = plan.rows(rank);
    aligned_buffer<float> weights(m.net.layout().arena_size());
    load_weights(m.net, file.names(), file.finder(), weights.data(), false, [&](const parameter& p) {
      const auto found =
          std::find_if(mine.begin(), mine.end(), [&](const parameter_rows& one) { return one.of == &p; });
      return found == mine.end() ? chosen_rows{} : chosen_rows{found->first_row, found->last_row, found->arena_offset};
    });
    std::vector<float> expected(static_cast<size_t>(m.net.layout().arena_size()));
    for (int64_t s = 0; s < plan.segments(); ++s) {
      const arena_range part = plan.part(s, rank);
      std::copy(m.weights.data() + part.first, m.weights.data() + part.last, expected.data() + part.first);
    }
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), weights.data())) << "rank " << rank;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, WeightFiles,
                         testing::Values("opt", "opt_postln", "gpt2", "llama", "llama3", "qwen2", "gpt_neox", "bloom"));

TEST(LoadWeightsTest, NamesAllMistakesAtOnce) {
  const loaded_model model = load_model("tiny/llama");
  memory_file file = saved(model.net, model.weights.data());
  file.arrays.erase("model.norm.weight");
  file.arrays.erase("model.layers.1.self_attn.k_proj.weight");
  file.add(zeros("model.layers.0.mlp.up_proj.weight", {128, 63}));
  file.add(zeros("model.layers.2.mlp.up_proj.weight", {128, 64}));
  const error e = failure(model.net, file);
  EXPECT_EQ(e.code(), errc::not_found);
  expect_text(e, "4 mistakes");
  expect_text(e, "model.norm.weight is missing (shape [64])");
  expect_text(e, "model.layers.1.self_attn.k_proj.weight is missing");
  expect_text(e, "model.layers.0.mlp.up_proj.weight has shape [128, 63], the model needs [128, 64]");
  expect_text(e, "model.layers.2.mlp.up_proj.weight is not part of the model");
}

TEST(LoadWeightsTest, TellsTheKindOfMistake) {
  const loaded_model model = load_model("tiny/llama");
  memory_file misshapen = saved(model.net, model.weights.data());
  misshapen.add(zeros("model.norm.weight", {1, 64}));
  EXPECT_EQ(failure(model.net, misshapen).code(), errc::shape_mismatch);
  memory_file unknown = saved(model.net, model.weights.data());
  unknown.add(zeros("model.layers.0.self_attn.q_norm.weight", {16}));
  EXPECT_EQ(failure(model.net, unknown).code(), errc::bad_file);
}

TEST(LoadWeightsTest, RefusesIntegers) {
  const loaded_model model = load_model("tiny/llama");
  memory_file file = saved(model.net, model.weights.data());
  file.arrays.at("model.norm.weight").type = dtype::i32;
  expect_text(failure(model.net, file), "model.norm.weight has type i32");
}

TEST(LoadWeightsTest, TakesNamesWithoutThePrefixButOnlyOfTheWholeFile) {
  const loaded_model model = load_model("tiny/llama");
  memory_file file = saved(model.net, model.weights.data());
  for (const std::string& name : file.names()) {
    if (name.starts_with("model.")) {
      file.rename(name, name.substr(6));
    }
  }
  const aligned_buffer<float> weights = load(model.net, file);
  EXPECT_TRUE(std::equal(weights.begin(), weights.end(), model.weights.begin()));
  file.rename("norm.weight", "model.norm.weight");
  expect_text(failure(model.net, file), "embed_tokens.weight is not part of the model");
}

TEST(LoadWeightsTest, LeavesBuffersAside) {
  const loaded_model neox = load_model("tiny/gpt_neox");
  memory_file file = saved(neox.net, neox.weights.data());
  file.add(zeros("gpt_neox.layers.0.attention.bias", {1, 1, 128, 128}));
  file.add(zeros("gpt_neox.layers.0.attention.masked_bias", {}));
  file.add(zeros("gpt_neox.layers.0.attention.rotary_emb.inv_freq", {2}));
  EXPECT_NO_THROW(load(neox.net, file));
  const loaded_model llama = load_model("tiny/llama");
  memory_file other = saved(llama.net, llama.weights.data());
  other.add(zeros("model.layers.1.self_attn.rotary_emb.inv_freq", {8}));
  EXPECT_NO_THROW(load(llama.net, other));
  other.add(zeros("model.layers.0.attention.masked_bias", {}));
  expect_text(failure(llama.net, other), "masked_bias");
}

TEST(LoadWeightsTest, TakesARedundantTiedHeadButNotADifferentOne) {
  const loaded_model model = load_model("tiny/qwen2");
  memory_file file = saved(model.net, model.weights.data());
  EXPECT_FALSE(file.arrays.contains("lm_head.weight"));
  host_array head = file.arrays.at("model.embed_tokens.weight");
  head.name = "lm_head.weight";
  file.add(head);
  EXPECT_NO_THROW(load(model.net, file));
  file.add(zeros("lm_head.weight", {512, 64}));
  expect_text(failure(model.net, file), "tie_word_embeddings");
}

TEST(LoadWeightsTest, ReadsAScalarHeadUnderEitherName) {
  const loaded_model model = load_model("tiny/llama", true);  // from v_head.safetensors
  memory_file file = saved(model.net, model.weights.data());
  ASSERT_TRUE(file.arrays.contains("score.weight"));
  EXPECT_EQ(file.arrays.at("score.weight").shape, (std::vector<int64_t>{1, 64}));
  EXPECT_FALSE(file.arrays.contains("lm_head.weight"));
  const aligned_buffer<float> weights = load(model.net, file);
  EXPECT_TRUE(std::equal(weights.begin(), weights.end(), model.weights.begin()));
}

TEST(LoadWeightsTest, StartsANewScalarHeadAtZeroOnlyWhereAsked) {
  const loaded_model base = load_model("tiny/llama");
  model_description d = base.description();
  d.scalar_head = true;
  const transformer net(d);
  const memory_file file = saved(base.net, base.weights.data());  // has lm_head.weight
  expect_text(failure(net, file), "score.weight is missing");
  const aligned_buffer<float> weights = load(net, file, true);
  const std::vector<float> score = read_parameter(net.layout().at("score.weight"), weights.data());
  EXPECT_TRUE(std::all_of(score.begin(), score.end(), [](float v) { return v == 0; }));
  EXPECT_EQ(read_parameter(net.layout().at("final_norm.weight"), weights.data()),
            read_parameter(base.net.layout().at("final_norm.weight"), base.weights.data()));
}

TEST(InitialiseWeightsTest, DependsOnTheSeedAlone) {
  const loaded_model model = load_model("tiny/bloom");
  aligned_buffer<float> a(model.weights.size());
  aligned_buffer<float> b(model.weights.size());
  aligned_buffer<float> c(model.weights.size());
  initialise_weights(model.net, 1, 0.02, a.data());
  initialise_weights(model.net, 1, 0.02, b.data());
  initialise_weights(model.net, 2, 0.02, c.data());
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
  EXPECT_FALSE(std::equal(a.begin(), a.end(), c.begin()));
}

TEST(InitialiseWeightsTest, HasTheAskedSpreadNormsOfOneAndNoBias) {
  const loaded_model model = load_model("tiny/bloom");
  aligned_buffer<float> weights(model.weights.size());
  initialise_weights(model.net, 1, 0.02, weights.data());
  const auto values = [&](const char* name) { return read_parameter(model.net.layout().at(name), weights.data()); };
  double square = 0;
  const std::vector<float> table = values("embedding.token.weight");
  for (const float v : table) {
    square += static_cast<double>(v) * static_cast<double>(v);
  }
  EXPECT_NEAR(std::sqrt(square / static_cast<double>(table.size())), 0.02, 0.0005);
  EXPECT_EQ(values("final_norm.weight"), std::vector<float>(64, 1.0F));
  EXPECT_EQ(values("layers.1.attention.qkv.bias"), std::vector<float>(192, 0.0F));
}

}  // namespace
}  // namespace troupe::engine
