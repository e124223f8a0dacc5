#include "base/digest.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe {
namespace {

TEST(DigestTest, NothingHasThePublishedValueOfXxh3) { EXPECT_EQ(digest(std::string_view()), 0x2d06800538d394c2ULL); }

TEST(DigestTest, PiecesGiveTheDigestOfTheWhole) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += static_cast<char>(i * 31);
  }
  const std::string_view whole = text;
  for (const size_t cut : {0, 1, 239, 240, 241, 999, 1000}) {
    digest_stream stream;
    stream.update(whole.substr(0, cut));
    stream.update(std::as_bytes(std::span(whole.substr(cut))));
    EXPECT_EQ(stream.value(), digest(whole)) << cut;
  }
}

TEST(DigestTest, OneBitChangesIt) {
  std::string text(500, 'a');
  const uint64_t before = digest(text);
  text[250] ^= 1;
  EXPECT_NE(digest(text), before);
}

TEST(DigestTest, TextHasSixteenDigits) { EXPECT_EQ(digest_text(0xabc), "0000000000000abc"); }

}  // namespace
}  // namespace troupe
