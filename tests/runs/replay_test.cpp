// Replays of a whole run: to its own bytes from the start, from the middle, on other numbers of ranks, and after kills;
// and what they refuse.
#include "base/error.hpp"
#include "io/experience/experience.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/run_status.hpp"
#include "support/json_output.hpp"
#include "support/metrics_records.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/undisturbed_run.hpp"
#include "support/verified_replay.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace troupe::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
/// A run with mixture text, an average, an adaptive KL and running rewards, of which every checkpoint is kept; its
/// gradients are summed in four lanes.
class ReplayedRun : public undisturbed_run<ReplayedRun> {
public:
  static words command_of_undisturbed(const fs::path& run) {
    return run_of_job("tiny", run) + words{"--run.lanes", "4", "--run.keep-checkpoints", "10", "--place.ranks", "2"};
  }

protected:
  static program_result replay(const words& more) {
    return run_program(words{"replay", undisturbed().string()} + more);
  }
  static program_result verify(const words& more) { return run_program(verification_of(undisturbed(), more)); }
};

TEST_F(ReplayedRun, FromItsStartComesToItsWeights) {
  expect_verified(verify({}), 100);
  EXPECT_FALSE(fs::exists(undisturbed() / "replays" / "verify-000000-000004"))
      << "what has shown no difference is removed";
}

TEST_F(ReplayedRun, WhatOthersHavePutBesideItIsKept) {
  const fs::path run = copy_of_undisturbed();
  const fs::path place = run / "replays" / "verify-000000-000002";
  const words command = {"replay", run.string(), "--verify", "--to-iteration", "2", "--place.ranks", "1"};
  for (const char* mine : {"notes.txt", "my/a"}) {
    fs::create_directories((place / mine).parent_path());
    std::ofstream(place / "attempt") << "0\n";  // as a start that was cut off leaves it
    std::ofstream(place / mine) << "mine";
    const program_result result = run_program(command);
    EXPECT_EQ(result.status, 0) << result.output;
    EXPECT_EQ(text_of(place / mine), "mine") << result.output;
    fs::remove_all(place);
  }
}

TEST_F(ReplayedRun, FromTheMiddleComesToItsWeights) {
  expect_verified(verify({"--from-iteration", "2"}));
  expect_verified(verify({"--from-iteration", "1", "--to-iteration", "3"}));
}

TEST_F(ReplayedRun, OnAnyNumberOfRanksComesToItsWeights) {
  for (const char* ranks : {"1", "4"}) {
    expect_verified(verify({"--place.ranks", ranks}));
  }
}

TEST_F(ReplayedRun, ShardedOverRanksComesToItsWeights) {
  expect_verified(verify({"--place.policy-zero", "3", "--place.critic-zero", "2"}));
}

TEST_F(ReplayedRun, WhoseSavedModelsAreAllThatIsLeftIsHeldAgainstThem) {
  const fs::path run = copy_of_undisturbed();
  fs::remove_all(run / "checkpoints" / "ppo");
  const program_result result = run_program(verification_of(run, {"--place.ranks", "1"}));
  expect_verified(result);
  EXPECT_NE(json_output(result.output).at("live").get<std::string>().find("models"), std::string::npos);
}

TEST_F(ReplayedRun, KilledInTheMiddleGoesOnToItsWeights) {
  const words command = verification_of(undisturbed(), {"--run.dir", (scratch_ / "r").string()});
  kill_rank_and_supervisor(command, scratch_ / "r", scratch_ / "output", 2, 1);
  const program_result result = run_program(command);
  expect_verified(result);
  const std::string ledger = text_of(scratch_ / "r" / "ledger.jsonl");
  EXPECT_NE(ledger.find("phase_resumed"), std::string::npos) << ledger;
}

TEST_F(ReplayedRun, StoppedOnRequestGoesOn) {
  const words command = verification_of(undisturbed(), {"--run.dir", (scratch_ / "r").string()});
  {
    program troupe(command, scratch_ / "output");
    await_records(troupe, scratch_ / "r", 1);
    const int status = troupe.stop(SIGTERM);
    EXPECT_TRUE(status == 75 || status == 0) << text_of(scratch_ / "output");
  }
  expect_verified(run_program(command));
}

