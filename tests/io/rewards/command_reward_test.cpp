// Rewards by a program: real processes, good ones and ones that fail in every way that was thought of.
#include "base/error.hpp"
#include "io/rewards/command_reward.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

namespace troupe::io {
namespace {

using namespace std::chrono_literals;

class CommandReward : public ::testing::Test {
protected:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }

  reward_source source(const std::string& mode) const {
    reward_source of{.name = "own", .kind = reward_kind::command};
    of.command = "python3 -B '" + test_data() + "/rewards/programs/program.py' " + mode;
    of.folder = folder_.path().string();
    of.deadline_s = 20;
    return of;
  }

  command_reward make(const reward_source& of) {
    return command_reward({.source = of, .said = [this](const std::string& line) { said_.push_back(line); }});
  }

  std::vector<float> score(const reward_source& of, const std::vector<std::string>& answers) {
    command_reward program = make(of);
    return program.score(items(answers));
  }

  static std::vector<answer_item> items(const std::vector<std::string>& answers) {
    std::vector<answer_item> all;
    for (const std::string& answer : answers) {
      all.push_back({.prompt = "p", .answer = answer, .label = "", .source = "sums"});
    }
    return all;
  }

  std::string failure(const reward_source& of) {
    try {
      score(of, {"a", "bc"});
    } catch (const error& e) {
      EXPECT_EQ(e.code(), errc::io_failure);
      return e.what();
    }
    ADD_FAILURE() << "it has scored";
    return "";
  }

  bool was_said(const std::string& part) const {
    return std::any_of(said_.begin(), said_.end(),
                       [&](const std::string& line) { return line.find(part) != std::string::npos; });
  }

