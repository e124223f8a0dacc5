// Answers of a model within Markdown: what TensorBoard shows of them is what they say.
#include "io/run/markdown.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

TEST(Markdown, LettersStayAndPunctuationMeansItself) {
  EXPECT_EQ(markdown_text("Tom 12 sah Grüße"), "Tom 12 sah Grüße");
  EXPECT_EQ(markdown_text(" **a** | `b`"), " &#42;&#42;a&#42;&#42; &#124; &#96;b&#96;");
  EXPECT_EQ(markdown_text("<b>&amp;"), "&#60;b&#62;&#38;amp&#59;");
  EXPECT_EQ(markdown_text("1. [x](y)"), "1&#46; &#91;x&#93;&#40;y&#41;");
}

TEST(Markdown, LinesAreBrokenAndControlCharactersLeftOut) {
  EXPECT_EQ(markdown_text("a\n\n# b\r\n"), "a<br><br>&#35; b<br>");
  EXPECT_EQ(markdown_text(std::string_view("a\0\x1b[1mb\x7f\tc", 10)), "a&#91;1mb&#9;c");
}

}  // namespace
}  // namespace troupe::io
