// A run that was stopped, and whose data or model are others when it is to
// go on: it is refused, in words that say what.
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>

namespace troupe::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// A fine-tuning job with data and model of its own, stopped after its first checkpoint.
class ChangedInputs : public ::testing::Test {
protected:
  void SetUp() override {
    fs::copy(test_data() + "/stories260k", model, fs::copy_options::recursive);
    write_stories(data, 200);
    program troupe(arguments(), folder / "output");
    await_file(troupe, run / "checkpoints/sft/update-000001/manifest.json");
    ASSERT_EQ(troupe.stop(SIGTERM), 75) << text_of(folder / "output");
  }
  words arguments() const {
    return run_of_job("tiny", run) + words_of("--run.phases sft --sft.updates 60 --data.openings.phases sft") +
           words{"--model.policy", model.string(), "--data.openings.path", data.string()};
  }
  void expect_refusal(const std::string& part) const {
    const program_result result = run_program(arguments());
    EXPECT_EQ(result.status, 1) << result.output;
    EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
    EXPECT_NE(result.output.find("or take another run.dir"), std::string::npos) << result.output;
  }

  temporary_folder folder;
  fs::path run = folder / "run", model = folder / "model", data = folder / "data.jsonl";
};

TEST_F(ChangedInputs, OtherDataOrAnotherModelAreRefusedAndTheFormerGoOn) {
  const std::string records = text_of(data);
  std::ofstream(data, std::ios::app) << R"({"prompt": "One more.", "answer": " Yes."})" << '\n';
  expect_refusal("data have changed since update ");
  std::ofstream(data, std::ios::trunc) << records;

  const fs::path weights = model / "model.safetensors";
  ASSERT_TRUE(fs::exists(weights));
  const auto flip = [&] {
    std::fstream file(weights, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(-2, std::ios::end);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(-2, std::ios::end);
    file.put(byte);
  };
  flip();
  expect_refusal("policy has changed since update ");
  flip();
  const program_result result = run_program(arguments());
  EXPECT_EQ(result.status, 0) << result.output;
}

}  // namespace troupe::test
