// Files that are broken or need what there is not: one clear error each. And the components of
// tokenizer.json that no tokenizer in tests/data has.
#include "base/error.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace troupe::io {
namespace {

using nlohmann::json;
using id_list = std::vector<int32_t>;

std::string read_file(const std::string& name) {
  std::ifstream file(std::filesystem::path(test_data()) / "tokenizers" / name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A character-level tokenizer of three letters, to be changed by the tests.
json small_tokenizer() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false,
                      "rstrip": false, "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "_"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
              "continuing_subword_prefix": null, "end_of_word_suffix": null,
              "byte_fallback": false, "ignore_merges": false,
              "vocab": {"<s>": 0, "a": 1, "b": 2, "_": 3, "ab": 4, "_ab": 5, "<unk>": 6},
              "merges": ["a b", ["_", "ab"]]}})");
}

std::unique_ptr<tokenizer> make(const json& source, const std::string& config = "{}") {
  return make_tokenizer({.tokenizer_json = source.dump(), .tokenizer_config_json = config}, "here");
}

void expect_refused(const tokenizer_files& files, errc code, const std::string& part) {
  try {
    make_tokenizer(files, "here");
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const error& problem) {
    EXPECT_EQ(problem.code(), code) << problem.what();
    EXPECT_NE(std::string(problem.what()).find(part), std::string::npos) << problem.what() << "\n  lacks: " << part;
  }
}

void expect_json_refused(const json& source, errc code, const std::string& part) {
  expect_refused({.tokenizer_json = source.dump()}, code, part);
}

json with(const char* pointer, const json& value) {
  json source = small_tokenizer();
  source[json::json_pointer(pointer)] = value;
  return source;
}

TEST(TokenizerJsonTest, ReadsACharacterLevelModel) {
  const auto tokens = make(small_tokenizer());
  EXPECT_EQ(tokens->encode("_abab<s>x", false), (id_list{5, 4, 0}));  // x has no token: dropped
  EXPECT_EQ(tokens->decode(id_list{5, 4, 0}, false), "abab<s>");
  EXPECT_EQ(tokens->decode(id_list{5, 4, 0}, true), "abab");
  EXPECT_EQ(tokens->find("_ab"), 5);
  EXPECT_EQ(tokens->find("c"), std::nullopt);
}

TEST(TokenizerJsonTest, UnknownCharactersBecomeTheUnknownToken) {
  json source = with("/model/unk_token", "<unk>");
  EXPECT_EQ(make(source)->encode("axyb", false), (id_list{1, 6, 6, 2}));
  source["model"]["fuse_unk"] = true;
  EXPECT_EQ(make(source)->encode("axyb", false), (id_list{1, 6, 2}));
}

