// troupe submit and troupe status, as a user calls them. Slurm is a script of the test's own.
#include "io/run/run_directory.hpp"
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace troupe::test {

namespace fs = std::filesystem;
using nlohmann::json;

static std::string contents(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A job whose folder has a quote and a space in its name, and an `sbatch`
/// that notes what it is asked and answers 4711.
class Submit : public ::testing::Test {
protected:
  void write_records(int count) const {
    std::ofstream data(root / "a.jsonl");
    for (int i = 0; i < count; ++i) {
      data << R"({"prompt": "a)" << i << R"(", "answer": "b"})"
           << "\n";
    }
  }
  void SetUp() override {
    fs::create_directories(root);
    std::ofstream(root / "job.ini")
        << "[run]\nphases = sft\n[model]\npolicy = " << test_data()
        << "/stories260k\n[data.a]\npath = a.jsonl\nformat = prompt-answer\n[sft]\nupdates = 10\n";
    write_records(200);
    fs::create_directories(folder / "bin");
    path_before = std::getenv("PATH");
    ::setenv("PATH", ((folder / "bin").string() + ":" + path_before).c_str(), 1);
  }
  void TearDown() override { ::setenv("PATH", path_before.c_str(), 1); }

  void fake_sbatch(const std::string& on_test, const std::string& on_submit) {
    const fs::path file = folder / "bin/sbatch";
    std::ofstream(file) << "#!/bin/bash\necho \"$@\" >> '" << (folder / "asked").string()
                        << "'\nif [ \"$1\" = --test-only ]; then " << on_test << "; else " << on_submit << "; fi\n";
    fs::permissions(file, fs::perms::owner_all);
  }
  void fake(const std::string& name, const std::string& script) {
    std::ofstream(folder.path() / "bin" / name) << "#!/bin/bash\n" << script << "\n";
    fs::permissions(folder.path() / "bin" / name, fs::perms::owner_all);
  }
  program_result submit(std::vector<std::string> options) {
    options.insert(options.begin(), {"submit", root / "job.ini", "--run.dir", run});
    return run_program(options);
  }

  temporary_folder folder;
  fs::path root = folder / "it's mine";
  std::string run = folder / "run";
  std::string path_before;
};

TEST_F(Submit, ADryRunPrintsTheScriptAndLeavesNothing) {
  fake_sbatch("exit 0", "echo 4711");
  const program_result result =
      submit({"--dry-run", "--nodes", "4", "--ranks-per-node", "2", "--place.min-nodes", "3", "--time", "2-12",
              "--partition=long", "--account", "physics", "--sft.updates", "20"});
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* line :
       {"#SBATCH --nodes=3-4 ", "#SBATCH --cpus-per-task=16 ", "#SBATCH --time=2-12 ", "#SBATCH --partition=long\n",
        "#SBATCH --account=physics\n", "#SBATCH --no-kill ", "#SBATCH --requeue ", "#SBATCH --open-mode=append ",
        "#SBATCH --signal=B:USR1@120 ", "troupe_run() {", "scontrol requeue", "--sft.updates 20", "--place.ranks 8",
        "--place.min-nodes 3", "#SBATCH --job-name=job\n"}) {
    EXPECT_TRUE(contains(result.output, line)) << line << "\n" << result.output;
  }
  EXPECT_TRUE(contains(result.output, "it'\\''s mine/job.ini'")) << "quoted for the shell";
  EXPECT_FALSE(fs::exists(run));
  EXPECT_FALSE(fs::exists(folder / "asked"));
}

TEST_F(Submit, OneNodeNeedsNeitherARangeNorNoKill) {
  const program_result result = submit({"--dry-run"});
  EXPECT_TRUE(contains(result.output, "#SBATCH --nodes=1\n")) << result.output;
  EXPECT_FALSE(contains(result.output, "--no-kill"));
  EXPECT_FALSE(contains(result.output, "OMPI_MCA")) << "there is no network between ranks";
  EXPECT_FALSE(contains(result.output, "1 ranks")) << result.output;
  EXPECT_TRUE(contains(result.output, "--place.ranks 1"));
  EXPECT_TRUE(contains(result.output, "--place.min-nodes 1"));
}

TEST_F(Submit, OneNodeMayBeLostWhereTheJobDoesNotSay) {
  const std::string script = submit({"--dry-run", "--nodes", "8"}).output;
  EXPECT_TRUE(contains(script, "#SBATCH --nodes=7-8 ")) << script;
  EXPECT_TRUE(contains(script, "--place.min-nodes 7")) << "the program must stop where the memory ends";
  std::ofstream(root / "job.ini", std::ios::app) << "[place]\nmin-nodes = 1\n";
  EXPECT_TRUE(contains(submit({"--dry-run", "--nodes", "8"}).output, "#SBATCH --nodes=1-8 "))
      << "what the job says counts";
}

TEST_F(Submit, TheScriptSaysWhatLostNodesCostInMemory) {
  const fs::path opt = source_tree() / "jobs/recipes/opt-1.3b";
  const auto script = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--dry-run", "--nodes", "4", "--model.policy", opt});
    return submit(more).output;
  };
  const std::string text = script({});
  const size_t at = text.find("by nodes left: ");
  ASSERT_NE(at, std::string::npos) << text;
  int nodes[3] = {}, gib[3] = {};
  ASSERT_EQ(std::sscanf(text.c_str() + at, "by nodes left: %d: %dG, %d: %dG, %d: %dG.", &nodes[0], &gib[0], &nodes[1],
                        &gib[1], &nodes[2], &gib[2]),
            6)
      << text.substr(at, 100);
  EXPECT_EQ(nodes[0], 4);
  EXPECT_EQ(nodes[1], 3) << "of four ranks one node has two";
  EXPECT_EQ(nodes[2], 1) << "two nodes have two each, as three nodes may";
  EXPECT_NEAR(gib[1], 2 * gib[0], 1);
  EXPECT_NEAR(gib[2], 4 * gib[0], 3);
  EXPECT_TRUE(contains(text, "#SBATCH --mem=" + std::to_string(gib[1]) + "G ")) << text;
  EXPECT_TRUE(contains(text, "place.min-nodes = 3 says how few may be left")) << text;
  EXPECT_FALSE(contains(script({"--place.shrink", "true"}), "by nodes left")) << "then no rank moves to another node";
  EXPECT_FALSE(contains(script({"--mem", "7"}), "by nodes left"));
}

