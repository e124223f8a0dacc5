#include "io/datasets/lines.hpp"
#include "io/datasets/record.hpp"
#include "io/rewards/answer_reward.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

namespace troupe::io {

static std::string final_of(std::string_view text, bool last_number = false) {
  return final_answer(text, last_number).value_or("none");
}

TEST(AnswerRewardTest, TheNumberAfterTheLastMarkIsTheAnswer) {
  EXPECT_EQ(final_of("so 3 + 4 = 7\n#### 7"), "7");
  EXPECT_EQ(final_of("#### 1\n#### 2\nand 3"), "2");
  EXPECT_EQ(final_of("####7 8"), "7");
  EXPECT_EQ(final_of("####"), "none");
  EXPECT_EQ(final_of("#### \n5"), "none");
  EXPECT_EQ(final_of("7"), "none");
}

TEST(AnswerRewardTest, NumbersAreCanonical) {
  EXPECT_EQ(final_of("#### $1,024.50"), "1024.5");
  EXPECT_EQ(final_of("#### 007%"), "7");
  EXPECT_EQ(final_of("#### -3.00"), "-3");
  EXPECT_EQ(final_of("#### -0.0"), "0");
  EXPECT_EQ(final_of("#### .5"), "0.5");
  EXPECT_EQ(final_of("#### 12."), "12");
  EXPECT_EQ(final_of("#### 1,5, 6"), "15");
  EXPECT_EQ(final_of("#### 123456789012345678901234567890"), "123456789012345678901234567890");
}

TEST(AnswerRewardTest, TheLastNumberIsAFallbackOnly) {
  EXPECT_EQ(final_of("2 apples and 3 pears", true), "3");
  EXPECT_EQ(final_of("#### 5 of 9", true), "5");
  EXPECT_EQ(final_of("7-4", true), "4");
  EXPECT_EQ(final_of("it is -4", true), "-4");
  EXPECT_EQ(final_of("none here", true), "none");
}

TEST(AnswerRewardTest, OnlyTheSameNumberEarns) {
  EXPECT_EQ(answer_reward("#### 1,000", "#### 1000", false), 1.0);
  EXPECT_EQ(answer_reward("#### 1000", "1000.0", false), 1.0);
  EXPECT_EQ(answer_reward("#### 100", "#### 1000", false), 0.0);
  EXPECT_EQ(answer_reward("1000", "#### 1000", false), 0.0);
  EXPECT_EQ(answer_reward("1000", "#### 1000", true), 1.0);
  EXPECT_EQ(answer_reward("", "", true), 0.0);
}

TEST(AnswerRewardTest, EveryReferenceOfTheSliceEarnsItsOwnReward) {
  line_reader lines(open_text(test_data() + "/datasets/gsm8k.jsonl"), "gsm8k");
  data_section set;
  set.format = data_format::question_answer;
  int n = 0;
  for (std::string line; lines.next(line); ++n) {
    const record r = read_record(line, set, "gsm8k");
    EXPECT_EQ(answer_reward(r.chosen, r.chosen, false), 1.0) << r.chosen;
    EXPECT_EQ(answer_reward(r.chosen + "1", r.chosen, false), 0.0) << r.chosen;
  }
  EXPECT_EQ(n, 24);
}

}  // namespace troupe::io
