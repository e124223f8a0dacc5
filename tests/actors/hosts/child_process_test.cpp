#include "actors/hosts/child_process.hpp"
#include "base/error.hpp"
#include "base/processes.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <future>

namespace troupe::actors {

static int status_of(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& extra = {},
                     int signal = 0) {
  std::promise<int> ended;
  child_process child(
      arguments, [&](int status) { ended.set_value(status); }, extra);
  if (signal != 0) {
    child.signal(signal);
  }
  return ended.get_future().get();
}

TEST(ChildProcess, ItsEndIsTold) {
  EXPECT_EQ(describe_exit(status_of({"sh", "-c", "exit 3"})), "exit code 3");
  EXPECT_EQ(describe_exit(status_of({"sleep", "60"}, {}, SIGKILL)), "killed by signal 9 (Killed)");
}

TEST(ChildProcess, VariablesAreSetOnTopOfThoseInherited) {
  EXPECT_EQ(WEXITSTATUS(status_of({"sh", "-c", "test \"$COLOUR\" = red && test -n \"$PATH\""}, {{"COLOUR", "red"}})),
            0);
}

TEST(ChildProcess, VariablesOfItsOwnReplaceThoseInherited) {
  ::setenv("TROUPE_TEST_KEPT", "kept", 1);
  ::setenv("TROUPE_TEST_REPLACED", "old", 1);
  const std::string script = R"([ "$TROUPE_TEST_KEPT$TROUPE_TEST_REPLACED$TROUPE_TEST_ADDED" = "keptnewadded=1" ])";
  const int status =
      status_of({"sh", "-c", script}, {{"TROUPE_TEST_REPLACED", "new"}, {"TROUPE_TEST_ADDED", "added=1"}});
  EXPECT_EQ(status, 0) << describe_exit(status);
}

TEST(ChildProcess, SignalsReachTheWholeGroup) {
  EXPECT_TRUE(WIFSIGNALED(status_of({"sh", "-c", "sleep 60; true"}, {}, SIGKILL)));
}

TEST(ChildProcess, WhatItSaidIsKnownAtItsEndWhereItIsListenedTo) {
  for (const bool listen : {true, false}) {
    std::promise<void> ended;
    std::string heard;
    const child_process child(
        {"sh", "-c", "echo task 1 launch failed >&2"}, [&](int) { ended.set_value(); }, {},
        listen ? line_listener([&](std::string_view line) { heard += line; }) : line_listener());
    ended.get_future().get();
    EXPECT_EQ(child.said().text(), listen ? "task 1 launch failed\n" : "");
    EXPECT_EQ(heard, listen ? "task 1 launch failed" : "");
  }
}

TEST(ChildProcess, OneThatIsMissingIsAnError) { EXPECT_THROW(status_of({"/no/such/program"}), error); }

TEST(ChildProcess, OutputOfACommandIsWhatItPrints) {
  EXPECT_EQ(output_of({"printf", "node[1-2]\\n"}), "node[1-2]\n");
  EXPECT_EQ(output_of({"sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x"}), std::string(100000, 'x'));
  EXPECT_THROW(output_of({"false"}), error);
  EXPECT_THROW(output_of({"/no/such/program"}), error);
}

}  // namespace troupe::actors