TEST_F(Submit, FurtherOptionsOfSbatchSetUpAndLeadGoIntoTheScript) {
  std::ofstream(folder / "site.sh") << "module load openmpi hdf5\nexport SITE='a b'";
  const program_result result = submit({"--dry-run", "--sbatch", "--qos=high", "--sbatch=--constraint=[a|b]", "--setup",
                                        folder / "site.sh", "--signal-lead", "300"});
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* line : {"#SBATCH --qos=high\n", "#SBATCH --constraint=[a|b]\n", "#SBATCH --signal=B:USR1@300 ",
                           "# 5 minutes before", "\nmodule load openmpi hdf5\nexport SITE='a b'\n"}) {
    EXPECT_TRUE(contains(result.output, line)) << line << "\n" << result.output;
  }
  EXPECT_LT(result.output.find("#SBATCH --qos"), result.output.find("module load"))
      << "after a command sbatch reads no more";
  EXPECT_TRUE(contains(submit({"--dry-run", "--sbatch", "--mem=4G"}).output, "the script has its own --mem"));
  EXPECT_TRUE(contains(submit({"--dry-run", "--sbatch", "qos"}).output, "an option of sbatch, as one word"));
  EXPECT_TRUE(contains(submit({"--dry-run", "--setup", folder / "none.sh"}).output, "none.sh"));
  const program_result unknown = submit({"--dry-run", "--gpus", "4"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_TRUE(contains(unknown.output, "no option --gpus")) << unknown.output;
  EXPECT_TRUE(contains(unknown.output, "--sbatch --gpus=")) << unknown.output;
}

/// The script, run by a shell with `echo` in troupe's place.
TEST_F(Submit, TheScriptRunsTheCommandAsItWasGiven) {
  fake_sbatch("exit 0", "echo 4711");
  std::ofstream(folder / "site.sh") << "echo site\n";
  ASSERT_EQ(submit({"--setup", folder / "site.sh", "--sft.updates", "20"}).status, 0);
  std::string script = contents(run + "/submit.sbatch");
  const size_t program = script.find("\nTROUPE=");
  ASSERT_NE(program, std::string::npos) << script;
  script.replace(program, script.find('\n', program + 1) - program, "\nTROUPE=echo");
  std::ofstream(folder / "run.sh") << script;
  std::system(("bash '" + (folder / "run.sh").string() + "' > '" + (folder / "told").string() + "' 2>&1").c_str());
  EXPECT_EQ(contents(folder / "told"), "site\nrun " + (root / "job.ini").string() + " --run.dir " + run +
                                           " --sft.updates 20 --place.ranks 1 --place.min-nodes 1\n");
}

TEST_F(Submit, TheCommandStandsAboveTheFunctions) {
  const std::string script = submit({"--dry-run"}).output;
  EXPECT_LT(script.find("command=("), script.find("troupe_run() {")) << script;
  EXPECT_FALSE(contains(script, "Sourced by")) << script;
}

TEST_F(Submit, MemoryCountsTheRanksThatLostNodesLeaveBehind) {
  const auto mem = [&](std::vector<std::string> options) {
    options.insert(options.end(),
                   {"--dry-run", "--nodes", "4", "--sft.batch", "64", "--sft.micro-batch-tokens", "65536"});
    const std::string text = submit(options).output;
    const size_t at = text.find("--mem=");
    return at == std::string::npos ? 0 : std::atoll(text.c_str() + at + 6);
  };
  const int64_t packed = mem({"--place.min-nodes", "1"});
  const int64_t half = mem({"--place.min-nodes", "2"});
  const int64_t each = mem({"--place.min-nodes", "4"});
  EXPECT_GE(each, 1);
  EXPECT_NEAR(static_cast<double>(packed), 4.0 * static_cast<double>(each), 4);
  EXPECT_NEAR(static_cast<double>(half), 2.0 * static_cast<double>(each), 2);
  EXPECT_EQ(mem({"--place.min-nodes", "1", "--mem", "7"}), 7);
}

/// GiB of a node that the script asks for.
static int64_t memory_of(const std::string& script) {
  const size_t at = script.find("--mem=");
  EXPECT_NE(at, std::string::npos) << script;
  return at == std::string::npos ? 0 : std::atoll(script.c_str() + at + 6);
}

TEST_F(Submit, MemoryIsPlannedForTheRanksThatAreAskedFor) {
  const fs::path opt = source_tree() / "jobs/recipes/opt-1.3b";
  const auto mem = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--dry-run", "--nodes", "4", "--model.policy", opt, "--place.min-nodes", "4"});
    return memory_of(submit(more).output);
  };
  const std::vector<std::string> sharded = {"--place.policy-zero", "3"};
  // 1.3e9 parameters: 21 GB of weights, gradients, moments on one rank, and 16 GB of the copy.
  EXPECT_GT(mem({}), 30);
  EXPECT_LT(mem(sharded), mem({}) * 2 / 3) << "shards of four ranks, though the job file says one";
}

