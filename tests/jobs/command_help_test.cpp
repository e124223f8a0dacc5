// Help, taken apart: what completion and the manual page are made of.
#include "jobs/command_help.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace troupe {
namespace {

/// "--name VALUE" of each option.
std::vector<std::string> options_of(const command_help& help) {
  std::vector<std::string> all;
  for (const option_help& option : help.options) {
    all.push_back(option.value.empty() ? option.name : option.name + " " + option.value);
  }
  return all;
}

using words = std::vector<std::string>;

TEST(CommandHelp, OfBoostsKindNamesOptionsValuesAndWords) {
  const command_help help = read_help("convert", "from one to another",
                                      "troupe convert SOURCE TARGET [options]\n\n"
                                      "Writes --nothing of this is an option.\n\n"
                                      "  -h [ --help ]                  this text\n\n"
                                      "Options:\n"
                                      "  --dtype f32|bf16|f16 (=f32)    type of the weights\n"
                                      "  --limit arg (=0)               use the first so many records\n"
                                      "                                 --limit 0 uses all\n"
                                      "  --chat-template TEMPLATE (=model)\n"
                                      "                                 how conversations are written\n"
                                      "  --no-special-tokens do not add what is as long as this\n");
  EXPECT_EQ(help.arguments, (words{"SOURCE", "TARGET"}));
  EXPECT_EQ(options_of(help), (words{"--help", "--dtype f32|bf16|f16", "--limit VALUE", "--chat-template TEMPLATE",
                                     "--no-special-tokens"}));
  EXPECT_EQ(help.options[1].text, "type of the weights");
  EXPECT_FALSE(help.job_options);
}

TEST(CommandHelp, OfOurOwnKindNamesThoseOfTheCallToo) {
  const command_help help = read_help("submit", "hands over",
                                      "troupe submit JOB.ini [--gflops N] [--json] [--section.key value ...]\n\n"
                                      "  --nodes N            nodes, spares included (1)\n"
                                      "  --partition P, --account A\n"
                                      "  --data.NAME.path X   is a job's\n"
                                      "  --dry-run            prints the script\n");
  EXPECT_EQ(help.arguments, (words{"JOB.ini"}));
  EXPECT_EQ(options_of(help),
            (words{"--gflops N", "--json", "--nodes N", "--partition P", "--account A", "--dry-run", "--help"}));
  EXPECT_TRUE(help.job_options);
}

TEST(CommandHelp, OptionsThatACallMustHaveAreOptions) {
  const command_help help =
      read_help("fork", "", "troupe fork RUN --at CHECKPOINT --run.dir NEW [--section.key value ...]\n\nBegins.\n");
  EXPECT_EQ(help.arguments, (words{"RUN"}));
  EXPECT_EQ(options_of(help), (words{"--at CHECKPOINT", "--help"}));
}

TEST(CommandHelp, ArgumentsEndWhereOptionsAndRedirectionsBegin) {
  EXPECT_EQ(read_help("eval", "", "troupe eval DIR --data FILE [options]\n").arguments, (words{"DIR"}));
  EXPECT_EQ(read_help("score", "", "troupe score DIR [options] < in.jsonl > out.jsonl\n").arguments, (words{"DIR"}));
  EXPECT_EQ(read_help("completion", "", "troupe completion bash|zsh\n").arguments, (words{"bash|zsh"}));
  EXPECT_TRUE(read_help("manual", "", "troupe manual\n").arguments.empty());
}

}  // namespace
}  // namespace troupe