  test::temporary_folder folder_;
  std::vector<std::string> said_;
};

TEST_F(CommandReward, EachAnswerHasItsOwnInTheirOrder) {
  EXPECT_EQ(score(source("good"), {"a", "bcd", "", "ef"}), (std::vector<float>{1, 3, 0, 2}));
  EXPECT_TRUE(said_.empty());
}

TEST_F(CommandReward, RequestsHoldNoMoreThanABatchAndThereMayBeMany) {
  reward_source small = source("good");
  small.batch = 3;
  std::vector<std::string> answers;
  std::vector<float> lengths;
  for (int i = 0; i < 10; ++i) {
    answers.emplace_back(static_cast<size_t>(i), 'x');
    lengths.push_back(static_cast<float>(i));
  }
  command_reward program = make(small);
  EXPECT_EQ(program.score(items(answers)), lengths);
  EXPECT_EQ(program.score(items(answers)), lengths);
  EXPECT_TRUE(program.score({}).empty());
}

TEST_F(CommandReward, TheRequestHasAllThatIsKnownOfAnAnswer) {
  command_reward program = make(source("labels"));
  answer_item known{.prompt = "2+2\n\"é\"", .answer = "4", .label = "4", .source = "sums", .finished = true};
  answer_item cut = known;
  cut.finished = false;
  const std::vector<answer_item> both = {known, cut};
  EXPECT_EQ(program.score(both), (std::vector<float>{4, 0}));
}

TEST_F(CommandReward, NullAndNaNAreNoReward) {
  const auto rewards = score(source("null"), {"a", "poison", "b"});
  EXPECT_EQ(rewards[0], 1.5F);
  EXPECT_TRUE(std::isnan(rewards[1]));
  EXPECT_EQ(rewards[2], 1.5F);
  EXPECT_TRUE(std::isnan(score(source("nan"), {"a"})[0]));
  EXPECT_TRUE(said_.empty()) << said_.front();
}

TEST_F(CommandReward, RepliesInPiecesAndFromABufferArriveWhole) {
  EXPECT_EQ(score(source("in-pieces"), {"a", "bcd"}), (std::vector<float>{1, 3}));
  EXPECT_EQ(score(source("buffered"), {"a", "bcd"}), (std::vector<float>{1, 3}));
}

TEST_F(CommandReward, ArgumentsInQuotesAreOneWordAndNoShellReadsThem) {
  EXPECT_EQ(score(source("arguments '$HOME; exit'"), {"a"}), (std::vector<float>{11}));
}

TEST_F(CommandReward, MpiLaunchersVariablesAreNotThere) {
  ::setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  ::setenv("PMIX_RANK", "1", 1);
  EXPECT_EQ(score(source("environment"), {"a"}), (std::vector<float>{0}));
}

TEST_F(CommandReward, ADeadProgramIsStartedAgain) {
  EXPECT_EQ(score(source("dies-once"), {"a", "bcd"}), (std::vector<float>{1, 3}));
  EXPECT_TRUE(was_said("exit code 3"));
}

TEST_F(CommandReward, OneAnswerThatKillsItCostsNoOtherItsReward) {
  const auto rewards = score(source("dies-of-poison"), {"a", "poison", "bcd"});
  EXPECT_EQ(rewards[0], 1.0F);
  EXPECT_TRUE(std::isnan(rewards[1]));
  EXPECT_EQ(rewards[2], 3.0F);
  EXPECT_TRUE(was_said("ValueError: this answer is poison"));
}

TEST_F(CommandReward, OneAnswerThatHangsItCostsNoOtherItsReward) {
  reward_source hangs = source("hangs-on-poison");
  hangs.deadline_s = 1;
  const auto rewards = score(hangs, {"a", "poison", "bcd"});
  EXPECT_EQ(rewards[0], 1.0F);
  EXPECT_TRUE(std::isnan(rewards[1]));
  EXPECT_EQ(rewards[2], 3.0F);
  EXPECT_TRUE(was_said("has not answered within 1 s"));
}

TEST_F(CommandReward, WhileItIsWaitedForThereAreSignsOfLife) {
  reward_source hangs = source("hangs-on-poison");
  hangs.deadline_s = 1;
  int signs = 0;
  command_reward program({.source = hangs, .waiting = [&] { ++signs; }});
  program.score(items({"a", "poison"}));
  EXPECT_GT(signs, 20);
}

TEST_F(CommandReward, AFloodOnStandardErrorHoldsNothingUpAndIsCutShort) {
  EXPECT_EQ(score(source("floods-stderr"), {"a"}), (std::vector<float>{1}));
  EXPECT_LE(said_.size(), 101U);
  EXPECT_TRUE(was_said("a line of complaint"));
}

TEST_F(CommandReward, WhatIsNoReplyIsToldWithItsText) {
  const std::string text = failure(source("garbage"));
  EXPECT_NE(text.find("is no JSON"), std::string::npos) << text;
  EXPECT_NE(text.find("the reward is good"), std::string::npos) << text;
  EXPECT_NE(failure(source("text")).find("a JSON string for the reward of item 0"), std::string::npos);
  EXPECT_NE(failure(source("infinite")).find("is no JSON"), std::string::npos);
  EXPECT_NE(failure(source("too-few")).find("has 0 items to a request with 1"), std::string::npos);
  EXPECT_NE(failure(source("wrong-id")).find("is to request"), std::string::npos);
  EXPECT_NE(failure(source("huge")).find("bytes without an end of line"), std::string::npos);
  EXPECT_NE(failure(source("speaks-first")).find("loading"), std::string::npos);
}

TEST_F(CommandReward, MoreThanOneLineToARequestIsAFailureOfTheNext) {
  command_reward program = make(source("twice"));
  EXPECT_EQ(program.score(items({"a"})), (std::vector<float>{1}));
  EXPECT_EQ(program.score(items({"bc"})), (std::vector<float>{2}));
  EXPECT_TRUE(was_said("without being asked") || was_said("is to request"));
}

TEST_F(CommandReward, AProgramThatAlwaysFailsEndsWithItsLastWords) {
  EXPECT_NE(failure(source("always-dies")).find("exit code 3"), std::string::npos);
  const std::string text = failure(source("ends-at-once"));
  EXPECT_NE(text.find("I have no model"), std::string::npos) << text;
  reward_source deaf = source("never-reads");
  deaf.deadline_s = 0.3;
  EXPECT_NE(failure(deaf).find("has not answered within 0.3 s"), std::string::npos);
}

TEST_F(CommandReward, ARequestLargerThanAPipeToOneThatNeverReadsIsNoHang) {
  reward_source deaf = source("never-reads");
  deaf.deadline_s = 0.3;
  command_reward program = make(deaf);
  try {
    program.score(items({std::string(1 << 20, 'x')}));
    FAIL();
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find("nor read all of the request"), std::string::npos) << e.what();
  }
}