TEST_F(ReplayedRun, SaysTheSameOfEachIteration) {
  const fs::path run = scratch_ / "r";
  expect_verified(verify({"--run.dir", run.string()}));
  auto then = records_of(undisturbed(), "ppo");
  auto now = records_of(run, "replay");
  ASSERT_EQ(now.size(), 4U);
  for (const auto& [iteration, record] : now) {
    int compared = 0;
    for (const auto& [name, value] : record.items()) {
      const bool of_itself = name == "phase" || name == "attempt" || name.starts_with("time") ||
                             name.starts_with("rate/") || name.starts_with("replay/");
      if (!of_itself) {
        EXPECT_EQ(value, then.at(iteration).at(name)) << name << " of iteration " << iteration;
        ++compared;
      }
    }
    EXPECT_GT(compared, 30);
    EXPECT_EQ(record.at("replay/run"), undisturbed().string());
    EXPECT_EQ(record.at("replay/file"), "experience/iteration-00000" + std::to_string(iteration) + ".h5");
    EXPECT_EQ(record.at("replay/start"), "start");
  }
}

TEST_F(ReplayedRun, WithNothingChangedIsTheRunEvenWithWeights) {
  const fs::path run = scratch_ / "r";
  const program_result result = replay({"--run.dir", run.string()});
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* file : {"policy/model.safetensors", "critic/model.safetensors", "policy-ema/model.safetensors"}) {
    EXPECT_EQ(text_of(undisturbed() / "models" / file), text_of(run / "models" / file)) << file;
  }
  for (const auto& [iteration, record] : records_of(run, "replay")) {
    EXPECT_EQ(record.at("replay/ess_share"), 1.0) << iteration;
    EXPECT_EQ(record.at("replay/behaviour_kl_nats"), 0.0) << iteration;
    EXPECT_EQ(record.at("replay/weight_max"), 1.0) << iteration;
  }
}

TEST_F(ReplayedRun, OtherOptionsComeToOtherWeightsAndSayHowFarTheyAre) {
  const fs::path run = scratch_ / "r";
  const program_result result =
      replay({"--run.dir", run.string(), "--ppo.policy-learning-rate", "1e-3", "--from-iteration", "1",
              "--rewards.happiness.weight", "2", "--place.ranks", "1"});
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_NE(text_of(undisturbed() / "models/policy/model.safetensors"),
            text_of(run / "models/policy/model.safetensors"));
  const auto records = records_of(run, "replay");
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records.at(2).at("replay/ess_share"), 1.0) << "the checkpoint's policy has sampled the first";
  EXPECT_LT(records.at(3).at("replay/ess_share"), 1.0);
  EXPECT_GT(records.at(4).at("replay/behaviour_kl_k3_nats"), 0.0);
  EXPECT_EQ(records.at(4).at("replay/start"), "checkpoints/ppo/iteration-000001");
}

TEST_F(ReplayedRun, TooFarFromThePolicyThatSampledIsAnEnd) {
  const program_result result = replay({"--run.dir", (scratch_ / "r").string(), "--ppo.policy-learning-rate", "3e-3",
                                        "--replay.min-ess", "0.999", "--place.ranks", "1"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("the effective sample size is"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("replay.min-ess"), std::string::npos) << result.output;
}

TEST_F(ReplayedRun, WhatNeedsNewSamplesIsRefusedByName) {
  const program_result result = replay({"--run.dir", (scratch_ / "r").string(), "--generation.temperature", "0.5",
                                        "--ppo.samples-per-prompt", "4", "--ppo.gamma", "0.9"});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("generation.temperature = 0.5"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("ppo.samples-per-prompt = 4"), std::string::npos) << result.output;
  EXPECT_EQ(result.output.find("ppo.gamma"), std::string::npos) << result.output;
}

TEST_F(ReplayedRun, ToVerifyWithOtherOptionsIsRefused) {
  const program_result result = verify({"--ppo.gamma", "0.9"});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("ppo.gamma = 0.9"), std::string::npos) << result.output;
}

TEST_F(ReplayedRun, WithoutTheCheckpointNamesThoseThatThereAre) {
  const program_result result = verify({"--from-iteration", "2", "--to-iteration", "9"});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("there are those after 1, 2, 3, 4"), std::string::npos) << result.output;
}

