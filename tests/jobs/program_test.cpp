// From words to a command and its exit status.
#include "jobs/commands.hpp"
#include "jobs/program.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

struct program_end {
  int status = 0;
  std::string out, err;
};

program_end run(std::vector<std::string> words) {
  words.insert(words.begin(), "troupe");
  std::vector<char*> pointers;
  for (std::string& word : words) {
    pointers.push_back(word.data());
  }
  pointers.push_back(nullptr);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int status = run_program(static_cast<int>(words.size()), pointers.data());
  return {status, ::testing::internal::GetCapturedStdout(), ::testing::internal::GetCapturedStderr()};
}

TEST(Program, HelpListsTheCommandsOfUsers) {
  const program_end help = run({"--help"});
  EXPECT_EQ(help.status, exit_ok);
  for (const char* name : {"run", "plan", "submit", "status", "eval", "generate", "score", "tokenize", "chat",
                           "inspect", "experience", "import", "rescore", "convert", "fork", "completion", "manual"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + name + " "), std::string::npos) << name << "\n" << help.out;
  }
  EXPECT_EQ(help.out.find("worker"), std::string::npos) << "it is started by the program alone";
  EXPECT_EQ(run({}).status, exit_usage) << "nothing was asked for";
}

TEST(Program, VersionNamesLibrariesAndTheCpu) {
  const program_end version = run({"--version"});
  EXPECT_EQ(version.status, exit_ok);
  for (const char* word :
       {"troupe " TROUPE_VERSION "\n", "CAF 0.17.", "\nMPI ", "\nHDF5          1.", "\nkernels for   "}) {
    EXPECT_NE(version.out.find(word), std::string::npos) << word << "\n" << version.out;
  }
  EXPECT_EQ(version.out.find(", ,"), std::string::npos) << "a version is empty: " << version.out;
  EXPECT_EQ(version.out.find(" ,"), std::string::npos) << "a version is empty: " << version.out;
}

TEST(Program, AnUnknownCommandIsNamed) {
  const program_end unknown = run({"rnu"});
  EXPECT_EQ(unknown.status, exit_usage);
  EXPECT_NE(unknown.err.find("there is no command \"rnu\""), std::string::npos) << unknown.err;
}

TEST(Program, ErrorsOfUseAndOthersEndDifferently) {
  const program_end use = run({"status", "--jsno"});
  EXPECT_EQ(use.status, exit_usage);
  EXPECT_EQ(use.err.rfind("troupe status: ", 0), 0U) << use.err;
  const program_end other = run({"status", "/no/such/run"});
  EXPECT_EQ(other.status, exit_failed);
  EXPECT_NE(other.err.find("there is no run at /no/such/run"), std::string::npos) << other.err;
}

}  // namespace
}  // namespace troupe