TEST_F(Submit, WhereRanksBecomeFewerShardsBecomeLarger) {
  const fs::path opt = source_tree() / "jobs/recipes/opt-1.3b";
  const auto mem = [&](const std::string& shrink, const std::string& least) {
    return memory_of(submit({"--dry-run", "--nodes", "8", "--model.policy", opt, "--place.policy-zero", "3",
                             "--place.shrink", shrink, "--place.min-nodes", least, "--run.lanes", "8"})
                         .output);
  };
  EXPECT_EQ(mem("true", "8"), mem("false", "8"));
  EXPECT_GT(mem("true", "2"), mem("true", "8"));
  EXPECT_EQ(mem("true", "3"), mem("true", "2")) << "lanes in eights divide by two ranks, not by three";
  EXPECT_LT(mem("true", "2"), mem("false", "2")) << "packed are four ranks on a node";
}

TEST_F(Submit, ManyRanksNeedMoreOpenFiles) {
  EXPECT_FALSE(contains(submit({"--dry-run", "--nodes", "100"}).output, "ulimit"));
  const std::string script = submit({"--dry-run", "--nodes", "400"}).output;
  const size_t begin = script.find("files=$(ulimit");
  const size_t end = script.find("\nfi\n", begin);
  ASSERT_NE(end, std::string::npos) << script;
  const std::string lines = script.substr(begin, end + 4 - begin);
  const auto limit_after = [&](const std::string& before) {
    std::ofstream(folder / "limit.sh") << before << "\n" << lines << "ulimit -S -n\n";
    std::system(("bash '" + (folder / "limit.sh").string() + "' > '" + (folder / "limit").string() + "' 2>&1").c_str());
    return contents(folder / "limit");
  };
  EXPECT_EQ(limit_after("ulimit -S -n 256"), "3286\n");
  EXPECT_EQ(limit_after("ulimit -S -n 4000"), "4000\n") << "never lowered";
  EXPECT_TRUE(contains(limit_after("ulimit -n 512"), "only 512 open files are allowed here, 400 ranks need 3286"))
      << limit_after("ulimit -n 512");
}

