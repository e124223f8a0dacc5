// Numbers that are not finite and that one rank alone meets, in a micro-batch that only it has: the run ends at once,
// in one attempt, with what that rank has found, or goes back to a checkpoint where the job says so.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace troupe::test {
namespace {

namespace fs = std::filesystem;

/// A weight file in memory, to be changed as no user's tool would.
class weight_file {
public:
  explicit weight_file(fs::path path) : path_(std::move(path)) {
    const std::string bytes = text_of(path_);
    uint64_t header_size = 0;
    std::memcpy(&header_size, bytes.data(), sizeof(header_size));
    header_ = nlohmann::json::parse(bytes.substr(sizeof(header_size), header_size));
    values_ = bytes.substr(sizeof(header_size) + header_size);
  }

  void set(const std::string& tensor, size_t index, float value) {
    const size_t begin = header_[tensor]["data_offsets"][0].get<size_t>();
    std::memcpy(values_.data() + begin + index * sizeof(value), &value, sizeof(value));
  }
  void add_zeros(const std::string& tensor, const std::vector<size_t>& shape, size_t elements) {
    const size_t begin = values_.size();
    values_.resize(begin + elements * sizeof(float), '\0');
    header_[tensor] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, values_.size()}}};
  }
  void save() const {
    std::string header = header_.dump();
    header.append((8 - header.size() % 8) % 8, ' ');  // the values begin at a multiple of 8
    const auto header_size = static_cast<uint64_t>(header.size());
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&header_size), sizeof(header_size));
    file << header << values_;
  }

private:
  fs::path path_;
  nlohmann::json header_;
  std::string values_;
};

constexpr size_t width = 64;     // of tests/data/tiny/opt
constexpr size_t first_row = 2;  // that OPT's table of positions uses
constexpr size_t nan_from = 90;  // tokens: no record is so long but one

fs::path tiny_model(const fs::path& folder) {
  fs::create_directory(folder);
  for (const char* name : {"config.json", "model.safetensors", "tokenizer_config.json", "vocab.json", "merges.txt"}) {
    fs::copy_file(fs::path(test_data()) / "tiny/opt" / name, folder / name);
  }
  return folder;
}

/// Its loss is no number for a text that has so many tokens.
fs::path model_without_late_positions(const fs::path& folder) {
  weight_file weights(tiny_model(folder) / "model.safetensors");
  weights.set("model.decoder.embed_positions.weight", (first_row + nan_from) * width,
              std::numeric_limits<float>::quiet_NaN());
  weights.save();
  return folder;
}

/// A reward model that gives 0 to everything.
fs::path indifferent_judge(const fs::path& folder) {
  weight_file weights(tiny_model(folder) / "model.safetensors");
  weights.add_zeros("score.weight", {1, width}, width);
  weights.save();
  nlohmann::json config = nlohmann::json::parse(text_of(folder / "config.json"));
  config["architectures"] = {"OPTForSequenceClassification"};
  config["num_labels"] = 1;
  std::ofstream(folder / "config.json") << config.dump();
  return folder;
}

/// Twelve short records, but for one that is long.
fs::path records(const fs::path& path, int long_one) {
  std::ofstream file(path);
  for (int i = 0; i < 12; ++i) {
    std::string answer = " They liked to play";
    for (int more = 0; i == long_one && more < 20; ++more) {
      answer += " and to play";
    }
    file << nlohmann::json{{"prompt", "Once there were " + std::to_string(i) + " dogs."}, {"answer", answer + "."}}
                .dump()
         << '\n';
  }
  return path;
}

class OneRankNan : public ::testing::Test {
protected:
  /// On two ranks. Without evaluations, which would meet the long record too.
  program_result run(const std::string& phase, const words& more) const {
    return run_program(
        run_of_job("tiny", run_) + words{"--run.phases", phase, "--model.policy", model_.string()} +
        words_of("--length.max-tokens 120 --run.lanes 2 --run.threads 1 --place.ranks 2 --split.held-out 0 "
                 "--evaluation.prompts 0 --evaluation.records 0") +
        more);
  }

  /// Rank 1's, so rank 0 has met none: of several ranks the first would be named.
  void expect_found_by_rank_1(const program_result& result, const std::string& behind) const {
    EXPECT_EQ(result.status, 1) << result.output;
    EXPECT_NE(result.output.find("troupe run: logprob_A["), std::string::npos) << result.output;
    EXPECT_NE(result.output.find("] is nan: the model has diverged or its input is damaged (found by rank 1)" + behind),
              std::string::npos)
        << result.output;
    const std::string ledger = text_of(run_ / "ledger.jsonl");
    EXPECT_EQ(count(ledger, R"("event":"attempt_started")"), 1U) << ledger;
    EXPECT_EQ(count(ledger, R"("event":"worker_)"), 0U) << "nobody was waited for, or blamed: " << ledger;
  }

  temporary_folder folder_;
  fs::path run_ = folder_ / "run";
  fs::path model_ = model_without_late_positions(folder_ / "model");
};

/// All records are in the first update.
TEST_F(OneRankNan, EndsFineTuningInOneAttempt) {
  const fs::path data = records(folder_ / "data.jsonl", 0);
  for (const char* stage : {"0", "3"}) {
    SCOPED_TRACE(stage);
    fs::remove_all(run_);
    expect_found_by_rank_1(run("sft", {"--sft.batch", "12", "--data.openings.path", data.string(),
                                       "--data.openings.phases", "sft", "--place.policy-zero", stage}),
                           "\n");
    EXPECT_FALSE(fs::exists(run_ / "models/sft"));
  }
}

/// The long record is one of those that the policy's updates of iteration 2 learn beside the experience. They are the
/// same after a rollback, so that it is met again.
TEST_F(OneRankNan, IsRolledBackInTheSameAttempt) {
  const fs::path data = records(folder_ / "data.jsonl", 1);
  const fs::path judge = indifferent_judge(folder_ / "judge");
  for (const char* stage : {"0", "3"}) {
    SCOPED_TRACE(stage);
    fs::remove_all(run_);
    const program_result result =
        run("ppo", {"--model.reward", judge.string(), "--data.texts.path", data.string(), "--data.texts.format",
                    "prompt-answer", "--data.texts.phases", "sft", "--ppo.ptx-batch", "2", "--ppo.on-divergence",
                    "rollback", "--ppo.max-rollbacks", "2", "--place.policy-zero", stage});
    expect_found_by_rank_1(result, " (after 2 rollbacks: ppo.max-rollbacks)\n");
    EXPECT_EQ(count(text_of(run_ / "ledger.jsonl"), "rolled back: logprob_A["), 2U);
    EXPECT_EQ(count(result.output, "rolling back to checkpoints/ppo/iteration-000001"), 2U) << result.output;
    EXPECT_TRUE(fs::exists(run_ / "experience/iteration-000002.diverged-2.h5")) << "iteration 2 was begun anew";
  }
}

}  // namespace
}  // namespace troupe::test
