// Stop strings are found in the text as soon as its newest token completes one, however tokens cut it.
#include "actors/cast/stop_strings.hpp"
#include "support/piece_tokenizer.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

enum piece : int32_t { a, b, c, abc, nothing, human };

std::shared_ptr<const io::tokenizer> tokens() {
  return std::make_shared<test::piece_tokenizer>(std::vector<std::string>{"a", "b", "c", "abc", "", "\n\nHuman:"});
}

/// The number of tokens after which `stops` end the answer; 0: they never do.
size_t length_at_stop(const std::vector<std::string>& stops, const std::vector<int32_t>& answer) {
  const engine::stop_check stop = make_stop_check(tokens(), stops);
  for (size_t n = 1; n <= answer.size(); ++n) {
    if (stop(std::span(answer).first(n))) {
      return n;
    }
  }
  return 0;
}

TEST(StopStrings, NoneNeedNoCheck) { EXPECT_FALSE(make_stop_check(tokens(), {})); }

TEST(StopStrings, TokenThatCompletesOneEndsTheAnswer) {
  EXPECT_EQ(length_at_stop({"bc"}, {a, b, c, a}), 3U);
  EXPECT_EQ(length_at_stop({"bc"}, {a, c, b, a}), 0U);
}

TEST(StopStrings, TokenMayBringMoreThanTheStop) {
  EXPECT_EQ(length_at_stop({"b"}, {a, abc}), 2U);
  EXPECT_EQ(length_at_stop({"ca"}, {abc, abc, a}), 2U) << "the stop lies across two tokens, in the middle of both";
}

TEST(StopStrings, AnyOfSeveralEndsIt) {
  EXPECT_EQ(length_at_stop({"\n\nHuman:", "cc"}, {a, human}), 2U);
  EXPECT_EQ(length_at_stop({"\n\nHuman:", "cc"}, {a, c, c}), 3U);
}

TEST(StopStrings, TokensWithoutTextDoNotHideOne) { EXPECT_EQ(length_at_stop({"ab"}, {a, nothing, nothing, b}), 4U); }

TEST(StopStrings, LongAnswerIsSearchedAtItsEnd) {
  std::vector<int32_t> answer(1000, a);
  for (const int32_t id : {abc, abc, human}) {
    answer.push_back(id);
  }
  EXPECT_EQ(length_at_stop({"\n\nHuman:"}, answer), 1003U);
  EXPECT_EQ(length_at_stop({"aaaaaaaaab"}, answer), 1001U);
}

}  // namespace
}  // namespace troupe::actors
