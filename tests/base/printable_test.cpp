#include "base/printable.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(Printable, OrdinaryTextStaysAsItIs) {
  for (const std::string text :
       {"", "reward 0.5", "two\nlines\tand a tab", "Gr\u00fc\u00dfe \u65e5\u672c \U0001F600"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, WhatATerminalTakesForACommandIsSpelledOut) {
  EXPECT_EQ(printable("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(printable("\x1b]0;title\x07"), "\\x1b]0;title\\x07");
  EXPECT_EQ(printable("over\rwritten\b"), "over\\x0dwritten\\x08");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("\u009b31m"), "\\xc2\\x9b31m") << "C1's own way to begin a sequence";
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Printable, BytesThatAreNotUtf8AreSpelledOut) {
  EXPECT_EQ(printable("\x9b"), "\\x9b") << "an 8-bit terminal's way to begin a sequence";
  EXPECT_EQ(printable("\xc3("), "\\xc3(") << "cut";
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82");
  EXPECT_EQ(printable("\xc0\x9b"), "\\xc0\\x9b") << "overlong";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond Unicode";
}

TEST(Printable, OneLineHasNoControlCharacters) {
  EXPECT_TRUE(is_one_line("/scratch/\u00fcser/run 1"));
  EXPECT_TRUE(is_one_line("name in latin-1 \xfc"));
  for (const std::string text : {"a\nb", "a\rb", "a\tb", "\x1b[0m", "a\x7f", "\u0085"}) {
    EXPECT_FALSE(is_one_line(text)) << printable(text);
  }
}

}  // namespace
}  // namespace troupe