TEST_F(Submit, TheTimeFollowsFromTheRateOfARank) {
  const std::string slow = submit({"--dry-run", "--gflops", "0.01"}).output;
  EXPECT_TRUE(contains(slow, "#SBATCH --time=")) << slow;
  EXPECT_FALSE(contains(slow, "--time=04:00:00"));
  EXPECT_TRUE(contains(slow, "by `troupe plan` (0.01 GFLOP/s a rank, as stated)")) << slow;
  EXPECT_TRUE(contains(submit({"--dry-run", "--gflops", "1000000"}).output, "--time=00:11:00"));
}

TEST_F(Submit, WithoutARateThisMachineIsMeasured) {
  const std::string text = submit({"--dry-run", "--cpus-per-rank", "3000"}).output;
  EXPECT_TRUE(contains(text, "40 % of this machine's matrix product")) << text;
  EXPECT_TRUE(contains(text, "with 3000 threads (measured with ")) << text;
  EXPECT_FALSE(contains(text, "--time=04:00:00")) << "no guess";
}

/// Minutes that the script asks for.
static int64_t minutes_of(const std::string& script) {
  const size_t at = script.find("--time=");
  EXPECT_NE(at, std::string::npos) << script;
  return at == std::string::npos ? 0 : std::atoll(&script[at + 7]) * 60 + std::atoll(&script[at + 10]);
}

