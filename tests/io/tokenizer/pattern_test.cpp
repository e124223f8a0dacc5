// Oniguruma's expressions against the reference library (tests/data/tokenizers/families/patterns.json), what is
// refused, and what a hostile pattern may cost.
#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"
#include "io/tokenizer/oniguruma.hpp"
#include "io/tokenizer/rules.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace troupe::io {
namespace {

std::vector<std::string> pieces_of(const std::string& expression, const std::string& text) {
  piece_list list;
  if (!text.empty()) {
    list.pieces.emplace_back(text);
  }
  make_pattern_split(expression, split_behaviour::isolated, false)(list);
  return {list.pieces.begin(), list.pieces.end()};
}

std::string refusal(const std::string& expression) {
  try {
    const pattern made(expression);
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::unsupported) << failure.what();
    return failure.what();
  }
  return "nothing was refused";
}

TEST(PatternTest, CutsAsOnigurumaDoes) {
  const std::string path = test_data() + "/tokenizers/families/patterns.json";
  const auto data = parse_json(read_text_file(path), path);
  const auto texts = data.at("texts").get<std::vector<std::string>>();
  ASSERT_GT(data.at("patterns").size(), 90U);
  for (const auto& entry : data.at("patterns")) {
    const auto expression = entry[0].get<std::string>();
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(pieces_of(expression, texts[i]), entry[1][i].get<std::vector<std::string>>())
          << expression << " = " << pcre2_of_oniguruma(expression) << " on " << texts[i];
    }
  }
}

TEST(PatternTest, NestedClassesStayOneBracketWhereTheyCan) {
  EXPECT_EQ(pcre2_of_oniguruma("[a[bc]]+"), "[abc]{1,}");
  EXPECT_EQ(pcre2_of_oniguruma(R"([^\S\n])"), R"([^\P{White_Space}\x{A}])");
  EXPECT_EQ(pcre2_of_oniguruma("[a-z&&[^b]]"), "(?:(?=[a-z])[^b])");
}

TEST(PatternTest, WhatIsNotTranslatedIsRefusedByName) {
  EXPECT_EQ(refusal(R"((a)\1)"), R"(pattern "(a)\1": "\1" at byte 4 is not supported)");
  for (const auto& [expression, part] : std::vector<std::pair<const char*, const char*>>{
           {R"(\k<a>)", R"("\k")"},
           {R"(\X)", R"("\X")"},
           {R"(\K)", R"("\K")"},
           {R"(\G)", R"("\G")"},
           {R"(\y)", R"("\y")"},
           {R"(\pL)", R"("\p")"},
           {R"(\xE4)", "number of a character"},
           {R"(\x{D800})", "number of a character"},
           {"(?~a)", R"(the group "(?~")"},
           {"(?x)a b", R"(the group "(?x")"},
           {"(?(1)a|b)", R"(the group "(?(")"},
           {"(?i)ss", "under (?i)"},
           {"(?i:é)", "under (?i)"},
           {R"((?i)\p{L})", "under (?i)"},
           {"(?i)[^a]", "under (?i)"},
           {"a{3,1}", "an interval"},
           {"a+**+*", "so many quantifiers"},
           {"*a", "a quantifier without"},
           {"^*", "no width"},
           {"(a", "without its"},
           {"a)", "without its"},
           {"[a", "without its"},
           {"[b-a]", "a range"},
           {R"([a-\d])", "a range"},
           {R"([\w-a])", R"(a "-" after a set)"},
           {"[a&&]", "an empty class"},
           {"[[:foo:]]", R"("[:foo:]")"},
           {R"(\p{InNoSuchScript})", "unknown property"},
           {R"(\p{L=a})", "name of a property"},
           {R"(a\)", R"(a "\" at the end)"},
       }) {
    EXPECT_NE(refusal(expression).find(part), std::string::npos) << expression << ": " << refusal(expression);
  }
  EXPECT_NE(refusal(std::string(200, '(')).find("this deep"), std::string::npos);
  EXPECT_NE(refusal(std::string(20'000, 'a')).find("20000 bytes"), std::string::npos);
}

/// The text of the error that cutting ends with.
std::string failure_of(const std::string& expression, const std::string& text) {
  try {
    pieces_of(expression, text);
  } catch (const error& failure) {
    return failure.what();
  }
  return "";
}

TEST(PatternTest, StopsWhereAMatchHasNoEnd) {
  const std::string said = failure_of("(a+)+$", std::string(100, 'a') + "b");
  EXPECT_NE(said.find("of the 101 bytes that begin \"" + std::string(60, 'a') + "\"...: it takes too many steps"),
            std::string::npos)
      << said;
}

// Each of the 2,000 matches is bearable, all of them are not.
TEST(PatternTest, TheLimitHoldsForTheWholeText) {
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += "aaaaaaaaaaaaaaaa!";
  }
  EXPECT_EQ(failure_of("(?:(?:a|aa)+$|!)", text.substr(0, 17)), "");
  EXPECT_NE(failure_of("(?:(?:a|aa)+$|!)", text).find("too many steps"), std::string::npos);
}

TEST(PatternTest, LongRunsAreNoReasonToStop) {
  EXPECT_EQ(pieces_of(R"(\s*[\r\n]+|\s+(?!\S)|\s+|\S+)", std::string(20'000, ' ') + "x").size(), 3U);
  EXPECT_EQ(pieces_of(R"(\p{N}{1,3}+|\p{L}+)", std::string(50'000, '1') + "x").size(), 2U);
}

TEST(PatternTest, RepetitionsOfRepetitionsTakeNoMoreSteps) {
  EXPECT_EQ(failure_of("a{1,3}+b|(?m:.)**c", std::string(5000, 'a')), "");
}

}  // namespace
}  // namespace troupe::io
