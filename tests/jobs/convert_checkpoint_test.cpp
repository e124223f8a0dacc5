// troupe convert on a checkpoint: the model that its run would have left behind.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace troupe::test {

namespace fs = std::filesystem;

static std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A short run of sft and reward.
class ConvertCheckpoint : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    std::ofstream pairs(*folder_ / "pairs.jsonl");
    for (int i = 0; i < 40; ++i) {
      pairs << R"({"prompt": "Once upon a time )" << i << R"(", "chosen": " there was a girl.", "rejected": " no."})"
            << "\n";
    }
    pairs.close();
    std::ofstream(*folder_ / "job.ini")
        << "[run]\nphases = sft reward\ncheckpoint-every = 1\nthreads = 1\n[model]\npolicy = " << test_data()
        << "/stories260k\n[data.a]\npath = pairs.jsonl\n"
        << "format = pairs\n[length]\nmax-tokens = 64\nmax-prompt-tokens = 32\n"
        << "[sft]\nupdates = 2\nbatch = 4\nlearning-rate = 1e-3\n"
        << "[reward]\nupdates = 2\nbatch = 4\n";
    const program_result made = run_program({"run", *folder_ / "job.ini", "--run.dir", run()});
    ASSERT_EQ(made.status, 0) << made.output;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static fs::path run() { return *folder_ / "run"; }
  fs::path out() const { return scratch_ / "out"; }
  program_result convert(const std::string& checkpoint, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"convert", run() / "checkpoints" / checkpoint, out()});
    return run_program(more);
  }

  temporary_folder scratch_;

private:
  static inline temporary_folder* folder_ = nullptr;
};

TEST_F(ConvertCheckpoint, TheLastOneIsTheModelThatTheRunSaved) {
  for (const auto& [checkpoint, model] :
       {std::pair("sft/update-000002", "sft"), std::pair("reward/update-000002", "reward")}) {
    const program_result result = convert(checkpoint);
    ASSERT_EQ(result.status, 0) << result.output;
    for (const fs::directory_entry& file : fs::directory_iterator(run() / "models" / model)) {
      const fs::path name = file.path().filename();
      EXPECT_EQ(contents(out() / name), contents(file.path())) << model << " " << name;
    }
    fs::remove_all(out());
  }
}

TEST_F(ConvertCheckpoint, AnEarlierOneIsAnotherModelAndReadsAsOne) {
  ASSERT_EQ(convert("sft/update-000001", {"--model", "policy"}).status, 0);
  EXPECT_NE(contents(out() / "model.safetensors"), contents(run() / "models/sft/model.safetensors"));
  const program_result said = run_program({"score", out()}, R"({"text": "Once upon a time"})");
  EXPECT_EQ(said.status, 0) << said.output;
  EXPECT_TRUE(contains(said.output, "logprobs")) << said.output;
}

TEST_F(ConvertCheckpoint, OtherTypesLeaveNothingBeside) {
  ASSERT_EQ(convert("sft/update-000001", {"--dtype", "bf16"}).status, 0);
  EXPECT_TRUE(contains(run_program({"inspect", out()}).output, "bf16 260032"));
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch_.path()), fs::directory_iterator()), 1);
}

TEST_F(ConvertCheckpoint, NothingIsLostAtItsTarget) {
  ASSERT_EQ(convert("sft/update-000001").status, 0);
  const std::string first = contents(out() / "model.safetensors");
  const program_result refused = convert("sft/update-000002");
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(contains(refused.output, "--overwrite")) << refused.output;
  EXPECT_EQ(contents(out() / "model.safetensors"), first);
  ASSERT_EQ(convert("sft/update-000002", {"--overwrite"}).status, 0);
  EXPECT_NE(contents(out() / "model.safetensors"), first);

  std::ofstream(out() / "notes.txt") << "weeks of work";
  const program_result with_notes = convert("sft/update-000001", {"--overwrite"});
  EXPECT_EQ(with_notes.status, 1);
  EXPECT_TRUE(contains(with_notes.output, "holds notes.txt")) << with_notes.output;

  for (const fs::path& target : {run(), run() / "checkpoints/sft", fs::path(test_data()) / "stories260k"}) {
    const program_result result =
        run_program({"convert", run() / "checkpoints/sft/update-000001", target, "--overwrite"});
    EXPECT_EQ(result.status, 1) << target;
    EXPECT_TRUE(contains(result.output, "contains the source")) << result.output;
  }
  EXPECT_TRUE(fs::exists(run() / "checkpoints/sft/update-000002/manifest.json"));
  EXPECT_TRUE(fs::exists(fs::path(test_data()) / "stories260k/config.json"));
}

TEST_F(ConvertCheckpoint, WhatItDoesNotHoldIsNamed) {
  const program_result other = convert("sft/update-000001", {"--model", "critic"});
  EXPECT_EQ(other.status, 1);
  EXPECT_TRUE(contains(other.output, "no model \"critic\": it has policy")) << other.output;
  const program_result model = run_program({"convert", run() / "models/sft", out(), "--model", "policy"});
  EXPECT_EQ(model.status, 1);
  EXPECT_TRUE(contains(model.output, "is no checkpoint")) << model.output;
}

TEST_F(ConvertCheckpoint, ADamagedOneIsRefused) {
  const fs::path file = run() / "checkpoints/sft/update-000001/rank-00000.h5";
  const std::string whole = contents(file);
  std::string damaged = whole;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  std::ofstream(file, std::ios::binary) << damaged;
  const program_result result = convert("sft/update-000001");
  std::ofstream(file, std::ios::binary) << whole;
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(contains(result.output, "rank-00000.h5")) << result.output;
  EXPECT_FALSE(fs::exists(out()));
}

}  // namespace troupe::test