TEST_F(Submit, WhatTheRunHasShownCountsMore) {
  fs::create_directories(run);
  std::ofstream(fs::path(run) / "attempt") << "1\n";
  std::ofstream(fs::path(run) / "job.ini") << contents(root / "job.ini") << "\n";
  std::ofstream(fs::path(run) / "ledger.jsonl")
      << R"({"event":"attempt_started","time":1,"attempt":1,"ranks":1,"launcher":"child"})"
      << "\n";
  std::ofstream metrics(fs::path(run) / "metrics.jsonl");
  for (int update = 0; update <= 4; ++update) {  // an hour each, after the evaluation before all
    metrics << R"({"phase":"sft","update":)" << update << R"(,"attempt":1,"time":)" << 1000 + 3600 * update << "}\n";
  }
  metrics.close();
  const std::string text = submit({"--dry-run"}).output;
  EXPECT_TRUE(contains(text, "10.0 h by `troupe plan` (measured in ")) << text;
  EXPECT_EQ(minutes_of(text), 10 * 60 * 5 / 4 + 10) << text;
  EXPECT_EQ(minutes_of(submit({"--dry-run", "--ranks-per-node", "2"}).output), 5 * 60 * 5 / 4 + 10);
  const program_result plan = run_program({"plan", root / "job.ini", "--run.dir", run});
  EXPECT_TRUE(contains(plan.output, "time 10.0 h: measured in ")) << plan.output;
  const fs::path odd = folder / "r\xff";  // not UTF-8
  fs::copy(run, odd, fs::copy_options::recursive);
  EXPECT_TRUE(contains(run_program({"plan", root / "job.ini", "--run.dir", odd}).output, "/r\\xff\n"));
  const json of_odd = json_output(run_program({"plan", root / "job.ini", "--run.dir", odd, "--json"}).output);
  EXPECT_TRUE(contains(of_odd.at("pace").get<std::string>(), "/r\xef\xbf\xbd")) << of_odd;
}

TEST_F(Submit, EpochsAreCountedInTheDataWhereTheyAreHere) {
  write_records(100);
  std::vector<std::string> epochs = {"--dry-run", "--sft.updates", "0", "--sft.epochs", "3", "--sft.batch", "5"};
  for (const char* none :
       {"--split.reward", "--split.ppo", "--split.held-out", "--evaluation.prompts", "--evaluation.records"}) {
    epochs.insert(epochs.end(), {none, "0"});
  }
  epochs.insert(epochs.end(), {"--gflops", "1"});
  const auto plan_of = [&](std::vector<std::string> options) {
    options.erase(options.begin());
    options.insert(options.begin(), {"plan", root / "job.ini", "--json"});
    return json_output(run_program(options).output);
  };
  EXPECT_EQ(plan_of(epochs)["phases"][0]["count"], 60);
  EXPECT_FALSE(contains(submit(epochs).output, "a guess"));
}

TEST_F(Submit, CardsAreAskedForWhereTheJobRunsOnThem) {
  fake_sbatch("echo allocation failure; exit 1", "exit 1");
  const std::vector<std::string> cards = {"--place.device", "cuda", "--nodes", "2", "--gpus-per-node", "4"};
  std::vector<std::string> dry = cards;
  dry.emplace_back("--dry-run");
  const program_result result = submit(dry);
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* line : {"#SBATCH --nodes=2\n", "#SBATCH --cpus-per-task=32 ", "#SBATCH --gpus-per-node=4 ",
                           "--place.device cuda", "--place.ranks 8", "--place.min-nodes 2"}) {
    EXPECT_TRUE(contains(result.output, line)) << line << "\n" << result.output;
  }
  const program_result refused = submit(cards);
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(contains(refused.output, "asked for: 2 node(s) of 32 cores, 4 cards and ")) << refused.output;
  const program_result none = submit({"--dry-run", "--place.device", "cuda"});
  EXPECT_EQ(none.status, 2);
  EXPECT_TRUE(contains(none.output, "--gpus-per-node N")) << none.output;
  const program_result needless = submit({"--dry-run", "--place.device", "cpu", "--gpus-per-node", "4"});
  EXPECT_EQ(needless.status, 2);
  EXPECT_TRUE(contains(needless.output, "--place.device cuda")) << needless.output;
}

