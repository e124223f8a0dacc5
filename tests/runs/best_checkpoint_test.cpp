// run.keep-best: the checkpoint with the best evaluation outlives those that came after it.
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <thread>

namespace troupe::test {

namespace fs = std::filesystem;
using nlohmann::json;

static std::vector<json> lines_of(const fs::path& path) {
  std::vector<json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    lines.push_back(json::parse(line));
  }
  return lines;
}

/// Supervised training at a learning rate that soon does harm, evaluated after each update.
class BestCheckpoint : public ::testing::Test {
protected:
  void SetUp() override {
    std::ofstream texts(folder / "texts.jsonl");
    for (int i = 0; i < 60; ++i) {
      texts << R"({"prompt": "Once upon a time )" << i << R"(", "answer": " there was a little girl."})"
            << "\n";
    }
    texts.close();
    std::ofstream(folder / "job.ini")
        << "[run]\nphases = sft\ncheckpoint-every = 5\nkeep-checkpoints = 1\nthreads = 1\n"
        << "[model]\npolicy = " << test_data() << "/stories260k\n[data.a]\npath = texts.jsonl\n[split]\nheld-out = 5\n"
        << "[sft]\nupdates = 12\nbatch = 4\nlearning-rate = 0.3\nwarm-up = 12\n"
        << "evaluate-every = 1\n";
  }
  std::vector<std::string> arguments(const fs::path& run, const std::vector<std::string>& more = {}) const {
    return words{"run", folder / "job.ini", "--run.dir", run} + more;
  }
  static std::set<std::string> kept(const fs::path& run) {
    std::set<std::string> names;
    for (const fs::directory_entry& one : fs::directory_iterator(run / "checkpoints/sft")) {
      names.insert(one.path().filename());
    }
    return names;
  }
  /// Of the updates, by what metrics.jsonl says.
  static std::string best(const fs::path& run) {
    double lowest = std::numeric_limits<double>::infinity();
    char name[32] = "";
    for (const json& line : lines_of(run / "metrics.jsonl")) {
      if (line["update"] > 0 && line["held_out/perplexity"] < lowest) {
        lowest = line["held_out/perplexity"];
        std::snprintf(name, sizeof(name), "update-%06d", line["update"].get<int>());
      }
    }
    return name;
  }

  temporary_folder folder;
};

TEST_F(BestCheckpoint, IsKeptBesideTheLast) {
  const fs::path run = folder / "run";
  const program_result result = run_program(arguments(run));
  ASSERT_EQ(result.status, 0) << result.output;
  ASSERT_NE(best(run), "update-000012") << "the job is to become worse";
  EXPECT_EQ(kept(run), (std::set<std::string>{best(run), "update-000012"}));
  EXPECT_TRUE(contains(text_of(run / "ledger.jsonl"), "the best so far: held_out/perplexity"));
  const program_result status = run_program({"status", run});
  EXPECT_TRUE(contains(status.output, "best         checkpoints/sft/" + best(run))) << status.output;
  const json told = json_output(run_program({"status", run, "--json"}).output);
  EXPECT_EQ(told["best"]["path"], "checkpoints/sft/" + best(run));
  EXPECT_EQ(told["best"]["metric"], "held_out/perplexity");

  // Its model evaluates as it did then.
  const program_result made = run_program({"convert", run / "checkpoints/sft" / best(run), folder / "model"});
  ASSERT_EQ(made.status, 0) << made.output;
  EXPECT_NE(text_of(folder / "model/model.safetensors"), text_of(run / "models/sft/model.safetensors"));
}

TEST_F(BestCheckpoint, WithoutTheOptionOnlyTheLastAreKept) {
  const fs::path run = folder / "run";
  const program_result result = run_program(arguments(run, {"--run.keep-best", "false"}));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(kept(run), std::set<std::string>{"update-000012"});
  EXPECT_FALSE(contains(run_program({"status", run}).output, "best"));
}

TEST_F(BestCheckpoint, ARunThatIsKilledKeepsTheSame) {
  ASSERT_EQ(run_program(arguments(folder / "whole")).status, 0);
  for (const int update : {2, 7, 11}) {
    const fs::path run = folder / ("killed-" + std::to_string(update));
    {
      program killed(arguments(run), folder / "log");
      const std::string line = "\"update\":" + std::to_string(update) + ",";
      while (killed.running() && !contains(text_of(run / "metrics.jsonl"), line)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      killed.kill();
    }
    const program_result result = run_program(arguments(run));
    ASSERT_EQ(result.status, 0) << result.output;
    EXPECT_EQ(kept(run), kept(folder / "whole"));
    expect_equal_runs(folder / "whole", run);
  }
}

TEST_F(BestCheckpoint, EachRecordTellsHowLongTheCopyTook) {
  const fs::path run = folder / "run";
  ASSERT_EQ(run_program(arguments(run, {"--run.keep-best", "false"})).status, 0);
  int with_copy = 0;
  for (const json& line : lines_of(run / "metrics.jsonl")) {
    with_copy += line.contains("time/checkpoint_copy_s") ? 1 : 0;
  }
  EXPECT_EQ(with_copy, 3) << "after 5, 10 and 12 updates";
}

}  // namespace troupe::test
