// Promise 1, provoked for real: workers killed at random moments of every phase, and the
// bytes at the end are those of an undisturbed run.
#include "support/program.hpp"
#include "support/stopped_thread.hpp"
#include "support/text_search.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <thread>

namespace troupe::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

static words arguments(const fs::path& run, const words& more = {}) { return run_of_job("tiny", run) + more; }

static const words short_patience = {"--recovery.worker-deadline-s", "2", "--recovery.restarts", "100"};

/// A run in which nothing dies, made once.
class Kill : public undisturbed_run<Kill> {
public:
  static words command_of_undisturbed(const fs::path& run) { return arguments(run); }
};

TEST_F(Kill, TheSameJobTwiceGivesTheSameBytes) {
  const auto run = scratch_ / "again";
  ASSERT_EQ(run_program(arguments(run, {"--run.threads", "1"})).status, 0);
  expect_equal_to_undisturbed(run);
}

TEST_F(Kill, WorkersKilledAtRandomMomentsChangeNothing) {
  // Every kill comes a random time after the last one, so that over the runs all phases are hit, start-up included.
  constexpr int wanted_kills = 24;
  std::mt19937 random(20241124);
  std::uniform_int_distribution<int> pause_ms(30, 700);
  int kills = 0;
  for (int round = 0; kills < wanted_kills; ++round) {
    ASSERT_LT(round, 12) << "only " << kills << " kills";
    const auto run = scratch_ / ("killed-" + std::to_string(round));
    program troupe(arguments(run, {"--recovery.restarts", "100"}), scratch_ / "output");
    while (troupe.running()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms(random)));
      kills += troupe.kill_rank() ? 1 : 0;
      if (kills >= wanted_kills) {
        break;
      }
    }
    ASSERT_EQ(troupe.wait(), 0) << text_of(scratch_ / "output");
    const std::string ledger = text_of(run / "ledger.jsonl");
    RecordProperty("failures in round " + std::to_string(round), static_cast<int>(count(ledger, "worker_failed")));
    expect_equal_to_undisturbed(run);
    fs::remove_all(run);
  }
}

TEST_F(Kill, SupervisorKilledTakesItsWorkerAlongAndTheSameCommandGoesOn) {
  const auto run = scratch_ / "run";
  std::mt19937 random(7);
  std::uniform_int_distribution<int> pause_ms(300, 1500);
  for (int i = 0; i < 4; ++i) {
    program troupe(arguments(run), scratch_ / "output");
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms(random)));
    const pid_t worker = troupe.worker();
    troupe.kill();
    if (worker != 0) {
      const auto give_up = std::chrono::steady_clock::now() + 2s;
      while (process_exists(worker) && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::sleep_for(10ms);
      }
      EXPECT_FALSE(process_exists(worker)) << "the worker outlived its supervisor by 2 s";
    }
  }
  const program_result last = run_program(arguments(run));
  ASSERT_EQ(last.status, 0) << last.output;
  expect_equal_to_undisturbed(run);
}

TEST_F(Kill, StoppedAgainAndAgainEndsInTheSameBytes) {
  const auto run = scratch_ / "run";
  int stops = 0;
  int status = 75;
  for (int i = 0; i < 20 && status == 75; ++i) {
    program troupe(arguments(run), scratch_ / "output");
    await_records(troupe, run, 1);
    status = troupe.stop(i % 2 == 0 ? SIGTERM : SIGINT);
    ASSERT_TRUE(status == 75 || status == 0) << status << text_of(scratch_ / "output");
    stops += status == 75 ? 1 : 0;
  }
  EXPECT_GE(stops, 5);  // of 15 updates and iterations, a few of which pass while the signal is on its way
  const program_result last = run_program(arguments(run));  // a busy machine is not done after so many stops
  ASSERT_EQ(last.status, 0) << last.output;
  EXPECT_EQ(count(text_of(run / "ledger.jsonl"), "worker_failed"), 0U);
  expect_equal_to_undisturbed(run);
}

TEST_F(Kill, HangingWorkerIsNamedAndReplaced) {
  const auto run = scratch_ / "run";
  program troupe(arguments(run, short_patience), scratch_ / "output");
  const auto first = run / "checkpoints/sft/update-000001/manifest.json";  // it has said its first word long ago
  await_file(troupe, first);
  const pid_t worker = troupe.worker();
  ASSERT_NE(worker, 0) << text_of(scratch_ / "output");
  ASSERT_EQ(::kill(worker, SIGSTOP), 0);
  ASSERT_EQ(troupe.wait(), 0) << text_of(scratch_ / "output");
  // More than one where the machine is so busy that a healthy worker shows no progress for 2 s.
  EXPECT_GE(count(text_of(run / "ledger.jsonl"), "worker_hung"), 1U) << text_of(run / "ledger.jsonl");
  expect_equal_to_undisturbed(run);
}

/// Of a rank, beside its actors'.
static const std::set<std::string> helping_threads = {"checkpoint", "transport"};

/// In which phase it is all but only the policy that computes.
static bool makes_pairs(const fs::path& run) {
  return text_of(run / "ledger.jsonl").find(R"("phase":"pairs","counter":1)") != std::string::npos;
}

/// Waits until a thread can be found, and stops it; null where the run ended before.
template <class Find> static std::unique_ptr<stopped_thread> stop_when_found(program& troupe, const Find& find) {
  while (troupe.running()) {
    if (const std::optional<pid_t> thread = find()) {
      auto one = std::make_unique<stopped_thread>(*thread);
      if (one->stopped()) {
        return one;
      }
    }
    std::this_thread::sleep_for(100us);
  }
  return nullptr;
}