TEST_F(Submit, TheScriptIsCheckedThenSubmitted) {
  fake_sbatch("exit 0", "echo '4711;main'");
  const program_result result = submit({"--nodes", "2"});
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(result.output, "4711\n");
  EXPECT_EQ(contents(folder / "asked"),
            "--test-only " + run + "/submit.sbatch\n--parsable " + run + "/submit.sbatch\n");
  EXPECT_TRUE(contains(contents(run + "/submit.sbatch"), "troupe_run"));
  EXPECT_EQ(std::system(("bash -n '" + run + "/submit.sbatch'").c_str()), 0);
}

TEST_F(Submit, WarningsOfSbatchAreToldAndAreNotTheJobsNumber) {
  fake_sbatch("exit 0", "echo 'sbatch: warning: nodes will be shared' >&2; echo 4711");
  const program_result result = submit({});
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(result.output, "sbatch: warning: nodes will be shared\n4711\n");
  EXPECT_EQ(io::run_directory::open(run).slurm_job(), "4711");
}

TEST_F(Submit, AnAnswerThatIsNoNumberIsNotNoted) {
  fake_sbatch("exit 0", "echo 'see you later'");
  const program_result result = submit({});
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "sbatch has answered \"see you later")) << result.output;
  EXPECT_EQ(io::run_directory::open(run).slurm_job(), "");
  fake_sbatch("exit 0", "echo 'no' >&2; exit 3");
  const program_result failed = submit({});
  EXPECT_EQ(failed.status, 1);
  EXPECT_TRUE(contains(failed.output, "no\n") && contains(failed.output, "exit code 3")) << failed.output;
}

TEST_F(Submit, WhatSlurmRefusesIsNotSubmitted) {
  fake_sbatch("echo 'allocation failure: Requested node configuration is not available'; exit 1", "echo 4711");
  const program_result result = submit({});
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "Requested node configuration")) << result.output;
  EXPECT_TRUE(contains(result.output, "asked for: 1 node(s) of 8 cores and ")) << result.output;
  EXPECT_FALSE(contains(contents(folder / "asked"), "--parsable"));
}

TEST_F(Submit, WhatThePartitionsHaveIsToldWithARefusal) {
  fake_sbatch("echo 'Requested node configuration is not available'; exit 1", "echo 4711");
  fake("sinfo", "echo 'main*|4|2|7800|1-00:00:00'");
  const program_result result = submit({"--partition", "main"});
  EXPECT_TRUE(contains(result.output, ", partition main\n")) << result.output;
  EXPECT_TRUE(contains(result.output, "partition main*: 4 node(s) of 2 cores and 7800 MiB, at most 1-00:00:00\n"))
      << result.output;
}

TEST_F(Submit, ARunWhoseJobIsInTheQueueIsRefused) {
  fake_sbatch("exit 0", "echo 4711");
  ASSERT_EQ(submit({}).status, 0);
  fake("squeue", "echo 'PENDING|(Priority)'");
  const program_result result = submit({});
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "its job 4711, PENDING (Priority) is in the queue already: scancel 4711"))
      << result.output;
  EXPECT_TRUE(contains(run_program({"status", run}).output, "slurm job    4711, PENDING (Priority)\n"));
  fake("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
  EXPECT_EQ(submit({}).status, 0);
  EXPECT_TRUE(contains(run_program({"status", run}).output, "slurm job    4711, no longer in the queue\n"));
}

TEST_F(Submit, ARunThatIsInUseIsRefused) {
  fake_sbatch("exit 0", "echo 4711");
  ASSERT_EQ(submit({}).status, 0);
  const io::run_lock lock(io::run_directory::open(run));
  const program_result result = submit({});
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "is in use (pid ")) << result.output;
}

TEST_F(Submit, WithoutSlurmTheScriptIsWrittenAndNamed) {
  ::setenv("PATH", "/nowhere", 1);
  const program_result result = submit({});
  ::setenv("PATH", path_before.c_str(), 1);
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "no sbatch here")) << result.output;
  EXPECT_TRUE(contains(result.output, run + "/submit.sbatch")) << result.output;
  EXPECT_TRUE(fs::exists(run + "/submit.sbatch"));
}

