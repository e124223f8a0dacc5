// What lies in a run directory, or the disk below it, is broken: one clear error, and nothing saved is lost.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace troupe::test {

static words arguments(const std::filesystem::path& run, const words& more = {}) {
  return run_of_job("tiny", run) + more;
}

/// Puts a complete line that is no JSON before everything else.
static void spoil(const std::filesystem::path& path) {
  std::ifstream before(path);
  const std::string text{std::istreambuf_iterator<char>(before), std::istreambuf_iterator<char>()};
  std::ofstream(path) << "{\"oops\"\n" << text;
}

TEST(DamagedRun, BadLineOfTheLedgerIsNamed) {
  const temporary_folder folder;
  const auto run = folder / "run";
  ASSERT_EQ(run_program(arguments(run, {"--run.phases", "pairs"})).status, 0);
  spoil(run / "ledger.jsonl");
  const program_result result = run_program(arguments(run, {"--run.phases", "pairs"}));
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("ledger.jsonl line 1"), std::string::npos) << result.output;
}

TEST(DamagedRun, BadLineOfTheMetricsIsNamed) {
  const temporary_folder folder;
  const auto run = folder / "run";
  ASSERT_EQ(run_program(arguments(run, {"--run.phases", "pairs"})).status, 0);
  std::filesystem::remove(run / "ledger.jsonl");  // so that there is something left to do
  spoil(run / "metrics.jsonl");
  const program_result result = run_program(arguments(run, {"--run.phases", "pairs"}));
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("metrics.jsonl line 1"), std::string::npos) << result.output;
}

static void spoil_middle(const std::filesystem::path& file) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file) / 2));
  bytes.write("spoilt", 6);
}

TEST(DamagedRun, APhaseWhoseCheckpointsAreAllDamagedStopsAndLeavesEverything) {
  const temporary_folder folder;
  const auto run = folder / "run";
  {
    program troupe(arguments(run), folder / "output");
    await_file(troupe, run / "checkpoints/sft/update-000002/manifest.json");
    troupe.kill();
  }
  for (const auto& checkpoint : std::filesystem::directory_iterator(run / "checkpoints/sft")) {
    if (std::filesystem::exists(checkpoint.path() / "rank-00000.h5")) {
      spoil_middle(checkpoint.path() / "rank-00000.h5");
    }
  }
  const std::string records = text_of(run / "metrics.jsonl");
  const program_result refused = run_program(arguments(run));
  EXPECT_EQ(refused.status, 1) << refused.output;
  EXPECT_NE(refused.output.find("no checkpoint of phase sft can be read"), std::string::npos) << refused.output;
  EXPECT_NE(refused.output.find("checkpoints/sft away"), std::string::npos) << refused.output;
  EXPECT_EQ(text_of(run / "metrics.jsonl"), records);
  EXPECT_TRUE(std::filesystem::exists(run / "checkpoints/sft/update-000002/manifest.json"));

  std::filesystem::rename(run / "checkpoints/sft", run / "checkpoints/sft.damaged");
  const program_result afresh = run_program(arguments(run));
  ASSERT_EQ(afresh.status, 0) << afresh.output;
  std::filesystem::remove_all(run / "checkpoints/sft.damaged");
  ASSERT_EQ(run_program(arguments(folder / "undisturbed")).status, 0);
  expect_equal_runs(folder / "undisturbed", run);
}

/// A file system of its own, of so many megabytes, which can be made larger.
class small_disk {
public:
  explicit small_disk(std::filesystem::path at, int megabytes = 3) : at_(std::move(at)) {
    std::filesystem::create_directories(at_);
    const std::string options = "size=" + std::to_string(megabytes) + "m";
    mounted_ = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  ~small_disk() {
    if (mounted_) {
      ::umount2(at_.c_str(), MNT_DETACH);
    }
  }
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;

  bool mounted() const { return mounted_; }
  bool grow() const { return ::mount("tmpfs", at_.c_str(), "tmpfs", MS_REMOUNT, "size=200m") == 0; }

private:
  std::filesystem::path at_;
  bool mounted_ = false;
};

TEST(DamagedRun, FullDiskIsOneErrorAndTheSameCommandGoesOnOnceThereIsSpace) {
  const temporary_folder folder;
  const small_disk disk(folder / "disk");
  if (!disk.mounted()) {
    GTEST_SKIP() << "may not mount a file system here";
  }
  const auto run = folder / "disk/run";
  const program_result full = run_program(arguments(run));
  EXPECT_EQ(full.status, 1);
  EXPECT_NE(full.output.find("No space left on device"), std::string::npos) << full.output;
  // It may be the node's own: tried again once, and then the job's failure, in its own words.
  EXPECT_NE(full.output.find("restarting from the last checkpoint (1 of 5 tries)"), std::string::npos) << full.output;
  EXPECT_EQ(full.output.find("(2 of 5 tries)"), std::string::npos) << full.output;

  ASSERT_TRUE(disk.grow());
  const program_result resumed = run_program(arguments(run));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  ASSERT_EQ(run_program(arguments(folder / "undisturbed")).status, 0);
  expect_equal_runs(folder / "undisturbed", run);
}

/// Leaves not a byte for anybody else.
static void take_all_space(const std::filesystem::path& file) {
  std::ofstream out(file, std::ios::binary);
  const std::vector<char> piece(4096, 'x');
  while (out.write(piece.data(), static_cast<std::streamsize>(piece.size())).flush()) {
  }
}

TEST(DamagedRun, ADiskThatIsFullForAMomentEndsNothing) {
  const temporary_folder folder;
  const small_disk disk(folder / "disk", 200);
  if (!disk.mounted()) {
    GTEST_SKIP() << "may not mount a file system here";
  }
  const auto run = folder / "disk/run";
  program troupe(arguments(run), folder / "output");
  await_records(troupe, run, 2);
  take_all_space(folder / "disk/ballast");
  std::this_thread::sleep_for(std::chrono::seconds(4));  // ranks, metrics and ledger all meet it
  std::filesystem::remove(folder / "disk/ballast");
  ASSERT_EQ(troupe.wait(), 0) << text_of(folder / "output");
  EXPECT_NE(text_of(folder / "output").find("No space left on device"), std::string::npos)
      << text_of(folder / "output");
  ASSERT_EQ(run_program(arguments(folder / "undisturbed")).status, 0);
  expect_equal_runs(folder / "undisturbed", run);
}

}  // namespace troupe::test
