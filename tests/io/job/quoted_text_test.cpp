// Text of a job file: as it stands, or in quotes where it would not be read back.
#include "io/job/options.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

TEST(QuotedText, PlainTextStandsAsItIs) {
  EXPECT_EQ(quote_text("runs/a b"), "runs/a b");
  EXPECT_EQ(quote_text(""), "");
}

TEST(QuotedText, WhatTheReaderWouldTakeForSomethingElseIsQuoted) {
  EXPECT_EQ(quote_text(" a"), "\" a\"");
  EXPECT_EQ(quote_text("a ; b"), "\"a ; b\"");
  EXPECT_EQ(quote_text("a#b"), R"("a\x23b")");
  EXPECT_EQ(quote_text("\"a\""), R"("\"a\"")");
  EXPECT_EQ(quote_text("\n\t\r\\"), R"("\n\t\r\\")");
}

TEST(QuotedText, ComesBackAsItWas) {
  for (const std::string text :
       {"plain", "", " spaces ", "\"quoted\"", "a#b;c", "\n\t\r\x01\x7f", "back\\slash", "\u00e9"}) {
    std::string read;
    EXPECT_TRUE(unquote_text(quote_text(text), read)) << text;
    EXPECT_EQ(read, text);
  }
}

TEST(QuotedText, WhatHasNoMeaningIsRefused) {
  for (const char* written : {R"("open)", R"(")", R"("a"b")", R"("\q")", R"("\x4")", R"("\xzz")", R"("\x00")",
                              R"("ends in \")", R"("\xff")"}) {
    std::string read;
    EXPECT_FALSE(unquote_text(written, read)) << written;
  }
}

}  // namespace
}  // namespace troupe::io
