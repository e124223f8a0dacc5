// A run that is still locked: a requeued job waits for it, any other refuses.
#include "actors/supervisor/run_claim.hpp"
#include "base/error.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>

namespace troupe::actors {

using namespace std::chrono_literals;
using test::program;
using test::temporary_folder;
using test::text_of;

class RunClaim : public ::testing::Test {
protected:
  temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  int pauses_ = 0;
};

TEST_F(RunClaim, AFreeRunIsTakenAtOnce) {
  EXPECT_TRUE(claim_run(run_, 1min, [](auto) {
    ADD_FAILURE() << "waited";
    return true;
  }));
}

TEST_F(RunClaim, WaitsUntilTheHolderIsGone) {
  std::optional<io::run_lock> former(std::in_place, run_);
  const auto mine = claim_run(run_, 1min, [&](auto) {
    if (++pauses_ == 3) {
      former.reset();
    }
    return true;
  });
  EXPECT_TRUE(mine);
  EXPECT_EQ(pauses_, 3);
  EXPECT_THROW(io::run_lock second(run_), error) << "it is held now";
}

TEST_F(RunClaim, GivesUpWhenItsPatienceEndsOrAStopIsAskedFor) {
  const io::run_lock former(run_);
  EXPECT_FALSE(claim_run(run_, 30ms, [](std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
    return true;
  }));
  EXPECT_FALSE(claim_run(run_, 1h, [&](auto) { return ++pauses_ < 2; }));
  EXPECT_EQ(pauses_, 2);
}

/// The program in the environment of a job on this host, with the run locked by this process.
class ClaimedRun : public RunClaim {
protected:
  void SetUp() override {
    for (const auto& [name, value] : job_) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  void TearDown() override {
    for (const auto& [name, value] : job_) {
      ::unsetenv(name.c_str());
    }
    ::unsetenv("SLURM_RESTART_COUNT");
  }
  std::vector<std::string> arguments() const {
    return {"run", test_data() + "/jobs/tiny.ini", "--run.dir", run_.root().string(), "--run.phases", "pairs"};
  }

  std::map<std::string, std::string> job_ = {{"SLURM_JOB_ID", "42"},
                                             {"SLURM_JOB_NODELIST", "localhost"},
                                             {"SLURMD_NODENAME", "localhost"},
                                             {"SLURM_CPUS_ON_NODE", "2"}};
};

TEST_F(ClaimedRun, AFirstStartRefusesAtOnce) {
  const io::run_lock former(run_);
  program troupe(arguments(), folder_ / "output");
  EXPECT_EQ(troupe.wait(), 1);
  EXPECT_NE(text_of(folder_ / "output").find("is in use by another troupe"), std::string::npos)
      << text_of(folder_ / "output");
}

TEST_F(ClaimedRun, ARequeuedJobWaitsAndGoesOn) {
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  std::optional<io::run_lock> former(std::in_place, run_);
  program troupe(arguments(), folder_ / "output");
  for (int i = 0; i < 200 && text_of(folder_ / "output").find("is still locked") == std::string::npos; ++i) {
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_TRUE(troupe.running()) << text_of(folder_ / "output");
  EXPECT_FALSE(std::filesystem::exists(run_.ledger())) << "nothing is written meanwhile";
  former.reset();
  EXPECT_EQ(troupe.wait(), 0) << text_of(folder_ / "output");
}

TEST_F(ClaimedRun, ARequeuedJobThatIsAskedToStopGoesBackIntoTheQueue) {
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  const io::run_lock former(run_);
  program troupe(arguments(), folder_ / "output");
  for (int i = 0; i < 200 && text_of(folder_ / "output").find("is still locked") == std::string::npos; ++i) {
    std::this_thread::sleep_for(50ms);
  }
  troupe.signal(SIGUSR1);
  EXPECT_EQ(troupe.wait(), 75) << text_of(folder_ / "output");
}

}  // namespace troupe::actors