TEST(TokenizerJsonTest, FallsBackToBytes) {
  json source = with("/model/byte_fallback", true);
  source["model"]["vocab"]["<0xC3>"] = 7;
  source["model"]["vocab"]["<0xA9>"] = 8;
  const auto tokens = make(source);
  EXPECT_EQ(tokens->encode("a\xC3\xA9", false), (id_list{1, 7, 8}));
  EXPECT_EQ(tokens->decode(id_list{1, 7, 8, 1}, false), "a\xC3\xA9"
                                                        "a");
  // A run that is not UTF-8 as a whole is replaced as a whole.
  EXPECT_EQ(tokens->decode(id_list{7, 8, 7}, false), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(TokenizerJsonTest, AppliesLlamasNormalizer) {
  const auto tokens = make(with("/normalizer", json::parse(R"({"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "_"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]})")));
  EXPECT_EQ(tokens->encode("ab ab", false), (id_list{5, 5}));
  EXPECT_EQ(tokens->decode(id_list{5, 5}, false), "ab ab");
}

TEST(TokenizerJsonTest, AppliesMetaspace) {
  const auto tokens =
      make(with("/pre_tokenizer",
                json::parse(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": true})")));
  EXPECT_EQ(tokens->encode("ab ab<s>ab", false), (id_list{5, 5, 0, 4}));
}

TEST(TokenizerJsonTest, SplitsWithEachBehaviour) {
  json split = json::parse(R"({"type": "Split", "pattern": {"String": "_"}, "invert": false})");
  const auto encode = [&](const char* behaviour) {
    split["behavior"] = behaviour;
    return make(with("/pre_tokenizer", split))->encode("ab_ab__a", false);
  };
  EXPECT_EQ(encode("Removed"), (id_list{4, 4, 1}));
  EXPECT_EQ(encode("Isolated"), (id_list{4, 3, 4, 3, 3, 1}));
  EXPECT_EQ(encode("MergedWithPrevious"), (id_list{4, 3, 4, 3, 3, 1}));
  EXPECT_EQ(encode("MergedWithNext"), (id_list{4, 5, 3, 3, 1}));
  EXPECT_EQ(encode("Contiguous"), (id_list{4, 3, 4, 3, 3, 1}));
}

TEST(TokenizerJsonTest, ReadsTemplates) {
  const json source = with("/post_processor", json::parse(R"({"type": "Sequence", "processors": [
      {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false},
      {"type": "TemplateProcessing", "pair": [],
       "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "<unk>", "type_id": 0}}],
       "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                          "<unk>": {"id": "<unk>", "ids": [6], "tokens": ["<unk>"]}}}]})"));
  EXPECT_EQ(make(source)->encode("a", true), (id_list{0, 1, 6}));
  EXPECT_EQ(make(source)->encode("a", false), (id_list{1}));
  // The configuration has the last word.
  EXPECT_EQ(make(source, R"({"add_bos_token": false})")->encode("a", true), (id_list{1, 6}));
}

TEST(TokenizerJsonTest, AddedTokensTakeSpacesAndRespectWords) {
  json source = small_tokenizer();
  source["added_tokens"][0]["lstrip"] = true;
  source["added_tokens"][0]["rstrip"] = true;
  source["model"]["vocab"][" "] = 9;
  EXPECT_EQ(make(source)->encode("a \t<s>  b", false), (id_list{1, 0, 2}));
  source["added_tokens"][0]["lstrip"] = false;
  source["added_tokens"][0]["rstrip"] = false;
  source["added_tokens"].push_back(
      {{"id", 10}, {"content", "bb"}, {"special", false}, {"single_word", true}, {"normalized", true}});
  const auto tokens = make(source);
  EXPECT_EQ(tokens->encode("bb", false), (id_list{10}));
  EXPECT_EQ(tokens->encode("a bb", false), (id_list{1, 9, 10}));
  EXPECT_EQ(tokens->encode("abb", false), (id_list{4, 2}));
  EXPECT_FALSE(tokens->is_special(10));
  EXPECT_TRUE(tokens->is_special(0));
}

TEST(TokenizerJsonTest, LongWordsMergeAsShortOnes) {
  const auto tokens = make(small_tokenizer());
  for (const int64_t repeats : {1, 16, 17, 5000}) {
    std::string text;
    id_list expected;
    for (int64_t i = 0; i < repeats; ++i) {
      text += "_aba";
      expected.insert(expected.end(), {5, 1});
    }
    EXPECT_EQ(tokens->encode(text, false), expected);
  }
}

TEST(TokenizerJsonTest, RefusesUnknownComponentsByName) {
  const auto type = [](const char* name) { return json{{"type", name}}; };
  expect_json_refused(with("/normalizer", type("BertNormalizer")), errc::unsupported,
                      "here/tokenizer.json, normalizer: type \"BertNormalizer\"");
  expect_json_refused(with("/pre_tokenizer", type("UnicodeScripts")), errc::unsupported, "UnicodeScripts");
  expect_json_refused(with("/post_processor", type("Padding")), errc::unsupported, "Padding");
  expect_json_refused(with("/decoder", type("CTC")), errc::unsupported, "CTC");
  expect_json_refused(with("/model/type", "WordPiece"), errc::unsupported, "WordPiece");
  expect_json_refused(with("/model/dropout", 0.1), errc::unsupported, "dropout");
  expect_json_refused(with("/model/end_of_word_suffix", "</w>"), errc::unsupported, "end_of_word_suffix");
  expect_json_refused(with("/model/surprise", 1), errc::unsupported, "surprise");
  expect_json_refused(with("/surprise", 1), errc::unsupported, "surprise");
  expect_json_refused(with("/decoder/decoders", {type("Fuse"), type("ByteFallback")}), errc::unsupported,
                      "ByteFallback");
  json split = json::parse(R"({"type": "Split", "behavior": "Isolated", "invert": false})");
  split["pattern"] = {{"Regex", "(unclosed"}};
  expect_json_refused(with("/pre_tokenizer", split), errc::unsupported, "(unclosed");
  split["behavior"] = "Sideways";
  expect_json_refused(with("/pre_tokenizer", split), errc::unsupported, "Sideways");
}

TEST(TokenizerJsonTest, RefusesMalformedFiles) {
  const std::string whole = read_file("tiny-bpe-512-bloom/tokenizer.json");
  for (size_t size = 0; size < whole.size(); size += 97) {
    expect_refused({.tokenizer_json = whole.substr(0, size)}, errc::bad_file, "tokenizer.json");
  }
  expect_json_refused(json::array(), errc::bad_file, "object");
  expect_json_refused(with("/model", "BPE"), errc::bad_file, "model");
  expect_json_refused(with("/model/vocab", json::array()), errc::bad_file, "vocabulary");
  expect_json_refused(with("/model/vocab/a", "1"), errc::bad_file, "\"a\"");
  expect_json_refused(with("/model/vocab/a", -1), errc::bad_file, "\"a\"");
  expect_json_refused(with("/model/vocab/a", 4294967297), errc::bad_file, "4294967297");
  expect_json_refused(with("/model/vocab/a", 18446744073709551615u), errc::bad_file, "\"a\"");
  expect_json_refused(with("/model/vocab/a", 2), errc::bad_file, "id 2");
  expect_json_refused(with("/model/merges/0", "a b b"), errc::bad_file, "merge 0");
  expect_json_refused(with("/model/merges/0", "a c"), errc::bad_file, "\"c\"");
  expect_json_refused(with("/model/merges/1", {"b", "a"}), errc::bad_file, "\"ba\"");
  expect_json_refused(with("/model/merges", {{"a", 1}}), errc::bad_file, "merges");
  expect_json_refused(with("/model/fuse_unk", "yes"), errc::bad_file, "fuse_unk");
  expect_json_refused(with("/added_tokens/0/id", 1), errc::bad_file, "\"<s>\"");
  expect_json_refused(with("/added_tokens/0/content", ""), errc::bad_file, "content");
  expect_json_refused(with("/added_tokens/0/lstrip", 1), errc::bad_file, "lstrip");
  expect_json_refused(with("/decoder", nullptr), errc::bad_file, "decoder");
}

TEST(TokenizerJsonTest, ReadsTheFrameOfRoberta) {
  json frame = json::parse(R"({"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["<unk>", 6],
      "trim_offsets": true, "add_prefix_space": false})");
  EXPECT_EQ(make(with("/post_processor", frame))->encode("a", true), (id_list{0, 1, 6}));
  frame["sep"][1] = 5;
  expect_json_refused(with("/post_processor", frame), errc::bad_file, "\"sep\" is not a token");
}

TEST(TokenizerJsonTest, RefusesTemplatesWithoutTextOrToken) {
  json frame = json::parse(R"({"type": "TemplateProcessing", "pair": [], "single": [],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [77], "tokens": ["<s>"]}}})");
  expect_json_refused(with("/post_processor", frame), errc::bad_file, "without the text");
  frame["single"] = json::parse(R"([{"SpecialToken": {"id": "<s>", "type_id": 0}}])");
  expect_json_refused(with("/post_processor", frame), errc::bad_file, "77");
  frame["single"][0]["SpecialToken"]["id"] = "</s>";
  expect_json_refused(with("/post_processor", frame), errc::bad_file, "</s>");
}

TEST(TokenizerJsonTest, APatternWithoutEndIsStopped) {
  json split = json::parse(R"({"type": "Split", "behavior": "Isolated", "invert": false})");
  split["pattern"] = {{"Regex", "(a+)+$"}};
  const auto tokens = make(with("/pre_tokenizer", split));
  EXPECT_THROW(tokens->encode(std::string(200, 'a') + "b", false), error);
}

TEST(VocabMergesTest, RefusesMalformedFiles) {
  const std::string vocab = R"({"a": 0, "b": 1, "ab": 2})";
  expect_refused({.vocab_json = vocab}, errc::not_found, "without merges.txt");
  expect_refused({.merges_txt = "a b\n"}, errc::not_found, "without vocab.json");
  expect_refused({.vocab_json = vocab, .merges_txt = "#version: 0.2\na b\na\n"}, errc::bad_file, "merges.txt, line 3");
  expect_refused({.vocab_json = vocab, .merges_txt = "a  b\n"}, errc::bad_file, "line 1");
  expect_refused({.vocab_json = vocab, .merges_txt = "b a\n"}, errc::bad_file, "\"ba\"");
  expect_refused({.vocab_json = "[]", .merges_txt = ""}, errc::bad_file, "vocab.json");
  expect_refused(
      {.vocab_json = vocab, .merges_txt = "a b", .tokenizer_config_json = R"({"tokenizer_class": "T5Tokenizer"})"},
      errc::unsupported, "T5Tokenizer");
  expect_refused({.vocab_json = vocab,
                  .merges_txt = "a b",
                  .tokenizer_config_json = R"({"add_bos_token": true, "bos_token": null})"},
                 errc::bad_file, "add_bos_token");
}

TEST(SentencePieceTest, RefusesMalformedFiles) {
  const std::string whole = read_file("tiny-sp-512/tokenizer.model");
  expect_refused({.tokenizer_model = ""}, errc::bad_file, "tokenizer.model");
  expect_refused({.tokenizer_model = "not a model"}, errc::bad_file, "tokenizer.model");
  expect_refused({.tokenizer_model = whole.substr(0, whole.size() / 2)}, errc::bad_file, "tokenizer.model");
}

TEST(TokenizerTest, AFolderWithoutATokenizerSaysWhatIsNeeded) {
  expect_refused({}, errc::not_found, "tokenizer.model is needed");
  EXPECT_THROW(load_tokenizer(std::filesystem::path(test_data()) / "nowhere"), error);
}

TEST(TokenizerTest, TextThatIsNotUtf8IsRefused) {
  const auto tokens = make(small_tokenizer());
  EXPECT_THROW(tokens->encode("ab\xFF", false), error);
}

TEST(TokenizerTest, TheDigestTellsFilesApart) {
  const uint64_t digest = make(small_tokenizer())->digest();
  EXPECT_EQ(make(small_tokenizer())->digest(), digest);
  EXPECT_NE(make(with("/model/fuse_unk", true))->digest(), digest);
  EXPECT_NE(make(small_tokenizer(), "{ }")->digest(), digest);
}

}  // namespace
}  // namespace troupe::io
