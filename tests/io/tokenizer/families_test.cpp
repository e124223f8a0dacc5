// Tokenizers in the layouts of public model families against the reference library: tests/data/tokenizers/families.
#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::io {
namespace {

using nlohmann::json;
using id_list = std::vector<int32_t>;

const json& families() {
  static const json all = [] {
    const std::string path = test_data() + "/tokenizers/families/families.json";
    return parse_json(read_text_file(path), path);
  }();
  return all;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, family] : families().at("families").items()) {
    all.push_back(name);
  }
  return all;
}

/// The whole file: what is the same in all is left out of the data.
std::string tokenizer_json(json tokenizer) {
  tokenizer["version"] = "1.0";
  tokenizer["truncation"] = nullptr;
  tokenizer["padding"] = nullptr;
  tokenizer["model"]["type"] = "BPE";
  tokenizer["model"]["dropout"] = nullptr;
  tokenizer["model"]["continuing_subword_prefix"] = nullptr;
  tokenizer["model"]["end_of_word_suffix"] = nullptr;
  return tokenizer.dump();
}

std::unique_ptr<tokenizer> make(const json& tokenizer) {
  return make_tokenizer({.tokenizer_json = tokenizer_json(tokenizer), .tokenizer_config_json = "{}"}, "here");
}

class TokenizerFamiliesTest : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerFamiliesTest, EncodesAndDecodesAsTheReference) {
  const json& family = families().at("families").at(GetParam());
  const auto tokens = make(family.at("tokenizer"));
  const auto texts = families().at("texts").get<std::vector<std::string>>();
  ASSERT_EQ(family.at("cases").size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const json& expected = family.at("cases")[i];
    const auto ids = expected[0].get<id_list>();
    EXPECT_EQ(tokens->encode(texts[i], false), ids) << texts[i];
    id_list framed = tokens->encode(texts[i], true);
    framed.resize(std::min<size_t>(framed.size(), 2));
    EXPECT_EQ(framed, expected[1].get<id_list>()) << texts[i];
    EXPECT_EQ(tokens->decode(ids, false), expected[2].get<std::string>()) << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerFamiliesTest, testing::ValuesIn(names()), [](const auto& info) {
  std::string name = info.param;
  for (char& c : name) {
    c = c == '-' || c == '.' ? '_' : c;
  }
  return name;
});

TEST(TokenizerFamiliesTest, ThereAreThirtyOfThem) { EXPECT_GE(names().size(), 30U); }

/// What is said of a tokenizer.json in which `change` has changed GPT-2's.
template <class Change> std::string refusal(const Change& change) {
  json changed = families().at("families").at("gpt2").at("tokenizer");
  change(changed);
  try {
    make(changed);
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::unsupported) << failure.what();
    return failure.what();
  }
  return "nothing was refused";
}

TEST(TokenizerFamiliesTest, OtherModelsAreRefusedNamingFileKeyAndValue) {
  const auto with_model = [](const char* type) {
    return [type](json& file) { file["model"] = {{"type", type}, {"vocab", json::array()}}; };
  };
  // T5's, and BERT's.
  for (const char* type : {"Unigram", "WordPiece", "WordLevel"}) {
    const auto refused_file = [&] {
      json file = families().at("families").at("gpt2").at("tokenizer");
      with_model(type)(file);
      return file.dump();
    };
    try {
      make_tokenizer({.tokenizer_json = refused_file(), .tokenizer_config_json = "{}"}, "here");
      ADD_FAILURE() << type << " is accepted";
    } catch (const error& failure) {
      EXPECT_EQ(std::string(failure.what()),
                "here/tokenizer.json, model: type \"" + std::string(type) + "\" is not supported");
    }
  }
}

TEST(TokenizerFamiliesTest, OtherStepsAreRefusedNamingFileKeyAndValue) {
  const auto type = [](const char* name) { return json{{"type", name}}; };
  EXPECT_EQ(refusal([&](json& file) { file["normalizer"] = type("Precompiled"); }),
            "here/tokenizer.json, normalizer: type \"Precompiled\" is not supported");
  EXPECT_EQ(refusal([&](json& file) { file["pre_tokenizer"] = type("UnicodeScripts"); }),
            "here/tokenizer.json, pre_tokenizer: type \"UnicodeScripts\" is not supported");
  EXPECT_EQ(refusal([&](json& file) { file["decoder"] = type("WordPiece"); }),
            "here/tokenizer.json, decoder: type \"WordPiece\" is not supported");
  EXPECT_EQ(refusal([&](json& file) {
              file["pre_tokenizer"] = {
                  {"type", "Split"}, {"pattern", {{"Regex", R"((a)\1)"}}}, {"behavior", "Isolated"}, {"invert", false}};
            }),
            R"(here/tokenizer.json, pre_tokenizer: pattern "(a)\1": "\1" at byte 4 is not supported)");
}

}  // namespace
}  // namespace troupe::io
