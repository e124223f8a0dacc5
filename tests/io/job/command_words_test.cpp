#include "io/job/command_words.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

namespace troupe::io {

using words = std::vector<std::string>;

TEST(CommandWords, BlanksPartThemAndQuotesKeepThemTogether) {
  EXPECT_EQ(command_words("python3 reward.py  --level\t2 "), (words{"python3", "reward.py", "--level", "2"}));
  EXPECT_EQ(command_words("./a 'two words' 'and'\" '''x'"), (words{"./a", "two words", "and\"", "x"}));
  EXPECT_EQ(command_words("a ''"), (words{"a", ""}));
  EXPECT_EQ(command_words("a $HOME;b|c>d *"), (words{"a", "$HOME;b|c>d", "*"}));
  EXPECT_TRUE(command_words("  ").empty());
  EXPECT_NE(test::refusal([] { command_words("a 'b c"); }).find("\"b c\" does not end"), std::string::npos);
}

TEST(CommandWords, ProgramsAreFoundByPathOrInPath) {
  const test::temporary_folder folder;
  std::ofstream(folder / "judge") << "#!/bin/sh\n";
  EXPECT_TRUE(find_program("./judge", folder.path()).empty()) << "it may not be run";
  ::chmod((folder / "judge").c_str(), 0755);
  EXPECT_EQ(find_program("./judge", folder.path()), folder.path() / "./judge");
  EXPECT_TRUE(find_program("judge", folder.path()).empty());
  EXPECT_FALSE(find_program("sh", folder.path()).empty());
  EXPECT_TRUE(find_program("no-such-program", folder.path()).empty());
  EXPECT_TRUE(find_program("", folder.path()).empty());
}

}  // namespace troupe::io
