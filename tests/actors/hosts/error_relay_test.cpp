#include "actors/hosts/error_relay.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

namespace troupe::actors {

/// What the relay keeps of words that a program says before it ends.
static std::string kept_of(const std::string& words, std::vector<std::string>* told = nullptr) {
  error_relay relay([told](std::string_view line) {
    if (told != nullptr) {
      told->emplace_back(line);
    }
  });
  const descriptor program(::dup(relay.inlet()));  // others may hold it for longer than the program lives
  relay.begin();
  for (size_t done = 0; done < words.size();) {
    const ssize_t more = ::write(program.get(), words.data() + done, words.size() - done);
    if (more <= 0) {
      break;
    }
    done += static_cast<size_t>(more);
  }
  return relay.finish().text();
}

TEST(ErrorRelay, KeepsTheEndOfWhatWasSaid) {
  EXPECT_EQ(kept_of(""), "");
  EXPECT_EQ(kept_of("srun: error: no\n"), "srun: error: no\n");
  EXPECT_EQ(kept_of("srun: error: no"), "srun: error: no\n");
  const std::string kept = kept_of(std::string(100'000, ' ') + "the end\n");
  EXPECT_EQ(kept.size(), 4096U);
  EXPECT_EQ(kept.substr(4088), "the end\n");
}

TEST(ErrorRelay, PassesItOnLineByLine) {
  std::vector<std::string> told;
  kept_of("first\n\nsecond", &told);
  EXPECT_EQ(told, std::vector<std::string>({"first", "", "second"}));
  told.clear();
  kept_of(std::string(20'000, 'x') + "\nend\n", &told);
  ASSERT_EQ(told.size(), 3U) << "a line without an end does not fill memory";
  EXPECT_EQ(told[0].size() + told[1].size(), 20'000U);
  EXPECT_EQ(told[2], "end");
}

TEST(ErrorRelay, OneThatNobodyUsesEndsToo) {
  error_relay relay([](std::string_view) {});
  EXPECT_EQ(relay.finish().text(), "");
}

}  // namespace troupe::actors
