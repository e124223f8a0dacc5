// Decoding id by id, against decoding at once and against the reference library.
#include "base/random.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "io/tokenizer/utf8.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::io {
namespace {

std::filesystem::path folder_of(const std::string& name) {
  return std::filesystem::path(test_data()) / "tokenizers" / name;
}

std::vector<int32_t> random_ids(uint64_t stream, int64_t vocabulary_size) {
  const random_key key{7, stream, random_purpose::test};
  std::vector<int32_t> ids(static_cast<size_t>(random_uniform(key, 0) * 40));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(random_uniform(key, i + 1) * static_cast<double>(vocabulary_size + 2)) - 1;
  }
  return ids;
}

class StreamDecoderTest : public testing::TestWithParam<const char*> {};

TEST_P(StreamDecoderTest, PiecesAreWholeCharactersAndJoinToTheDecodedText) {
  const auto tokens = load_tokenizer(folder_of(GetParam()));
  for (const bool skip_special : {false, true}) {
    const auto decoder = tokens->make_stream_decoder(skip_special);
    int64_t pieces = 0;
    for (uint64_t stream = 0; stream < 300; ++stream) {
      const auto ids = random_ids(stream, tokens->vocabulary_size());
      std::string joined;
      for (const int32_t id : ids) {
        const std::string piece = decoder->push(id);
        EXPECT_FALSE(find_invalid_utf8(piece).has_value());
        pieces += piece.empty() ? 0 : 1;
        joined += piece;
      }
      joined += decoder->finish();
      EXPECT_EQ(joined, tokens->decode(ids, skip_special));
    }
    EXPECT_GT(pieces, 2000);  // text comes while it is made, not all at the end
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, StreamDecoderTest,
                         testing::Values("tiny-bpe-512-gpt2", "tiny-bpe-512-chat", "tiny-sp-512", "sp-bpe-4k"),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = info.param;
                           for (char& c : name) {
                             c = c == '-' ? '_' : c;
                           }
                           return name;
                         });

TEST(StreamDecoderTest, HoldsACharacterBackUntilItIsWhole) {
  const auto tokens = load_tokenizer(folder_of("tiny-bpe-512-gpt2"));
  const auto decoder = tokens->make_stream_decoder(false);
  const auto ids = tokens->encode("\xF0\x9F\x98\x80", false);  // four tokens of a byte each
  ASSERT_EQ(ids.size(), 4u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(decoder->push(ids[i]), "");
  }
  EXPECT_EQ(decoder->push(ids[3]), "\xF0\x9F\x98\x80");
  EXPECT_EQ(decoder->push(ids[0]), "");
  EXPECT_EQ(decoder->finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder->finish(), "");
}

TEST(StreamDecoderTest, IdsWithoutATokenAreNothing) {
  const auto tokens = load_tokenizer(folder_of("tiny-bpe-512-gpt2"));
  EXPECT_EQ(tokens->decode(std::vector<int32_t>{-1, 512, INT32_MAX, INT32_MIN}, false), "");
}

// The library itself is the oracle of sentencepiece_tokenizer's own decoding.
TEST(SentencePieceTest, DecodesRandomIdsAsTheLibrary) {
  for (const char* name : {"tiny-sp-512", "sp-bpe-4k", "stories260k"}) {
    sentencepiece::SentencePieceProcessor library;
    ASSERT_TRUE(library.Load((folder_of(name) / "tokenizer.model").string()).ok());
    const auto tokens = load_tokenizer(folder_of(name));
    for (uint64_t stream = 0; stream < 500; ++stream) {
      std::vector<int32_t> ids;
      for (const int32_t id : random_ids(stream, tokens->vocabulary_size())) {
        if (id >= 0 && id < tokens->vocabulary_size()) {
          ids.push_back(stream % 2 == 0 ? id : id % 300);  // odd ones: mostly bytes
        }
      }
      EXPECT_EQ(tokens->decode(ids, false), library.DecodeIds(ids)) << name << " " << stream;
    }
  }
}

TEST(Utf8StreamTest, ReplacesMaximalSubparts) {
  const auto decode = [](std::string_view bytes, utf8_stream::replacement rule) {
    utf8_stream stream(rule);
    std::string text;
    for (const char c : bytes) {
      text += stream.push(std::string_view(&c, 1));
    }
    return text + stream.finish();
  };
  const std::string r = "\xEF\xBF\xBD";
  using enum utf8_stream::replacement;
  EXPECT_EQ(decode("\xE2\x82"
                   "A",
                   per_subpart),
            r + "A");
  EXPECT_EQ(decode("\xE2\x82"
                   "A",
                   per_byte),
            r + r + "A");
  EXPECT_EQ(decode("\xF0\x9F\x98", per_subpart), r);
  EXPECT_EQ(decode("\xED\xA0\x80", per_subpart), r + r + r);  // a surrogate starts no character
  EXPECT_EQ(decode("\xC0\xAF", per_subpart), r + r);          // overlong
  EXPECT_EQ(decode("\xF4\x90\x80\x80", per_subpart), r + r + r + r);
  EXPECT_EQ(decode("\x80"
                   "a\xC3\xA9\xFF",
                   per_subpart),
            r + "a\xC3\xA9" + r);
}

}  // namespace
}  // namespace troupe::io