TEST_F(CommandReward, ATrialTellsAMistypedFileBeforeAnythingRuns) {
  command_reward good = make(source("good"));
  good.try_out();
  EXPECT_EQ(good.score(items({"abc"})), (std::vector<float>{3}));
  reward_source wrong = source("good");
  wrong.command = "python3 rewrad.py";
  command_reward program = make(wrong);
  try {
    program.try_out();
    FAIL();
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find("rewrad.py"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("No such file"), std::string::npos) << e.what();
  }
}

/// Waits for a file with something in it.
std::string text_in(const std::filesystem::path& file) {
  std::string text;
  for (int i = 0; i < 500 && text.empty(); ++i) {
    std::this_thread::sleep_for(10ms);
    std::ifstream(file) >> text;
  }
  return text;
}

/// A process that nobody has reaped yet has ended all the same.
bool is_alive(const std::string& pid) {
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string number, name, state;
  stat >> number >> name >> state;
  return !state.empty() && state != "Z";
}

bool ends_soon(const std::string& pid) {
  for (int i = 0; i < 500 && is_alive(pid); ++i) {
    std::this_thread::sleep_for(10ms);
  }
  return !is_alive(pid);
}

TEST_F(CommandReward, ItIsLetComeToItsEnd) {
  score(source("notes-its-end"), {"a"});
  EXPECT_TRUE(std::filesystem::exists(folder_ / "ended"));
}

TEST_F(CommandReward, WhatItHasStartedEndsWithIt) {
  score(source("has-a-child"), {"a"});
  EXPECT_TRUE(ends_soon(text_in(folder_ / "child")));
}

TEST_F(CommandReward, ItsGroupEndsWithTheProcessThatAskedItHoweverThatEnds) {
  const pid_t rank = ::fork();
  if (rank == 0) {
    score(source("has-a-child"), {"a"});
    command_reward program = make(source("has-a-child"));
    program.score(items({"a"}));
    std::ofstream(folder_ / "ready") << "ready";
    ::pause();
  }
  ASSERT_EQ(text_in(folder_ / "ready"), "ready");
  const std::string child = text_in(folder_ / "child");
  ASSERT_TRUE(is_alive(child));
  ::kill(rank, SIGKILL);
  ::waitpid(rank, nullptr, 0);
  EXPECT_TRUE(ends_soon(child));
}

TEST(RewardProtocol, RepliesAreHeldAgainstTheirRequest) {
  const auto refusal = [](std::string_view reply) -> std::string {
    try {
      read_rewards(reply, 7, 1);
    } catch (const error& e) {
      EXPECT_EQ(e.code(), errc::bad_file);
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(read_rewards(R"({"id":7,"items":[{"reward":-2.5,"log":{"x":1}}],"more":[]})", 7, 1),
            (std::vector<float>{-2.5F}));
  EXPECT_TRUE(std::isnan(read_rewards("{\"id\":7,\"items\":[{\"reward\":NaN}]}\r", 7, 1)[0]));
  EXPECT_NE(refusal(""), "");
  EXPECT_NE(refusal("[]"), "");
  EXPECT_NE(refusal("7"), "");
  EXPECT_NE(refusal(R"({"id":7})"), "");
  EXPECT_NE(refusal(R"({"id":7,"items":{}})"), "");
  EXPECT_NE(refusal(R"({"id":"7","items":[{"reward":1}]})"), "");
  EXPECT_NE(refusal(R"({"id":8,"items":[{"reward":1}]})"), "");
  EXPECT_NE(refusal(R"({"id":7,"items":[1]})"), "");
  EXPECT_NE(refusal(R"({"id":7,"items":[{"score":1}]})"), "");
  EXPECT_NE(refusal(R"({"id":7,"items":[{"reward":true}]})"), "");
  EXPECT_NE(refusal(R"({"id":7,"items":[{"reward":1e300}]})"), "");
  EXPECT_NE(refusal(R"({"id":7,"items":[{"reward":1}]} {})"), "");
  EXPECT_NE(refusal(std::string(100000, '[')), "");
}

}  // namespace
}  // namespace troupe::io
