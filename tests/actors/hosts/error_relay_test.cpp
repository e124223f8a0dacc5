#include "actors/hosts/error_relay.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace troupe::actors {

/// What the relay keeps of words that a program says before it ends.
static std::string kept_of(const std::string& words) {
  error_relay relay;
  const descriptor program(::dup(relay.inlet()));  // others may hold it for longer than the program lives
  relay.begin();
  for (size_t done = 0; done < words.size();) {
    const ssize_t more = ::write(program.get(), words.data() + done, words.size() - done);
    if (more <= 0) {
      break;
    }
    done += static_cast<size_t>(more);
  }
  return relay.finish();
}

TEST(ErrorRelay, KeepsTheEndOfWhatWasSaid) {
  EXPECT_EQ(kept_of(""), "");
  EXPECT_EQ(kept_of("srun: error: no\n"), "srun: error: no\n");
  const std::string kept = kept_of(std::string(100'000, ' ') + "the end\n");
  EXPECT_EQ(kept.size(), 4096U);
  EXPECT_EQ(kept.substr(4088), "the end\n");
}

TEST(ErrorRelay, PassesItOn) {
  testing::internal::CaptureStderr();
  kept_of("first\nsecond");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "first\nsecond");
}

TEST(ErrorRelay, OneThatNobodyUsesEndsToo) {
  error_relay relay;
  EXPECT_EQ(relay.finish(), "");
}

TEST(LastWords, AreTheErrorsOrElseTheEnd) {
  EXPECT_EQ(last_words(""), "");
  EXPECT_EQ(last_words("a\n\n b\nc\nd\n"), " b; c; d");
  EXPECT_EQ(last_words("an error\nthen\nthe error: 2\nend", 2), "an error; the error: 2");
  EXPECT_EQ(last_words(std::string(300, 'x')).size(), 200U);
}

}  // namespace troupe::actors