TEST_F(Kill, AnActorThatHangsWhileItsRankBeatsIsNamedAndItsRankReplaced) {
  const auto run = scratch_ / "run";
  program troupe(arguments(run, short_patience), scratch_ / "output");
  const auto stopped = stop_when_found(troupe, [&]() -> std::optional<pid_t> {
    return makes_pairs(run) ? busiest_thread(troupe.worker(), helping_threads) : std::nullopt;
  });
  ASSERT_TRUE(stopped) << text_of(scratch_ / "output");
  ASSERT_EQ(troupe.wait(), 0) << text_of(scratch_ / "output");
  const std::string ledger = text_of(run / "ledger.jsonl");
  EXPECT_NE(ledger.find(R"("actor":"policy","operation":"generate")"), std::string::npos) << ledger;
  EXPECT_NE(ledger.find("no progress for "), std::string::npos) << ledger;
  expect_equal_to_undisturbed(run);
}

TEST_F(Kill, AFileThatIsNeverWrittenIsAHangToo) {
  const auto run = scratch_ / "run";
  program troupe(arguments(run, short_patience), scratch_ / "output");
  const auto stopped = stop_when_found(troupe, [&]() -> std::optional<pid_t> {
    const pid_t worker = troupe.worker();
    return worker != 0 ? thread_named(worker, "checkpoint") : std::nullopt;
  });
  ASSERT_TRUE(stopped) << "no writing thread was met\n" << text_of(scratch_ / "output");
  ASSERT_EQ(troupe.wait(), 0) << text_of(scratch_ / "output");
  const std::string ledger = text_of(run / "ledger.jsonl");
  EXPECT_NE(ledger.find(R"("actor":"checkpointer","operation":"write checkpoint")"), std::string::npos) << ledger;
  expect_equal_to_undisturbed(run);
}

TEST_F(Kill, TheRankForWhichTheOthersWaitIsNamed) {
  const auto run = scratch_ / "run";
  program troupe(arguments(run, short_patience + words{"--place.ranks", "2"}), scratch_ / "output");
  pid_t victim = 0;
  const auto stopped = stop_when_found(troupe, [&]() -> std::optional<pid_t> {
    const std::vector<pid_t> ranks = troupe.workers();
    if (ranks.size() < 2 || !makes_pairs(run)) {
      return std::nullopt;
    }
    victim = ranks.back();
    return busiest_thread(victim, helping_threads);
  });
  ASSERT_TRUE(stopped) << text_of(scratch_ / "output");
  ASSERT_EQ(troupe.wait(), 0) << text_of(scratch_ / "output");
  EXPECT_NE(text_of(scratch_ / "output").find("pid " + std::to_string(victim) + ", "), std::string::npos)
      << text_of(scratch_ / "output");
}

TEST_F(Kill, DamagedCheckpointIsPassedOverForTheOneBefore) {
  for (const bool truncate : {false, true}) {
    const auto run = scratch_ / (truncate ? "truncated" : "flipped");
    {  // Stop in PPO with two checkpoints kept.
      program troupe(arguments(run), scratch_ / "output");
      const auto second = run / "checkpoints/ppo/iteration-000002/manifest.json";
      await_file(troupe, second);
      troupe.kill();
    }
    fs::path newest;
    for (const auto& entry : fs::directory_iterator(run / "checkpoints/ppo")) {
      if (fs::exists(entry.path() / "manifest.json")) {
        newest = std::max(newest, entry.path());
      }
    }
    const auto file = newest / "rank-00000.h5";
    if (truncate) {
      fs::resize_file(file, fs::file_size(file) / 2);
    } else {
      std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
      bytes.seekp(static_cast<std::streamoff>(fs::file_size(file) / 2));
      bytes.put('\x5a');
    }
    const program_result result = run_program(arguments(run));
    ASSERT_EQ(result.status, 0) << result.output;
    EXPECT_NE(result.output.find("passing over a damaged checkpoint"), std::string::npos) << result.output;
    EXPECT_EQ(count(text_of(run / "ledger.jsonl"), "checkpoint_damaged"), 1U);
    expect_equal_to_undisturbed(run);
  }
}

TEST_F(Kill, CrashLoopGivesUpWithTheReason) {
  const auto run = scratch_ / "run";
  program troupe(arguments(run, {"--recovery.restarts", "2"}), scratch_ / "output");
  while (troupe.running()) {
    if (const pid_t worker = troupe.worker(); worker != 0) {
      ::kill(worker, SIGSEGV);
    }
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(troupe.wait(), 1);
  const std::string output = text_of(scratch_ / "output");
  EXPECT_NE(output.find("3 times without a new checkpoint"), std::string::npos) << output;
  EXPECT_EQ(run_program(arguments(run)).status, 0);
  expect_equal_to_undisturbed(run);
}

TEST_F(Kill, SecondSupervisorIsRefusedByPid) {
  const auto run = scratch_ / "run";
  program first(arguments(run), scratch_ / "output");
  while (first.running() && first.worker() == 0) {
    std::this_thread::sleep_for(5ms);
  }
  const program_result second = run_program(arguments(run));
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.output.find(std::to_string(first.pid())), std::string::npos) << second.output;
}

TEST_F(Kill, RunOfAnotherJobIsRefusedSayingWhatDiffers) {
  const program_result result = run_program(arguments(undisturbed(), {"--ppo.kl-coef", "0.2", "--run.seed", "8"}));
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("ppo.kl-coef"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("run.seed"), std::string::npos) << result.output;
}

TEST_F(Kill, FinishedRunHasNothingLeftToDo) {
  const std::string before = text_of(undisturbed() / "metrics.jsonl");
  const program_result result = run_program(arguments(undisturbed()));
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(text_of(undisturbed() / "metrics.jsonl"), before);
}

}  // namespace troupe::test