TEST_F(ReplayedRun, MissingExperienceIsRefusedByNumber) {
  const fs::path run = copy_of_undisturbed();
  fs::remove(run / "experience" / "iteration-000002.h5");
  const program_result result = run_program({"replay", run.string(), "--verify"});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("no experience of iterations 2 "), std::string::npos) << result.output;
  const program_result around = run_program({"replay", run.string(), "--run.dir", (scratch_ / "r").string(),
                                             "--to-iteration", "4", "--replay.allow", "iterations"});
  EXPECT_EQ(around.status, 0) << around.output;
  EXPECT_EQ(records_of(scratch_ / "r", "replay").size(), 3U);
}

TEST_F(ReplayedRun, ExperienceOfAnotherIterationIsRefused) {
  const fs::path run = copy_of_undisturbed();
  fs::copy_file(run / "experience" / "iteration-000003.h5", run / "experience" / "iteration-000002.h5",
                fs::copy_options::overwrite_existing);
  const program_result result = run_program({"replay", run.string(), "--verify"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("iteration-000002.h5: it holds iteration 3"), std::string::npos) << result.output;
}

TEST_F(ReplayedRun, AFlippedBitOfAFileIsFound) {
  const fs::path run = copy_of_undisturbed();
  const fs::path file = run / "experience" / "iteration-000002.h5";
  std::string bytes = text_of(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
  const program_result result = run_program({"replay", run.string(), "--verify"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("iteration-000002.h5"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("damaged"), std::string::npos) << result.output;
}

/// One bit of one log-probability, in a file that agrees with itself.
static uint64_t flip_a_log_prob(const fs::path& file, size_t at) {
  io::experience e = io::read_experience(file);
  e.logprob_old_A[at] = std::bit_cast<float>(std::bit_cast<uint32_t>(e.logprob_old_A[at]) ^ 1U);
  fs::remove(file);
  io::write_experience(file, e);
  size_t b = 0;
  while (static_cast<size_t>(e.answer_offset_B1[b + 1]) <= at) {
    ++b;
  }
  return e.sequence_id_B[b];
}

TEST_F(ReplayedRun, OneBitOfOneLogProbabilityIsFoundAndNamed) {
  const fs::path run = copy_of_undisturbed();
  const uint64_t id = flip_a_log_prob(run / "experience" / "iteration-000003.h5", 37);
  const program_result result = run_program({"replay", run.string(), "--verify"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("iteration-000003.h5: the shaped reward of answer token"), std::string::npos)
      << result.output;
  EXPECT_NE(result.output.find(std::to_string(id)), std::string::npos) << result.output;
}

TEST_F(ReplayedRun, AnotherStartModelIsRefused) {
  const fs::path run = copy_of_undisturbed();
  fs::copy_file(run / "models" / "policy" / "model.safetensors", run / "models" / "sft" / "model.safetensors",
                fs::copy_options::overwrite_existing);
  for (const char* from : {"0", "2"}) {
    const program_result result = run_program({"replay", run.string(), "--verify", "--from-iteration", from});
    EXPECT_EQ(result.status, 1) << from;
    EXPECT_NE(result.output.find("digest"), std::string::npos) << result.output;
  }
}

/// Nothing of the replay has begun.
static void expect_refused_at_once(const program_result& result, const std::string& words) {
  EXPECT_NE(result.status, 0);
  EXPECT_NE(result.output.find(words), std::string::npos) << result.output;
  EXPECT_EQ(result.output.find("replaying iterations"), std::string::npos) << result.output;
}

TEST_F(ReplayedRun, AStartModelWithoutItsWeightsIsRefusedAtOnce) {
  const fs::path run = copy_of_undisturbed();
  fs::remove(run / "models" / "sft" / "model.safetensors");
  expect_refused_at_once(run_program({"replay", run.string(), "--verify"}), "models/sft");
}

TEST_F(ReplayedRun, ADamagedCheckpointToCompareWithIsRefusedAtOnce) {
  const fs::path run = copy_of_undisturbed();
  const fs::path file = run / "checkpoints" / "ppo" / "iteration-000004" / "rank-00001.h5";
  std::string bytes = text_of(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
  expect_refused_at_once(run_program({"replay", run.string(), "--verify"}), "iteration-000004/rank-00001.h5");
}

TEST_F(ReplayedRun, ADamagedCheckpointToStartFromIsRefusedAtOnce) {
  const fs::path run = copy_of_undisturbed();
  const fs::path file = run / "checkpoints" / "ppo" / "iteration-000002" / "rank-00000.h5";
  fs::resize_file(file, fs::file_size(file) - 100);
  expect_refused_at_once(run_program({"replay", run.string(), "--verify", "--from-iteration", "2"}),
                         "iteration-000002/rank-00000.h5");
}

TEST_F(ReplayedRun, ACheckpointInTheFolderOfAnotherIsRefused) {
  const fs::path run = copy_of_undisturbed();
  fs::remove_all(run / "checkpoints" / "ppo" / "iteration-000002");
  fs::copy(run / "checkpoints" / "ppo" / "iteration-000003", run / "checkpoints" / "ppo" / "iteration-000002",
           fs::copy_options::recursive);
  const program_result result = run_program({"replay", run.string(), "--verify", "--from-iteration", "2"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("iteration-000002 holds the checkpoint after iteration 3: put the right one back"),
            std::string::npos)
      << result.output;
}

TEST_F(ReplayedRun, ASweepIsCutOffAndGoesOnAndEndsInATable) {
  const fs::path folder = scratch_ / "sweep";
  const words command = words{"replay", undisturbed().string(), "--run.dir", folder.string(), "--place.ranks", "1"} +
                        words{"--to-iteration",
                              "2",
                              "--json",
                              "--sweep",
                              "ppo.gamma=1,0.9",
                              "--sweep",
                              "ppo.policy-learning-rate=1e-4,1e-3"};
  const fs::path first = folder / "ppo.gamma=1_ppo.policy-learning-rate=1e-4";
  const fs::path second = folder / "ppo.gamma=1_ppo.policy-learning-rate=1e-3";
  {
    program troupe(command, scratch_ / "output");
    await_records(troupe, second, 1);
    troupe.kill();
  }
  while (
      !io::lock_holder(io::run_directory::open(second)).empty()) {  // the variant's own process goes with the sweep's
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string ledger = text_of(first / "ledger.jsonl");
  const program_result result = run_program(command);
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(text_of(first / "ledger.jsonl"), ledger) << "what is finished is left alone";
  const nlohmann::json variants = json_output(result.output).at("variants");
  ASSERT_EQ(variants.size(), 4U);
  for (const nlohmann::json& variant : variants) {
    EXPECT_EQ(variant.at("state"), "finished") << variant;
    EXPECT_EQ(variant.at("iterations"), 2) << variant;
    EXPECT_TRUE(variant.contains("replay/score_estimate")) << variant;
  }
  EXPECT_NE(text_of(folder / "sweep.svg").find("ppo.gamma=0.9_ppo.policy-learning-rate=1e-3"), std::string::npos);
}

TEST_F(ReplayedRun, AFinishedVariantAnswersNoOtherQuestion) {
  const fs::path folder = scratch_ / "sweep";
  const words command =
      words{"--run.dir", folder.string(), "--place.ranks", "1", "--json"} + words{"--sweep", "ppo.gamma=0.9"};
  const words to_second = {"--to-iteration", "2"};
  ASSERT_EQ(replay(command + to_second).status, 0);
  const std::string ledger = text_of(folder / "ppo.gamma=0.9" / "ledger.jsonl");
  for (const words& other : {to_second + words{"--ppo.epochs", "3"}, words{"--to-iteration", "1"}}) {
    const program_result result = replay(command + other);
    EXPECT_EQ(result.status, 2) << result.output;
  }
  const program_result of_another = run_program(words{"replay", copy_of_undisturbed().string()} + command + to_second);
  EXPECT_EQ(of_another.status, 2) << of_another.output;
  EXPECT_NE(of_another.output.find("holds a run of another job"), std::string::npos) << of_another.output;
  EXPECT_EQ(text_of(folder / "ppo.gamma=0.9" / "ledger.jsonl"), ledger);
}

TEST_F(ReplayedRun, PlacesThatCannotBeMeantAreRefusedBeforeAnythingIsMade) {
  const fs::path run = copy_of_undisturbed();
  const std::string folder = (scratch_ / "sweep").string();
  const std::string file = (scratch_ / "file").string();
  std::ofstream(file) << "mine";
  const std::string within = (run / "mine" / "x").string();
  const std::vector<std::pair<words, std::string>> refused = {
      {{"--run.dir", folder, "--sweep", "run.dir=a,b"}, "--sweep run.dir"},
      {{"--run.dir", folder, "--sweep", "replay.of=x"}, "replay.of"},
      {{"--run.dir", folder, "--replay.of", "x"}, "replay.of"},
      {{"--run.dir", folder, "--sweep", "ppo.gamma=1,1.0"}, "ppo.gamma=1 and ppo.gamma=1.0 are the same job"},
      {{"--run.dir", folder, "--run.dir", folder + "2", "--sweep", "ppo.gamma=1"}, "--run.dir is given twice"},
      {{"--run.dir", file, "--sweep", "ppo.gamma=1"}, file + " is no folder"},
      {{"--run.dir", run.string(), "--sweep", "ppo.gamma=1"}, "lies within the run " + run.string()},
      {{"--run.dir", within, "--sweep", "ppo.gamma=1"}, "lies within the run " + run.string()},
      {{"--run.dir", within}, "lies within the run " + run.string()}};
  for (const auto& [options, text] : refused) {
    const program_result result =
        run_program(words{"replay", run.string(), "--place.ranks", "1", "--to-iteration", "1"} + options);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_NE(result.output.find(text), std::string::npos) << result.output;
  }
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_FALSE(fs::exists(run / "mine"));
}

TEST_F(ReplayedRun, AVariantThatFailsLeavesTheOthersToRun) {
  const program_result result =
      replay({"--run.dir", (scratch_ / "sweep").string(), "--place.ranks", "1", "--to-iteration", "2", "--json",
              "--replay.min-ess", "0.5", "--sweep", "ppo.policy-learning-rate=3e-2,1e-9"});
  EXPECT_EQ(result.status, 1);
  const nlohmann::json variants = json_output(result.output).at("variants");
  EXPECT_EQ(variants.at(0).at("state"), "failed");
  EXPECT_NE(variants.at(0).at("reason").get<std::string>().find("effective sample size"), std::string::npos);
  EXPECT_EQ(variants.at(1).at("state"), "finished") << result.output;
}

TEST_F(ReplayedRun, ASweepForSlurmIsAnArrayOfJobFiles) {
  const fs::path folder = scratch_ / "sweep";
  const words command = words{"--run.dir", folder.string(), "--place.ranks", "1", "--to-iteration", "1", "--json"} +
                        words{"--sweep", "ppo.gamma=1,0.9"};
  const program_result written = replay(command + words{"--slurm"});
  ASSERT_EQ(written.status, 0) << written.output;
  const std::string script = text_of(folder / "sweep.sbatch");
  EXPECT_NE(script.find("#SBATCH --array=0-1"), std::string::npos) << script;
  EXPECT_NE(script.find("/jobs/\"$SLURM_ARRAY_TASK_ID\".ini)"), std::string::npos) << script;
  EXPECT_FALSE(fs::exists(folder / "ppo.gamma=1"));
  EXPECT_EQ(run_program({"run", (folder / "jobs" / "0.ini").string()}).status, 0);
  const program_result shown = replay(command);
  EXPECT_EQ(shown.status, 0) << shown.output;
  EXPECT_EQ(json_output(shown.output).at("variants").at(0).at("state"), "finished");
}

/// The KL is a term of the loss: nothing that a file has is made of its log-probabilities.
TEST(ReplayOfALoss, OneBitOfOneLogProbabilityIsFoundAndNamed) {
  const temporary_folder folder;
  const fs::path run = folder / "run";
  const program_result made = run_program(run_of_job("tiny", run) +
                                          words{"--ppo.kl-in", "loss", "--ppo.kl-estimator", "k3+", "--ppo.iterations",
                                                "2", "--ppo.ptx-coef", "0", "--ppo.ema-decay", "0"});
  ASSERT_EQ(made.status, 0) << made.output;
  expect_verified(run_program(verification_of(run)));
  const uint64_t id = flip_a_log_prob(run / "experience" / "iteration-000002.h5", 90);
  const program_result result = run_program({"replay", run.string(), "--verify"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("the log-probability of answer token"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find(std::to_string(id)), std::string::npos) << result.output;
}

}  // namespace troupe::test
