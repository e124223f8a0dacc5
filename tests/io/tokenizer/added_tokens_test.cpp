// Tokens that the files beside the vocabulary add, for each kind of tokenizer: where they are listed, their ids, what
// they do to a text.
#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/tokenizer/added_tokens.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {
namespace {

using id_list = std::vector<int32_t>;

std::string read(const std::string& name) { return read_text_file(test_data() + "/tokenizers/" + name); }

tokenizer_files gpt2_files() {
  return {.vocab_json = read("tiny-bpe-512-gpt2/vocab.json"),
          .merges_txt = read("tiny-bpe-512-gpt2/merges.txt"),
          .tokenizer_config_json = read("tiny-bpe-512-gpt2/tokenizer_config.json")};
}

tokenizer_files sentencepiece_files(const std::string& more_keys = "") {
  return {.tokenizer_model = read("tiny-sp-512/tokenizer.model"),
          .tokenizer_config_json = R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
                                       "unk_token": "<unk>")" +
                                   more_keys + "}"};
}

std::unique_ptr<tokenizer> make(const tokenizer_files& files) { return make_tokenizer(files, "here"); }

id_list joined(std::initializer_list<id_list> parts) {
  id_list all;
  for (const id_list& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(AddedTokensTest, AddedTokensJsonGoesBeyondTheVocabulary) {
  for (tokenizer_files files : {gpt2_files(), sentencepiece_files()}) {
    const auto plain = make(files);
    files.added_tokens_json = R"({"[PAD]": 512, "<sep>": 514})";
    files.special_tokens_map_json = R"({"pad_token": "[PAD]"})";
    const auto tokens = make(files);
    EXPECT_EQ(tokens->vocabulary_size(), 515);
    EXPECT_EQ(tokens->encode("Hi [PAD]", false), joined({plain->encode("Hi ", false), {512}}));
    EXPECT_EQ(tokens->encode("<sep>", false), id_list{514});
    EXPECT_EQ(tokens->pad_id(), 512);
    EXPECT_EQ(tokens->find("[PAD]"), 512);
    EXPECT_TRUE(tokens->is_special(512));   // the map names it
    EXPECT_FALSE(tokens->is_special(514));  // nobody does
    EXPECT_FALSE(tokens->is_special(513));
    EXPECT_EQ(tokens->decode(id_list{512, 513, 514}, false), "[PAD]<sep>");
    EXPECT_EQ(tokens->decode(id_list{512, 513, 514}, true), "<sep>");
    EXPECT_NE(tokens->digest(), plain->digest());
  }
}

TEST(AddedTokensTest, ANamedTokenThatNobodyHasGetsTheNextId) {
  for (tokenizer_files files : {gpt2_files(), sentencepiece_files()}) {
    files.special_tokens_map_json =
        R"({"pad_token": "[PAD]", "mask_token": {"content": "[MASK]", "lstrip": true, "rstrip": false,
            "normalized": false, "single_word": false}, "additional_special_tokens": ["<a>", "<b>"]})";
    const auto tokens = make(files);
    EXPECT_EQ(tokens->find("[PAD]"), 512);
    EXPECT_EQ(tokens->find("[MASK]"), 513);
    EXPECT_EQ(tokens->find("<a>"), 514);
    EXPECT_EQ(tokens->find("<b>"), 515);
    EXPECT_EQ(tokens->vocabulary_size(), 516);
    EXPECT_EQ(tokens->encode("<a> \t [MASK]<b>", false), (id_list{514, 513, 515}));  // its lstrip
  }
}

TEST(AddedTokensTest, TheDecoderHasTheFirstWord) {
  tokenizer_files files = sentencepiece_files(
      R"(, "added_tokens_decoder": {"512": {"content": "<|im_end|>", "special": true}}, "pad_token": "<|im_end|>")");
  files.added_tokens_json = R"({"[PAD]": 512})";
  files.special_tokens_map_json = R"({"pad_token": "[PAD]"})";
  const auto tokens = make(files);
  EXPECT_EQ(tokens->pad_id(), 512);
  EXPECT_EQ(tokens->find("[PAD]"), std::nullopt);
  EXPECT_EQ(tokens->decode(id_list{512}, false), "<|im_end|>");
}

