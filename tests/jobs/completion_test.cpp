// Shells complete command lines of the program, by the scripts that it writes.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace troupe::test {

namespace fs = std::filesystem;

static std::string output_of(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::string output;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof(buffer), pipe)) {
    output.append(buffer, count);
  }
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
  return output;
}

static bool there_is(const std::string& shell) { return std::system((shell + " -c : 2>/dev/null").c_str()) == 0; }

/// A folder in which command lines are typed: a job with two data sets, and other files.
class Completion : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    if (!there_is(GetParam())) {
      GTEST_SKIP() << "there is no " << GetParam() << " on this machine";
    }
    fs::create_directories(folder_ / "models/small");
    std::ofstream(folder_ / "job.ini") << "[run]\nphases = sft\n[data.books]\npath = x\n[data.letters]\npath = y\n";
    std::ofstream(folder_ / "data.jsonl") << "{}\n";
    const program_result script = run_program({"completion", GetParam()});
    ASSERT_EQ(script.status, 0) << script.output;
    std::ofstream(folder_ / "script") << script.output;
  }

  /// What is offered for the last of the words.
  std::vector<std::string> offers(const std::string& words) {
    std::ofstream(folder_ / "typed") << (GetParam() == "bash" ? bash_line(words) : zsh_line(words));
    std::istringstream lines(output_of("cd " + folder_.path().string() + " && " + GetParam() +
                                       (GetParam() == "zsh" ? " -f" : "") + " typed"));
    std::vector<std::string> found;
    for (std::string line; std::getline(lines, line);) {
      found.push_back(line);
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  bool offered(const std::string& words, const std::string& wanted) {
    const auto all = offers(words);
    return std::find(all.begin(), all.end(), wanted) != all.end();
  }

private:
  static std::string bash_line(const std::string& words) {
    return "source ./script\nCOMP_WORDS=(" + words +
           ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_troupe\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
  }

  /// zsh's own functions, as far as the script calls them, in place of its line editor.
  static std::string zsh_line(const std::string& words) {
    return R"(
compdef() { :; }
compadd() { shift; print -l -- ${(M)@:#$PREFIX*}; }
compset() { PREFIX=${PREFIX#*=}; }
_describe() {
  local one
  for one in ${(P)2}; do [[ $one == $PREFIX* ]] && print -r -- ${one%%:*}; done
  true
}
_files() { if [[ $1 == -g ]]; then print -l -- $~2(N) *(/N); else print -l -- *(N); fi; }
source ./script
words=()" + words +
           ")\nCURRENT=$#words\nPREFIX=$words[CURRENT]\n_troupe\n";
  }

  temporary_folder folder_;
};

using words = std::vector<std::string>;

TEST_P(Completion, KnowsCommandsAndTheirOptions) {
  EXPECT_EQ(offers("troupe sc"), (words{"score"}));
  EXPECT_TRUE(offered("troupe ''", "completion"));
  EXPECT_FALSE(offered("troupe ''", "worker")) << "it is not for users";
  EXPECT_EQ(offers("troupe status run --j"), (words{"--json"}));
  EXPECT_EQ(offers("troupe submit job.ini --no"), (words{"--nodes"}));
  EXPECT_TRUE(offered("troupe generate models/small --", "--temperature"));
  EXPECT_FALSE(offered("troupe score models/small --", "--temperature"));
}

TEST_P(Completion, KnowsTheOptionsOfAJob) {
  EXPECT_EQ(offers("troupe run job.ini --ppo.kl-co"), (words{"--ppo.kl-coef", "--ppo.kl-controller"}));
  EXPECT_TRUE(offered("troupe plan job.ini --", "--ppo.kl-in"));
  EXPECT_EQ(offers("troupe status job.ini --ppo"), offers("troupe status job.ini --nothing"));
  EXPECT_TRUE(offered("troupe run job.ini --data.", "--data.books.path")) << "the job file has that name";
  EXPECT_TRUE(offered("troupe run job.ini --data.", "--data.letters.format"));
}

TEST_P(Completion, KnowsTheWordsThatAnOptionTakes) {
  EXPECT_EQ(offers("troupe run job.ini --ppo.kl-in ''"), (words{"loss", "reward"}));
  EXPECT_EQ(offers("troupe run job.ini --ppo.kl-in r"), (words{"reward"}));
  EXPECT_EQ(offers("troupe run job.ini --run.exact ''"), (words{"false", "true"}));
  EXPECT_EQ(offers("troupe run job.ini --data.mine.format hh"), (words{"hh-dialogue"}));
  EXPECT_EQ(offers("troupe eval models/small --loss ''"), (words{"all", "answers"}));
  EXPECT_EQ(offers("troupe eval models/small --format pa"), (words{"pairs"}));
  EXPECT_EQ(offers("troupe convert models/small new --dtype b"), (words{"bf16"}));
  EXPECT_EQ(offers("troupe completion z"), (words{"zsh"}));
}

TEST_P(Completion, OffersFilesWhereFilesAreAsked) {
  EXPECT_TRUE(offered("troupe run ''", "job.ini"));
  EXPECT_TRUE(offered("troupe run ''", "models"));
  EXPECT_FALSE(offered("troupe run ''", "data.jsonl")) << "it is no job file";
  EXPECT_TRUE(offered("troupe score ''", "models"));
  EXPECT_TRUE(offered("troupe eval models/small --data ''", "data.jsonl"));
  EXPECT_TRUE(offered("troupe run job.ini --model.policy ''", "models"));
  EXPECT_TRUE(offered("troupe eval models/small --chat-template ''", "data.jsonl"));
  EXPECT_TRUE(offered("troupe eval models/small --chat-template ''", "chatml"));
}

TEST_P(Completion, TakesValuesBehindEqualsSigns) {
  if (GetParam() == "bash") {  // which makes three words of it
    EXPECT_EQ(offers("troupe run job.ini --ppo.kl-in = ''"), (words{"loss", "reward"}));
    EXPECT_EQ(offers("troupe run job.ini --ppo.kl-in ="), (words{"loss", "reward"}));
    EXPECT_EQ(offers("troupe run job.ini --ppo.kl-in = l"), (words{"loss"}));
  } else {
    EXPECT_EQ(offers("troupe run job.ini --ppo.kl-in=l"), (words{"loss"}));
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Completion, testing::Values("bash", "zsh"),
                         [](const auto& info) { return std::string(info.param); });

TEST(CompletionCommand, RefusesOtherShells) {
  const program_result refused = run_program({"completion", "fish"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.output.find("\"fish\": there are scripts for bash and zsh"), std::string::npos) << refused.output;
}

/// Text of the page without what man(7) needs.
static std::string unescaped(std::string page) {
  const std::vector<std::pair<std::string, std::string>> marks = {
      {"\\-", "-"}, {"\\(aq", "'"}, {"\\(ga", "`"}, {"\\&", ""}, {"\\e", "\\"}};
  for (const auto& [mark, text] : marks) {
    for (size_t at = 0; (at = page.find(mark, at)) != std::string::npos; at += text.size()) {
      page.replace(at, mark.size(), text);
    }
  }
  return page;
}

TEST(Manual, SaysWhatEachCommandSaysWithHelp) {
  const program_result page = run_program({"manual"});
  ASSERT_EQ(page.status, 0) << page.output;
  const std::string text = unescaped(page.output);
  for (const char* command : {"run", "submit", "generate", "convert"}) {
    const program_result help = run_program({command, "--help"});
    EXPECT_NE(text.find(help.output.substr(0, help.output.find_last_not_of('\n'))), std::string::npos) << command;
  }
  for (const char* option : {"--ppo.kl-in", "--section.key", "--template-variables"}) {
    EXPECT_NE(text.find(option), std::string::npos) << option;
  }
}

}  // namespace troupe::test
