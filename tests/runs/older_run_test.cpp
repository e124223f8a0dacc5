// Runs that older versions left are read, shown, converted and gone on with: docs/versions.md promises it.
#include "io/run/metrics.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace troupe::test {

namespace fs = std::filesystem;

static std::vector<std::string> versions() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(test_data()) / "runs")) {
    if (entry.is_directory()) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

class OlderRun : public testing::TestWithParam<std::string> {
protected:
  void SetUp() override {
    fs::copy(fs::path(test_data()) / "runs" / GetParam(), folder_ / "older", fs::copy_options::recursive);
    run_ = folder_ / "older/run";
    // The run says where its model is; convert asks there.
    std::string job = text_of(run_ / "job.ini");
    const std::string then = "/home/user/older";
    const std::string now = (folder_ / "older").string();
    for (size_t at = 0; (at = job.find(then, at)) != std::string::npos; at += now.size()) {
      job.replace(at, then.size(), now);
    }
    std::ofstream(run_ / "job.ini") << job;
  }

  static void expect_success(const std::vector<std::string>& arguments) {
    const program_result result = run_program(arguments);
    EXPECT_EQ(result.status, 0) << result.output;
  }

  temporary_folder folder_;
  fs::path run_;
};

static std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    found.push_back(entry.path());
  }
  return found;
}

TEST_P(OlderRun, IsReadInAllItsParts) {
  expect_success({"status", run_});
  expect_success({"inspect", run_});
  const auto experience = entries(run_ / "experience");
  ASSERT_FALSE(experience.empty());
  for (const fs::path& file : experience) {
    expect_success({"inspect", file});
  }
  const auto checkpoints = entries(run_ / "checkpoints/ppo");
  ASSERT_FALSE(checkpoints.empty());
  for (const fs::path& checkpoint : checkpoints) {
    expect_success({"inspect", checkpoint});
    expect_success({"convert", checkpoint, folder_ / checkpoint.filename().string()});
  }
}

TEST_P(OlderRun, GoesOnFromItsCheckpoint) {
  const auto before = io::read_metrics(run_ / "metrics.jsonl");
  const program_result result = run_program({"run", folder_ / "older/job.ini", "--run.dir", run_});
  ASSERT_EQ(result.status, 0) << result.output;
  const auto after = io::read_metrics(run_ / "metrics.jsonl");
  ASSERT_GT(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].values, after[i].values) << "record " << i;
    EXPECT_EQ(before[i].time, after[i].time) << "record " << i << " was made again";
  }
}

INSTANTIATE_TEST_SUITE_P(OfVersion, OlderRun, testing::ValuesIn(versions()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

}  // namespace troupe::test
