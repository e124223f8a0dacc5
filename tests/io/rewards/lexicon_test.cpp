#include "base/error.hpp"
#include "io/rewards/lexicon.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::io {

static const lexicon& vader() {
  static const lexicon words = lexicon::load(test_data() + "/vader/vader_lexicon.txt");
  return words;
}

TEST(LexiconTest, SumsTheValencesOfTheWordsFound) {
  // vader_lexicon.txt: great 3.1, happy 2.7, sad -2.1
  const valence v = vader().score("A GREAT day: happy, happy; not 'sad'.");
  EXPECT_EQ(v.words, 7);
  EXPECT_EQ(v.matched, 4);
  EXPECT_NEAR(v.sum, 3.1 + 2.7 + 2.7 - 2.1, 1e-12);
  EXPECT_NEAR(v.normalised, 6.4 / std::sqrt(6.4 * 6.4 + 15), 1e-12);
  EXPECT_NEAR(v.per_hundred_words, 100 * 6.4 / 7, 1e-12);
}

TEST(LexiconTest, TextsWithoutWordsAreNeutral) {
  for (const char* text : {"", "  ", "'''", ":-) !?"}) {
    const valence v = vader().score(text);
    EXPECT_EQ(v.sum, 0) << text;
    EXPECT_EQ(v.per_hundred_words, 0) << text;
    EXPECT_EQ(v.words, 0) << text;
  }
}

TEST(LexiconTest, ApostrophesStayInsideWords) {
  const lexicon words = lexicon::parse("can't\t-1\ndon\t5\nna\xC3\xAFve\t2\n", "w");
  EXPECT_EQ(words.score("'Can't' don't").sum, -1);
  EXPECT_EQ(words.score("na\xC3\xAFve").sum, 2);
  EXPECT_EQ(words.score("don").sum, 5);
}

TEST(LexiconTest, ALongerTextOfTheSameWordsHasTheSameDensity) {
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += "good and bad ";
  }
  EXPECT_NEAR(vader().score(text).per_hundred_words, vader().score("good and bad").per_hundred_words, 1e-9);
}

TEST(LexiconTest, BadLinesAreNamed) {
  for (const char* text : {"good\t1\nbad\n", "good\t1\nbad\tx\n", "good\t1\n\t2\n", "good\t1\nbad\tnan\n"}) {
    try {
      lexicon::parse(text, "w.txt");
      FAIL() << text;
    } catch (const error& e) {
      EXPECT_NE(std::string(e.what()).find("w.txt, line 2"), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(lexicon::load("/nowhere"), error);
}

}  // namespace troupe::io
