// A command's own options, taken out from among a job's.
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/own_options.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

using words = std::vector<std::string>;
using test::error_text;

TEST(OwnOptions, AreTakenInBothWritingsAndTheJobsStay) {
  words arguments = {"job.ini",   "--nodes",     "4", "--ppo.clip=0.1", "--mem=64", "--json",
                     "--nodes=5", "--ppo.gamma", "1"};
  EXPECT_TRUE(take_flag(arguments, "--json"));
  EXPECT_FALSE(take_flag(arguments, "--json"));
  EXPECT_EQ(take_value(arguments, "--mem"), "64");
  EXPECT_EQ(take_values(arguments, "--nodes"), (words{"4", "5"}));
  EXPECT_EQ(take_value(arguments, "--nodes"), std::nullopt);
  EXPECT_EQ(arguments, (words{"job.ini", "--ppo.clip=0.1", "--ppo.gamma", "1"}));
}

TEST(OwnOptions, ThoseWithoutAValueAreNamed) {
  for (words arguments : {words{"job.ini", "--mem"}, words{"job.ini", "--mem", ""}}) {
    EXPECT_EQ(error_text([&] { take_value(arguments, "--mem"); }), "--mem needs a value");
  }
}

TEST(OwnOptions, OneThatIsGivenTwiceIsNamed) {
  for (words arguments : {words{"--mem=1", "--run.dir", "a", "--mem", "2"}, words{"--mem", "1", "--mem", "2"}}) {
    EXPECT_EQ(error_text([&] { value_of(arguments, "--mem"); }), "--mem is given twice, as 1 and as 2: keep one");
    EXPECT_EQ(error_text([&] { take_value(arguments, "--mem"); }), "--mem is given twice, as 1 and as 2: keep one");
  }
}

TEST(OwnOptions, NumbersLieWithinTheirRange) {
  const auto number = [](const std::string& text, least from) {
    words arguments = {"--n", text};
    return take_number<int64_t>(arguments, "--n", from);
  };
  EXPECT_EQ(number("7", least::above_zero), 7);
  EXPECT_EQ(number("0", least::zero), 0);
  words none;
  EXPECT_EQ(take_number<int64_t>(none, "--n", least::zero), std::nullopt);
  for (const char* wrong : {"0", "-1", "2.5", "4 ", "many", "1000000000"}) {
    EXPECT_EQ(error_text([&] { number(wrong, least::above_zero); }),
              "--n " + std::string(wrong) + ": give it a number above 0");
  }
  EXPECT_EQ(error_text([&] { number("-1", least::zero); }), "--n -1: give it a number from 0 on");
  for (const char* wrong : {"nan", "inf", "0"}) {
    words arguments = {"--n", wrong};
    EXPECT_THROW(take_number<double>(arguments, "--n", least::above_zero), usage_error) << wrong;
  }
}

TEST(OwnOptions, AJobsIsReplacedHoweverItWasGiven) {
  words arguments = {"runs/a", "--run.dir=x", "--ppo.gamma", "1", "--run.dir", "y"};
  EXPECT_EQ(value_of(arguments, "--ppo.gamma"), "1");
  EXPECT_EQ(value_of(arguments, "--ppo.lambda"), "");
  set_value(arguments, "--run.dir", "z");
  EXPECT_EQ(arguments, (words{"runs/a", "--ppo.gamma", "1", "--run.dir", "z"}));
}

TEST(OwnOptions, HelpIsToldWhereverItIsAskedFor) {
  EXPECT_EQ(tell_usage({"job.ini", "--ppo.clip", "0.1"}, "usage\n"), std::nullopt);
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(tell_usage({"job.ini", "--help"}, "usage\n"), exit_ok);
  EXPECT_EQ(tell_usage({"-h"}, "usage\n"), exit_ok);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "usage\nusage\n");
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(tell_usage({}, "usage\n"), exit_usage);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "usage\n");
}

}  // namespace
}  // namespace troupe
