// What a command may meet around it: streams that are full, closed or no stream at all, limits, signals, environments.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace troupe::test {

/// Runs a line of shell, in which $TROUPE is the program.
static program_result shell(const std::string& line) {
  ::setenv("TROUPE", troupe_program().c_str(), 1);
  std::FILE* pipe = ::popen(("{ " + line + " ; } 2>&1").c_str(), "r");
  program_result result;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) {
    result.output.append(buffer, count);
  }
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return result;
}

class Surroundings : public ::testing::Test {
protected:
  void SetUp() override {
    std::ofstream(folder_ / "prompts.jsonl") << R"({"prompt": "One day"})"
                                             << "\n";
    std::ofstream(folder_ / "texts.jsonl") << R"({"text": "Once upon a time"})"
                                           << "\n";
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  void put_program(const std::string& name, const std::string& script) const {
    std::ofstream(folder_ / name) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_all);
  }
  /// A call of each command that prints.
  std::vector<std::string> calls() const {
    const std::string job = test_data() + "/jobs/tiny.ini";
    const std::string texts = file("texts.jsonl");
    return {"--help",
            "eval --help",
            "run --help",
            "plan " + job,
            "submit " + job + " --dry-run --run.dir " + file("submitted"),
            "inspect " + stories_,
            "eval " + stories_ + " --data " + texts + " --format text",
            "score " + stories_ + " < " + texts,
            "tokenize " + stories_ + " < " + texts,
            "generate " + stories_ + " --max-new-tokens 1 < " + file("prompts.jsonl"),
            "chat " + stories_ + " --max-new-tokens 1 < " + texts};
  }

  temporary_folder folder_;
  std::string stories_ = test_data() + "/stories260k";
};

TEST_F(Surroundings, AFullOutputIsAFailureThatSaysSo) {
  for (const std::string& call : calls()) {
    const program_result result = shell("$TROUPE " + call + " > /dev/full");
    EXPECT_EQ(result.status, 1) << call;
    EXPECT_TRUE(contains(result.output, "output cannot be written")) << call << "\n" << result.output;
  }
}

TEST_F(Surroundings, AClosedOutputIsAFailureToo) {
  const program_result result = shell("$TROUPE inspect " + stories_ + " >&-");
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "output cannot be written")) << result.output;
}

TEST_F(Surroundings, WhatIsClosedDoesNotLeadIntoAFileThatIsWritten) {
  const program_result plain = shell("$TROUPE convert " + stories_ + " " + file("plain") + " > " + file("out"));
  ASSERT_EQ(plain.status, 0) << plain.output;
  shell("$TROUPE convert " + stories_ + " " + file("closed") + " <&- >&- 2>&-");
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "plain")) {
    const std::filesystem::path name = entry.path().filename();
    EXPECT_EQ(text_of(entry.path()), text_of(folder_ / "closed" / name)) << name;
  }
}

TEST_F(Surroundings, AReaderThatHasEnoughEndsTheFilterQuietly) {
  const program_result result =
      shell("yes '{\"text\": \"a\"}' | $TROUPE tokenize " + stories_ + " | head -n 1 > /dev/null");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "");
}

TEST_F(Surroundings, AnInputThatCannotBeReadIsNoEmptyOne) {
  const program_result result = shell("$TROUPE tokenize " + stories_ + " < " + folder_.path().string());
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "the input cannot be read")) << result.output;
  EXPECT_EQ(shell("$TROUPE chat " + stories_ + " < " + folder_.path().string()).status, 1);
}

TEST_F(Surroundings, ANamedPipeIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo(file("job.ini").c_str(), 0600), 0);
  for (const char* command : {"run", "plan", "submit"}) {
    const program_result result = shell(std::string("timeout 20 $TROUPE ") + command + " " + file("job.ini"));
    EXPECT_EQ(result.status, 2) << command;
    EXPECT_TRUE(contains(result.output, "it is not a regular file")) << result.output;
  }
}

TEST_F(Surroundings, AFileBeyondTheLimitIsAnErrorThatLeavesNothing) {
  const std::string target = file("limited/model");
  const program_result result = shell("bash -c 'ulimit -f 100; $TROUPE convert " + stories_ + " " + target + "'");
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "File too large")) << result.output;
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "limited"));
}

TEST_F(Surroundings, WhoeverIgnoresTheEndOfChildrenDoesNotHideIt) {
  put_program("sbatch", "echo 4711");
  const program_result result =
      shell("PATH=" + folder_.path().string() +
            ":$PATH python3 -c 'import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
            "os.execv(sys.argv[1], sys.argv[1:])' $TROUPE submit " +
            test_data() + "/jobs/tiny.ini --run.dir " + file("run"));
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_TRUE(contains(result.output, "4711")) << result.output;
}

/// A shell that has outlived its Slurm job still has its environment.
TEST_F(Surroundings, TheEnvironmentOfASlurmJobThatIsOverIsNoAllocation) {
  std::ofstream(folder_ / "squeue")
      << "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n";
  std::ofstream(folder_ / "srun") << "#!/bin/sh\ntouch " << file("asked") << "\nexit 1\n";
  for (const char* name : {"squeue", "srun"}) {
    std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_all);
  }
  const program_result result = shell("SLURM_JOB_ID=42 SLURM_JOB_NODELIST=node1 PATH=" + folder_.path().string() +
                                      ":$PATH $TROUPE run " + test_data() + "/jobs/tiny.ini --run.dir " + file("run"));
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "SLURM_JOB_ID = 42: this job is over")) << result.output;
  EXPECT_TRUE(contains(result.output, "unset SLURM_JOB_ID and SLURM_JOB_NODELIST")) << result.output;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "asked"));
}

}  // namespace troupe::test
