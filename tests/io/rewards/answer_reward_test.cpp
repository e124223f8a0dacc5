#include "io/datasets/lines.hpp"
#include "io/datasets/record.hpp"
#include "io/json/json.hpp"
#include "io/rewards/answer_reward.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

namespace troupe::io {

static std::string final_of(std::string_view text, bool last_number = false) {
  const auto number = final_answer(text, last_number);
  return number ? number->value : "none";
}

TEST(AnswerRewardTest, TheNumberAfterTheLastMarkIsTheAnswer) {
  EXPECT_EQ(final_of("so 3 + 4 = 7\n#### 7"), "7");
  EXPECT_EQ(final_of("#### 1\n#### 2\nand 3"), "2");
  EXPECT_EQ(final_of("####7 8"), "7");
  EXPECT_EQ(final_of("####"), "none");
  EXPECT_EQ(final_of("#### \n5"), "none");
  EXPECT_EQ(final_of("7"), "none");
  EXPECT_EQ(final_of("\\boxed{7} or\n#### 8"), "8");
  EXPECT_EQ(final_of("#### 8 or \\boxed{7}"), "7");
  EXPECT_EQ(final_of("#### 8. The answer is 9"), "9");
}

TEST(AnswerRewardTest, ValuesAreExactAndInLowestTerms) {
  EXPECT_EQ(final_of("#### $1,024.50"), "2049/2");
  EXPECT_EQ(final_of("#### 007%"), "7");
  EXPECT_EQ(final_of("#### -3.00"), "-3");
  EXPECT_EQ(final_of("#### -0.0"), "0");
  EXPECT_EQ(final_of("#### .5"), "1/2");
  EXPECT_EQ(final_of("#### 12."), "12");
  EXPECT_EQ(final_of("#### 1,5, 6"), "1") << "a comma is within a number only before three digits";
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
  EXPECT_EQ(answer_reward("", "#### 4", true), 0.0);
  EXPECT_TRUE(std::isnan(answer_reward("4", "", true)));
  EXPECT_TRUE(std::isnan(answer_reward("4", "I do not know", true)));
}

TEST(AnswerRewardTest, FormsOfAnswersAreTakenForWhatTheySay) {
  const std::string path = test_data() + "/rewards/forms.jsonl";
  line_reader lines(open_text(path), path);
  int forms = 0;
  for (std::string line; lines.next(line); ++forms) {
    const nlohmann::json row = parse_json(line, path);
    const double reward = answer_reward(row.at("answer").get<std::string>(), row.at("reference").get<std::string>(),
                                        row.at("last_number").get<bool>());
    EXPECT_EQ(reward == 1.0, row.at("equal").get<bool>()) << line;
  }
  EXPECT_GE(forms, 200);
}

TEST(AnswerRewardTest, WhatIsNoSensibleNumberIsPassedOver) {
  EXPECT_EQ(final_of("#### " + std::string(1000, '9')), "none");
  EXPECT_EQ(final_of("#### 1e999"), "1") << "an exponent beyond the bound is left unread";
  EXPECT_EQ(final_of("#### 9^9999"), "none");
  EXPECT_EQ(final_of("\\boxed{" + std::string(100000, '{')), "none");
}

TEST(AnswerRewardTest, LongTextsTakeLinearTime) {
  const auto begin = std::chrono::steady_clock::now();
  for (const char* part : {"9", "1,", "- ", "\\frac{", "1 / ", "\\boxed{", "#### ", "answer is ", "10^", "1 1/"}) {
    std::string text;
    while (text.size() < 200000) {
      text += part;
    }
    final_answer(text, true);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(AnswerRewardTest, EveryReferenceOfTheSliceEarnsItsOwnReward) {
  line_reader lines(open_text(test_data() + "/datasets/gsm8k.jsonl"), "gsm8k");
  data_section set;
  set.format = data_format::question_answer;
  int n = 0;
  for (std::string line; lines.next(line); ++n) {
    const record r = read_record(line, set, "gsm8k", chat_format::named("dialogue"));
    EXPECT_EQ(answer_reward(r.chosen, r.chosen, false), 1.0) << r.chosen;
    EXPECT_EQ(answer_reward(r.chosen + "1", r.chosen, false), 0.0) << r.chosen;
  }
  EXPECT_EQ(n, 24);
}

}  // namespace troupe::io
