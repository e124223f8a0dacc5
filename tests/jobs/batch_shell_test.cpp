// slurm/troupe.sh, by a shell as Slurm would run it: the program and `scontrol` are functions of the test's own.
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace troupe::test {

namespace fs = std::filesystem;

/// What a batch script has done.
struct shell_result {
  int status = 0;
  int requeues = 0;  ///< how often Slurm was asked
  std::string output;
};

class BatchShell : public ::testing::Test {
protected:
  /// Runs `troupe_run`; `program` is what a shell does in troupe's place, `variables` are set before, `scontrol` is
  /// what Slurm's command does after it was counted; of the job it shows what `restarts_now` says. Waiting takes the
  /// script no time; a requeue ends the script, as Slurm does.
  shell_result run(const std::string& program, const std::string& variables = "",
                   const std::string& scontrol = "exit") {
    const fs::path asked = folder_ / "asked", output = folder_ / "output", script = folder_ / "script.sh";
    fs::remove(asked);
    std::ofstream(folder_ / "troupe") << "#!/bin/bash\n" << program << "\n";
    fs::permissions(folder_ / "troupe", fs::perms::owner_all);
    std::ofstream(script)
        << "unset SLURM_RESTART_COUNT TROUPE_REQUEUES\nexport SLURM_JOB_ID=42 SLURM_JOB_NODELIST=node1\n"
        << variables << "\nexport TROUPE=" << (folder_ / "troupe").string()
        << "\nscontrol() { if [ \"$1\" = show ]; then echo \"JobId=$4 Requeue=1 Restarts=${restarts_now:-"
           "${SLURM_RESTART_COUNT:-0}} BatchFlag=1\"; return; fi; echo \"$@\" >> "
        << asked.string() << "; " << scontrol << "; }\nsleep() { :; }\n. " << shell_.string()
        << "\ntroupe_run job.ini\n";
    const int ended = std::system(("timeout 20 bash " + script.string() + " > " + output.string() + " 2>&1").c_str());
    shell_result result{.status = WEXITSTATUS(ended), .output = contents(output)};
    for (std::ifstream in(asked); in >> std::ws && !in.eof(); ++result.requeues) {
      std::string line;
      std::getline(in, line);
      EXPECT_EQ(line, "requeue 42");
    }
    return result;
  }

  static std::string contents(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  temporary_folder folder_;
  fs::path shell_ = source_tree() / "slurm/troupe.sh";
};

TEST_F(BatchShell, AJobThatIsDoneOrHasFailedIsNotRequeued) {
  for (const int status : {0, 1, 2, 127, 255}) {
    const shell_result result = run("exit " + std::to_string(status));
    EXPECT_EQ(result.status, status);
    EXPECT_EQ(result.requeues, 0) << status << result.output;
  }
}

TEST_F(BatchShell, AStopOnRequestGoesBackIntoTheQueueHoweverOften) {
  EXPECT_EQ(run("exit 75").requeues, 1);
  EXPECT_EQ(run("exit 75", "SLURM_RESTART_COUNT=500").requeues, 1);
  EXPECT_EQ(run("exit 75", "unset SLURM_JOB_ID").requeues, 0) << "outside of Slurm";
  EXPECT_EQ(run("exit 75", "unset SLURM_JOB_NODELIST").requeues, 0) << "a number set by hand";
}

TEST_F(BatchShell, ASupervisorThatASignalEndedIsStartedAgain) {
  for (const char* signal : {"KILL", "SEGV", "ABRT"}) {
    const shell_result result = run(std::string("ulimit -c 0; kill -") + signal + " $$");
    EXPECT_EQ(result.requeues, 1) << signal << ": " << result.output;
  }
}

TEST_F(BatchShell, ASupervisorThatDiesEachTimeIsGivenUp) {
  EXPECT_EQ(run("kill -KILL $$", "SLURM_RESTART_COUNT=9").requeues, 1);
  const shell_result given_up = run("kill -KILL $$", "SLURM_RESTART_COUNT=10");
  EXPECT_EQ(given_up.requeues, 0);
  EXPECT_EQ(given_up.status, 137);
  EXPECT_NE(given_up.output.find("signal 9 ended troupe; the job was requeued 10 times"), std::string::npos)
      << given_up.output;
  EXPECT_EQ(run("kill -KILL $$", "SLURM_RESTART_COUNT=10 TROUPE_REQUEUES=20").requeues, 1);
}

TEST_F(BatchShell, WhatAUserOrSlurmEndedStaysEnded) {
  EXPECT_EQ(run("sleep 0.5; kill -TERM $PPID; exec sleep 60").requeues, 0)
      << "scancel: the shell is told, and hands it on";
  EXPECT_EQ(run("kill -TERM $$").requeues, 0);
  EXPECT_EQ(run("exit 130").requeues, 0) << "ended by INT";
}

TEST_F(BatchShell, USR1IsHandedOnAndTheJobGoesOn) {
  const shell_result saves = run("trap 'exit 75' USR1; sleep 0.5; kill -USR1 $PPID; while :; do sleep 0.01; done");
  EXPECT_EQ(saves.requeues, 1) << saves.output;
  EXPECT_EQ(run("kill -USR1 $$").requeues, 1) << "before it could listen";
}

TEST_F(BatchShell, AJobThatRunsElsewhereByNowIsLeftAlone) {
  const shell_result result = run("exit 75", "SLURM_RESTART_COUNT=3 restarts_now=4");
  EXPECT_EQ(result.requeues, 0) << result.output;
  EXPECT_EQ(result.status, 75);
  EXPECT_NE(result.output.find("it was there already"), std::string::npos) << result.output;
  EXPECT_EQ(run("exit 75", "restarts_now=0").requeues, 1);
}

TEST_F(BatchShell, AControllerThatIsAwayIsAskedAgain) {
  // Each try stands for 5 seconds.
  const shell_result late = run("exit 75", "tries=0", "((++tries > 100)) && exit");
  EXPECT_EQ(late.requeues, 101) << late.output;
  const shell_result never = run("exit 75", "", "return 1");
  EXPECT_EQ(never.requeues, 180);
  EXPECT_EQ(never.status, 75);
  EXPECT_NE(never.output.find("submit the same command again"), std::string::npos) << never.output;
}

/// A script of slurm/ as Slurm runs it: a copy elsewhere, in the folder that it was submitted from.
class BatchScript : public ::testing::Test {
protected:
  static fs::path tree() { return source_tree() / "slurm"; }

  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    fs::permissions(folder_ / name, fs::perms::owner_all);
  }
  /// What troupe is given.
  std::string given_to_troupe(const std::string& script, const std::string& arguments) const {
    fs::copy_file(tree() / script, folder_ / "slurm_script", fs::copy_options::overwrite_existing);
    put("troupe", "#!/bin/bash\necho \"$@\" > told\n");
    put("scontrol", "#!/bin/bash\necho '   UserId=me(1) GroupId=me(1)'\necho '   Command=" +
                        (tree() / script).string() + " job.ini more'\n");
    const std::string folder = folder_.path().string();
    const int ended =
        std::system(("cd " + folder + " && PATH=" + folder + ":$PATH TROUPE=" + folder +
                     "/troupe SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=3 SLURM_GPUS_ON_NODE=4 SLURM_ARRAY_TASK_ID=2 IMAGE=x "
                     "timeout 20 bash slurm_script job.ini " +
                     arguments)
                        .c_str());
    EXPECT_EQ(ended, 0) << script;
    std::ifstream file(folder_ / "told");
    std::string line;
    std::getline(file, line);
    return line;
  }

  temporary_folder folder_;
};

TEST_F(BatchScript, WorksFromAnyFolder) {
  put("job.ini", "[run]\n");
  for (const char* script : {"one-node.sbatch", "preemptible.sbatch"}) {
    EXPECT_EQ(given_to_troupe(script, "--run.seed 3"), "run job.ini --run.seed 3");
  }
  EXPECT_EQ(given_to_troupe("sweep.sbatch", ""), "run job.ini --run.dir runs/sweep-job/2 --run.seed 2");
}

TEST_F(BatchScript, EachNodeGetsARankUnlessSomebodyHasSaid) {
  put("job.ini", "[place]\npolicy-ranks = 1\n");
  EXPECT_EQ(given_to_troupe("several-nodes.sbatch", ""), "run job.ini --place.ranks 3");
  EXPECT_EQ(given_to_troupe("several-nodes.sbatch", "--place.ranks 2"), "run job.ini --place.ranks 2");
  EXPECT_EQ(given_to_troupe("several-nodes.sbatch", "--place.ranks=2"), "run job.ini --place.ranks=2");
  put("job.ini", "[place]\n ranks = 6\n");
  EXPECT_EQ(given_to_troupe("several-nodes.sbatch", ""), "run job.ini");
}

TEST_F(BatchScript, EachCardGetsARankUnlessSomebodyHasSaid) {
  put("job.ini", "[run]\n");
  EXPECT_EQ(given_to_troupe("gpu-one-node.sbatch", ""), "run job.ini --place.ranks 4 --place.device cuda");
  EXPECT_EQ(given_to_troupe("gpu-several-nodes.sbatch", ""), "run job.ini --place.ranks 12 --place.device cuda");
  for (const char* script : {"gpu-one-node.sbatch", "gpu-several-nodes.sbatch"}) {
    EXPECT_EQ(given_to_troupe(script, "--place.ranks 2 --place.device=cuda"),
              "run job.ini --place.ranks 2 --place.device=cuda");
  }
  put("job.ini", "[place]\nranks = 3\n");
  EXPECT_EQ(given_to_troupe("gpu-several-nodes.sbatch", ""), "run job.ini --place.device cuda");
}

TEST_F(BatchScript, OutsideOfAJobItSourcesWhatStandsBesideItself) {
  put("troupe", "#!/bin/bash\necho \"$@\" > told\n");
  put("ch-run", "#!/bin/bash\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n");
  put("scontrol", "#!/bin/bash\necho '   Command=" + (folder_ / "another.sbatch").string() + "'\n");  // of any job
  put("troupe.sh", "troupe_run() { echo 'of another' > told; }\n");
  const std::string folder = folder_.path().string();
  for (const fs::directory_entry& script : fs::directory_iterator(tree())) {
    if (script.path().extension() != ".sbatch") {
      continue;
    }
    fs::remove(folder_ / "told");
    std::system(("cd " + folder + " && env -u SLURM_JOB_ID PATH=" + folder + ":$PATH TROUPE=" + folder +
                 "/troupe IMAGE=x timeout 20 bash " + script.path().string() + " job.ini")
                    .c_str());
    std::ifstream file(folder_ / "told");
    std::string line;
    std::getline(file, line);
    EXPECT_TRUE(line.starts_with("run job.ini")) << script.path() << ": " << line;
  }
}

}  // namespace troupe::test
