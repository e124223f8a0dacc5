// Why a program has ended, from what it said: however much was said before and after.
#include "actors/hosts/last_words.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>

namespace troupe::actors {
namespace {

last_words after(const std::string& text) {
  last_words said;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    said.hear(line);
  }
  return said;
}

const std::string frame = std::string(74, '-') + "\n";

std::string many_lines(const std::string& line, int count = 50) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += fmt::format("{} {:>{}}\n", line, i, 100);
  }
  return text;
}

TEST(LastWords, AreTheErrorsOrElseTheEnd) {
  EXPECT_EQ(after("").of_anybody(), "");
  EXPECT_EQ(after("a\n\n b\nc\nd\n").of_anybody(), " b; c; d");
  EXPECT_EQ(after("04:12:33 info sft: 40 records\nTerminated").of_anybody(), "Terminated") << "what a log says besides";
  EXPECT_EQ(after("an error elsewhere\ntroupe worker: rank 1: policy: no memory\n").of_anybody(),
            "rank 1: policy: no memory");
  EXPECT_EQ(after("an error\nthen\nthe error: 2\nend").of_anybody(), "an error; the error: 2");
  EXPECT_EQ(after(std::string(300, 'x')).of_anybody().size(), 200U);
}

TEST(LastWords, OfTheLauncherAreThoseOfNobodyElse) {
  const std::string explained = frame + "mpirun has exited: an error\n" + frame;
  EXPECT_EQ(after(explained + "what a rank said\n").of_anybody(), "what a rank said");
  EXPECT_EQ(after(explained).of_ranks(), "");
  EXPECT_EQ(after(explained).of_anybody(), "mpirun has exited: an error");
}

TEST(LastWords, AReasonIsKeptHoweverMuchIsSaidAfterIt) {
  const last_words said = after("troupe worker: rank 1: no memory\n" + many_lines("rank 0 has an error of lost peers"));
  EXPECT_EQ(said.of_ranks(), "rank 1: no memory");
  EXPECT_EQ(said.text().size(), 4096U);
}

TEST(LastWords, AFrameWhoseBeginningIsLongGoneIsStillTheLaunchers) {
  const std::string explained = frame + many_lines("mpirun explains an error") + frame;
  EXPECT_EQ(after(explained + "what a rank said\n").of_ranks(), "what a rank said");
}

}  // namespace
}  // namespace troupe::actors