TEST_F(Submit, BadRequestsAreRefusedBeforeAnythingIsWritten) {
  EXPECT_TRUE(contains(submit({"--nodes", "0"}).output, "--nodes 0"));
  EXPECT_TRUE(contains(submit({"--nodes"}).output, "--nodes needs a value"));
  EXPECT_TRUE(contains(submit({"--nodes", "2", "--place.min-nodes", "3"}).output, "place.min-nodes = 3"));
  EXPECT_TRUE(contains(submit({"--partition", "a\n#SBATCH --nodes=99"}).output, "a word without"));
  EXPECT_TRUE(contains(submit({"--sft.nonsense", "1"}).output, "nonsense"));
  EXPECT_FALSE(fs::exists(run));
}

TEST_F(Submit, AFolderOfAnotherJobIsRefused) {
  fake_sbatch("exit 0", "echo 4711");
  ASSERT_EQ(submit({}).status, 0);
  std::string text = contents(root / "job.ini");
  text.replace(text.find("a.jsonl"), 7, (root / "a.jsonl").string());  // as a run keeps it: absolute
  std::ofstream(run + "/job.ini") << text;
  std::ofstream(run + "/ledger.jsonl") << R"({"event":"phase_started","time":1,"attempt":1,"phase":"sft"})"
                                       << "\n";
  const program_result result = submit({"--run.seed", "77"});
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "run.seed")) << result.output;
}

TEST_F(Submit, StatusOfARunThatWaitsInTheQueue) {
  fake_sbatch("exit 0", "echo 4711");
  ASSERT_EQ(submit({}).status, 0);
  const program_result text = run_program({"status", run});
  EXPECT_EQ(text.status, 0);
  EXPECT_TRUE(contains(text.output, "not started")) << text.output;
  std::ofstream(run + "/ledger.jsonl")
      << R"({"event":"run_started","time":1,"attempt":0,"pid":1})"
      << "\n"
      << R"({"event":"attempt_started","time":1,"attempt":1,"ranks":2,"hosts":"n1:1 n2:1"})"
      << "\n"
      << R"({"event":"phase_started","time":1,"attempt":1,"phase":"sft"})"
      << "\n"
      << R"({"event":"worker_failed","time":2,"attempt":1,"rank":1,"host":"n2","operation":"step","reason":"gone"})"
      << "\n"
      << R"({"event":"recovered","time":3,"attempt":2,"seconds":1.25})"
      << "\n"
      << R"({"event":"ha)";
  std::ofstream(run + "/metrics.jsonl") << R"({"phase":"sft","update":1,"attempt":1,"time":10})"
                                        << "\n"
                                        << R"({"phase":"sft","update":3,"attempt":1,"time":14})"
                                        << "\n";
  const program_result told = run_program({"status", run, "--json"});
  ASSERT_EQ(told.status, 0) << told.output;
  const json status = json_output(told.output);
  EXPECT_EQ(status["state"], "interrupted");
  EXPECT_EQ(status["phase"], "sft");
  EXPECT_EQ(status["counter"], 3);
  EXPECT_EQ(status["per_second"], 0.5);
  EXPECT_EQ(status["ranks"], 2);
  EXPECT_EQ(status["last_failures"][0]["host"], "n2");
  EXPECT_EQ(status["last_failures"][0]["recovered_s"], 1.25);
  EXPECT_TRUE(contains(run_program({"status", run}).output, "rank 1 on n2, in \"step\": gone; recovered after 1.2 s"))
      << run_program({"status", run}).output;
}

TEST_F(Submit, StatusOfWhatIsNoRunIsAnError) {
  const program_result result = run_program({"status", root});
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "not a run directory")) << result.output;
}

}  // namespace troupe::test
