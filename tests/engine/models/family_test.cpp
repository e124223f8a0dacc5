/// Every family can be read, and saved as it was read. A family that is added is tested here without a word more.
#include "base/error.hpp"
#include "engine/models/family.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/models/tensor_names.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace troupe::engine {
namespace {

/// A config.json with which all families can make a small model.
key_map small_config(const model_family& family) {
  key_map config{{"model_type", std::string(family.type)}};
  for (const char* key : {"hidden_size", "n_embd"}) {
    config[key] = int64_t{32};
  }
  for (const char* key : {"num_hidden_layers", "n_layer", "num_attention_heads", "n_head"}) {
    config[key] = int64_t{2};
  }
  for (const char* key : {"intermediate_size", "ffn_dim", "max_position_embeddings", "n_positions", "vocab_size"}) {
    config[key] = int64_t{64};
  }
  return config;
}

class EveryFamily : public testing::TestWithParam<const model_family*> {
protected:
  const model_family& family_ = *GetParam();
};

TEST_P(EveryFamily, IsFoundByItsTypeAndNamesTheClassesThatItIsSavedAs) {
  EXPECT_EQ(&find_family(family_.type), &family_);
  EXPECT_EQ(describe(small_config(family_)).family, &family_);
  EXPECT_TRUE(family_.saved_as.scalar_head.ends_with("ForSequenceClassification"));
  EXPECT_FALSE(family_.saved_as.language_model.empty());
  EXPECT_NE(family_.saved_as.language_model, family_.saved_as.scalar_head);
}

TEST_P(EveryFamily, HasANameForEveryParameterOfBothHeads) {
  for (const bool scalar_head : {false, true}) {
    model_description d = describe(small_config(family_));
    d.scalar_head = scalar_head;
    const inference_model net(d);
    std::set<std::string> names;
    for (const file_tensor& tensor : file_tensors(net)) {
      EXPECT_TRUE(names.insert(tensor.name).second) << tensor.name;
      EXPECT_FALSE(is_parameterless_buffer(family_, tensor.name)) << tensor.name;
    }
    EXPECT_EQ(names.contains("score.weight"), scalar_head);
  }
}

/// GoogleTest allows letters, digits and _; a type may have a hyphen.
std::string test_name_of(const model_family& family) {
  std::string name(family.type);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamily, testing::ValuesIn(all_families().begin(), all_families().end()),
                         [](const auto& tested) { return test_name_of(*tested.param); });

/// The rest of the text that a call fails with.
template <class Call> error failure_of(const Call& call) {
  try {
    call();
  } catch (const error& e) {
    return e;
  }
  return error(errc::bad_argument, "nothing was refused");
}

TEST(FamilyTest, AnUnknownTypeIsToldWhatThereIs) {
  const error e = failure_of([] { find_family("mamba"); });
  EXPECT_EQ(e.code(), errc::unsupported);
  EXPECT_NE(std::string(e.what()).find("mamba"), std::string::npos);
  EXPECT_NE(std::string(e.what()).find("qwen2"), std::string::npos);
}

TEST(FamilyTest, AParameterWithoutANameIsRefusedBeforeAnythingIsTrained) {
  model_family forgetful = find_family("llama");
  std::erase_if(forgetful.tensors.in_block, [](const module_name& m) { return m.part == module_part::value; });
  model_description d = describe(small_config(find_family("llama")));
  d.family = &forgetful;
  const inference_model net(d);
  const error e = failure_of([&net] { file_tensors(net); });
  EXPECT_EQ(e.code(), errc::unsupported);
  EXPECT_NE(std::string(e.what()).find("layers.0.attention.qkv.weight"), std::string::npos) << e.what();
}

TEST(FamilyTest, AModelThatIsFromNoFileHasNoNames) {
  model_description d = describe(small_config(find_family("llama")));
  d.family = nullptr;
  const inference_model net(d);
  EXPECT_EQ(failure_of([&net] { file_tensors(net); }).code(), errc::bad_argument);
}

}  // namespace
}  // namespace troupe::engine