TEST(AddedTokensTest, SentencePieceTextIsEncodedPartByPart) {
  const auto plain = make(sentencepiece_files());
  const char* decoder = R"(, "added_tokens_decoder": {"512": {"content": "<|im_start|>", "special": true},
                                                      "2": {"content": "</s>", "special": true}})";
  const auto legacy = make(sentencepiece_files(decoder));
  const std::string text = "one</s>two<|im_start|>";
  EXPECT_EQ(legacy->encode(text, false),
            joined({plain->encode("one", false), {2}, plain->encode("two", false), {512}}));
  EXPECT_EQ(legacy->decode(legacy->encode(text, false), false), text);
  EXPECT_EQ(legacy->decode(legacy->encode(text, false), true), "one two");  // as of joined pieces

  const auto modern = make(sentencepiece_files(std::string(decoder) + R"(, "legacy": false)"));
  const id_list ids = modern->encode(text, false);
  EXPECT_NE(ids, legacy->encode(text, false));
  EXPECT_EQ(modern->decode(ids, false), text);  // no space mark after </s>, so none is dropped
  EXPECT_EQ(modern->encode("two", false), plain->encode("two", false));
}

TEST(AddedTokensTest, AControlPieceThatNoFileListsStaysText) {
  const auto named = make(sentencepiece_files());
  EXPECT_GT(named->encode("</s>", false).size(), 1U);
  tokenizer_files files = sentencepiece_files();
  files.special_tokens_map_json = R"({"eos_token": "</s>"})";
  EXPECT_EQ(make(files)->encode("</s>", false), id_list{2});
  EXPECT_EQ(named->eos_id(), 2);
  EXPECT_EQ(named->spelling_of(2), "</s>");  // though it decodes to nothing
}

TEST(AddedTokensTest, AWordEndsWhereUnicodeSays) {
  added_token_finder finder;
  finder.add({.id = 7, .content = "the", .single_word = true}, "the");
  const auto found = [&](std::string_view text) {
    bool any = false;
    finder.cut(text, [&](std::string_view, std::optional<int32_t> id) { any = any || id; });
    return any;
  };
  for (const char* text : {"the", "the.", "(the)", "\u00A0the", "the\u2581"}) {
    EXPECT_TRUE(found(text)) << text;
  }
  for (const char* text : {"them", "the_", "the1", "the\u0301", "the\u200D", "\u24D0the", "the\u2160"}) {
    EXPECT_FALSE(found(text)) << text;
  }
}

TEST(AddedTokensTest, OfTokensSpeltAlikeTheFirstIsFound) {
  added_token_finder finder;
  finder.add({.id = 7, .content = "a"}, "x");
  finder.add({.id = 8, .content = "b"}, "x");
  std::vector<int32_t> ids;
  finder.cut("x", [&](std::string_view, std::optional<int32_t> id) { ids.push_back(id.value_or(-1)); });
  EXPECT_EQ(ids, id_list{7});
}

TEST(AddedTokensTest, ContradictionsAreRefused) {
  const auto refusal = [](const tokenizer_files& files) -> std::string {
    try {
      make(files);
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), errc::bad_file);
      return failure.what();
    }
    return "nothing was refused";
  };
  for (tokenizer_files files : {gpt2_files(), sentencepiece_files()}) {
    files.added_tokens_json = R"({"the": 511, "</s>": 700})";
    EXPECT_NE(refusal(files), "nothing was refused");
    files.added_tokens_json = R"({"[NEW]": 7})";
    EXPECT_NE(refusal(files).find("[NEW]"), std::string::npos) << refusal(files);
    files.added_tokens_json = R"({"[NEW]": 4194304})";
    EXPECT_NE(refusal(files).find("added_tokens.json: the id of \"[NEW]\""), std::string::npos) << refusal(files);
    files.added_tokens_json = R"({"[NEW]": "7"})";
    EXPECT_NE(refusal(files).find("is not a number"), std::string::npos) << refusal(files);
  }
}

}  // namespace
}  // namespace troupe::io
