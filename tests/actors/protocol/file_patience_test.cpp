#include "actors/protocol/file_patience.hpp"
#include "base/error.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

using namespace std::chrono_literals;

TEST(FilePatience, AStepIsDoneAgainUntilItSucceeds) {
  file_patience patience(10s, 1ms);
  int tries = 0;
  patience.persist([&] {
    if (++tries < 4) {
      throw error(errc::io_failure, "No space left on device");
    }
  });
  EXPECT_EQ(tries, 4);
}

TEST(FilePatience, WhatIsNoMatterOfTheFileIsToldAtOnce) {
  file_patience patience(10s, 1ms);
  int tries = 0;
  EXPECT_THROW(patience.persist([&] {
    ++tries;
    throw error(errc::bad_file, "line 1");
  }),
               error);
  EXPECT_EQ(tries, 1);
}

TEST(FilePatience, ItEndsAndComesBackWithASuccess) {
  file_patience patience(50ms, 1ms);
  int tries = 0;
  const auto fail = [&] {
    ++tries;
    throw error(errc::io_failure, "No space left on device");
  };
  EXPECT_THROW(patience.persist(fail), error);
  EXPECT_GT(tries, 1);
  tries = 0;
  EXPECT_THROW(patience.persist(fail), error);
  EXPECT_EQ(tries, 1) << "the next step is not waited for as long again";
  patience.persist([] {});
  tries = 0;
  EXPECT_THROW(patience.persist(fail), error);
  EXPECT_GT(tries, 1);
}

}  // namespace troupe::actors
