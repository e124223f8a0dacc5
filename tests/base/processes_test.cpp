#include "base/processes.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace troupe {

/// What is said of a child that ends so.
template <class End> static std::string told(const End& end) {
  const pid_t child = ::fork();
  if (child == 0) {
    end();
    ::_exit(0);
  }
  return describe_exit(wait_for(child));
}

TEST(Processes, TheEndOfAChildIsTold) {
  EXPECT_EQ(told([] {}), "exit code 0");
  EXPECT_EQ(told([] { ::_exit(3); }), "exit code 3");
  EXPECT_EQ(told([] { ::raise(SIGKILL); }), "killed by signal 9 (Killed)");
}

TEST(Processes, PointersAreThoseOfTheTextsAndANull) {
  std::vector<std::string> texts = {"sh", ""};
  EXPECT_EQ(pointers_to(texts), (std::vector<char*>{texts[0].data(), texts[1].data(), nullptr}));
}

}  // namespace troupe
