// Words for the shell, and what its commands say.
#include "jobs/shell.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(ShellWord, IsQuotedWhereTheShellWouldReadMore) {
  EXPECT_EQ(shell_word("runs/a_b-1.ini"), "runs/a_b-1.ini");
  EXPECT_EQ(shell_word("two words"), "'two words'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("$HOME"), "'$HOME'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(RunShell, GivesBothStreamsAndTheStatus) {
  const shell_result both = run_shell("sh -c 'echo out; echo err >&2; exit 3'");
  EXPECT_EQ(both.status, 3);
  EXPECT_EQ(both.output, "out\nerr");
  EXPECT_EQ(run_shell("/no/such/program").status, 127);
  EXPECT_EQ(run_shell("printf %s " + shell_quoted("a 'b' $c")).output, "a 'b' $c");
}

}  // namespace
}  // namespace troupe
