// Many ranks on this machine, by mpirun: the bytes of one rank, whatever the number of ranks and the ZeRO stage; and
// ranks that are killed or stopped at random moments.
#include "support/program.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

namespace troupe::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

static words arguments(const fs::path& run, int ranks, const words& more = {}) {
  return run_of_job("tiny", run) +
         words{"--run.lanes", "4", "--run.threads", "1", "--place.ranks", std::to_string(ranks)} + more;
}

/// Each trained model's updates tell what its ranks sent each other.
static void expect_traffic(const fs::path& run, bool any) {
  const std::string metrics = text_of(run / "metrics.jsonl");
  for (const char* model : {"policy", "critic", "reward"}) {
    const std::string name = "\"rate/" + std::string(model) + "_communicated_bytes\"";
    EXPECT_EQ(metrics.find(name) != std::string::npos, any) << name;
  }
}

/// What is measured on held-out data, of which each rank sees its share,
/// stands in the metrics that runs are compared by.
static void expect_held_out(const fs::path& run) {
  const std::string metrics = text_of(run / "metrics.jsonl");
  for (const char* name : {"held_out/perplexity", "held_out/accuracy", "held_out/pairs/margin", "evaluation/reward"}) {
    EXPECT_NE(metrics.find(name), std::string::npos) << name;
  }
}

/// A run of one rank in which nothing dies, made once.
class Ranks : public undisturbed_run<Ranks> {
public:
  static words command_of_undisturbed(const fs::path& run) { return arguments(run, 1); }

protected:
  /// Each turn goes on with the run, and is stopped three updates later.
  void stop_each(const std::vector<words>& turns, const fs::path& run) {
    int stops = 0;
    for (const words& turn : turns) {
      program troupe(turn, scratch_ / "output");
      await_records(troupe, run, 3);
      const int status = troupe.stop(SIGTERM);
      ASSERT_TRUE(status == 75 || status == 0) << text_of(scratch_ / "output");
      stops += status == 75 ? 1 : 0;
    }
    EXPECT_GE(stops, 2) << "the run was over before it could be stopped";
  }
};

TEST_F(Ranks, TwoAndFourInEveryZeroStageEndInTheBytesOfOne) {
  for (const int ranks : {2, 4}) {
    for (const char* stage : {"0", "1", "2", "3"}) {
      const auto run = scratch_ / ("run-" + std::to_string(ranks) + "-" + stage);
      const program_result result =
          run_program(arguments(run, ranks,
                                {"--place.policy-zero", stage, "--place.critic-zero", stage, "--place.reward-zero",
                                 stage, "--place.frozen-zero", stage[0] == '3' ? "3" : "0"}));
      ASSERT_EQ(result.status, 0) << result.output;
      SCOPED_TRACE(std::to_string(ranks) + " ranks, ZeRO stage " + stage);
      expect_equal_to_undisturbed(run);
      expect_traffic(run, true);
    }
  }
  expect_traffic(undisturbed(), false);
  expect_held_out(undisturbed());
}

/// Policy, critic, reference, reward on ranks of their own.
static words placed(const words& ranks, const words& more = {}) {
  words all;
  const words models = {"policy", "critic", "reference", "reward"};
  for (size_t i = 0; i < models.size(); ++i) {
    if (!ranks[i].empty()) {
      all = all + words{"--place." + models[i] + "-ranks", ranks[i]};
    }
  }
  return all + more;
}

TEST_F(Ranks, ModelsOnRanksOfTheirOwnEndInTheBytesOfOne) {
  const words sharded = {"--place.policy-zero", "3", "--place.critic-zero", "3", "--place.frozen-zero", "3"};
  const std::vector<std::pair<int, words>> turns = {
      {2, placed({"0", "1", "1", "1"})},                                         // all scoring beside generation
      {2, placed({"0-1", "0", "1", "0-1"}, {"--place.policy-zero", "1"})},       // scorers share the policy's ranks
      {4, placed({"2-3", "0-1", "0", "1"}, sharded)},                            // rank 0 has no policy
      {4, placed({"0-1", "2", "1 3", "3"}, {"--place.tensor-parallel", "2"})}};  // one crew of three, on ranks of both
  for (size_t i = 0; i < turns.size(); ++i) {
    SCOPED_TRACE("placement " + std::to_string(i));
    const auto run = scratch_ / std::to_string(i);
    const program_result result = run_program(arguments(run, turns[i].first, turns[i].second));
    ASSERT_EQ(result.status, 0) << result.output;
    expect_equal_to_undisturbed(run);
  }
}

TEST_F(Ranks, PlacementMayChangeFromAttemptToAttempt) {
  const auto run = scratch_ / "run";
  const std::vector<words> turns = {arguments(run, 2, placed({"1", "0", "0", "0"})), arguments(run, 1),
                                    arguments(run, 4, placed({"0-1", "3", "2", "3"}))};
  stop_each(turns, run);
  const program_result last = run_program(arguments(run, 2, placed({"0", "1", "", "1"})));
  ASSERT_EQ(last.status, 0) << last.output;
  expect_equal_to_undisturbed(run);
}

TEST_F(Ranks, NumberOfRanksMayChangeFromAttemptToAttempt) {
  const auto run = scratch_ / "run";
  const std::vector<words> turns = {arguments(run, 4, {"--place.policy-zero", "2"}), arguments(run, 1),
                                    arguments(run, 2, {"--place.critic-zero", "3"})};
  stop_each(turns, run);
  const program_result last = run_program(arguments(run, 4, {"--place.policy-zero", "1"}));
  ASSERT_EQ(last.status, 0) << last.output;
  expect_equal_to_undisturbed(run);
}

TEST_F(Ranks, RanksKilledAtRandomMomentsChangeNothing) {
  constexpr int wanted_kills = 10;
  std::mt19937 random(20261124);
  std::uniform_int_distribution<int> pause_ms(200, 1800);
  int kills = 0;
  for (int round = 0; kills < wanted_kills; ++round) {
    ASSERT_LT(round, 10) << "only " << kills << " kills";
    const auto run = scratch_ / ("killed-" + std::to_string(round));
    words more = {"--recovery.restarts", "100", "--place.policy-zero", "2"};
    if (round % 2 == 1) {
      more = more + placed({"0", "1", "1", ""});
    }
    program troupe(arguments(run, 2, more), scratch_ / "output");
    while (troupe.running() && kills < wanted_kills) {
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms(random)));
      const std::vector<pid_t> ranks = troupe.workers();
      if (!ranks.empty() && ::kill(ranks[random() % ranks.size()], SIGKILL) == 0) {
        ++kills;
      }
    }
    ASSERT_EQ(troupe.wait(), 0) << text_of(scratch_ / "output");
    expect_equal_to_undisturbed(run);
  }
}

TEST_F(Ranks, StoppedRankIsNamedAndReplaced) {
  const auto run = scratch_ / "run";
  program troupe(arguments(run, 2, {"--recovery.silence-deadline-s", "3"}), scratch_ / "output");
  std::vector<pid_t> ranks;
  while (ranks.size() < 2 && troupe.running()) {
    std::this_thread::sleep_for(20ms);
    ranks = troupe.workers();
  }
  ASSERT_EQ(ranks.size(), 2U) << text_of(scratch_ / "output");
  await_file(troupe, run / "models/sft");
  ASSERT_EQ(::kill(ranks[1], SIGSTOP), 0);
  ASSERT_EQ(troupe.wait(), 0) << text_of(scratch_ / "output");
  const std::string ledger = text_of(run / "ledger.jsonl");
  const size_t hung = ledger.find("worker_hung");
  ASSERT_NE(hung, std::string::npos) << ledger;
  const std::string line = ledger.substr(hung, ledger.find('\n', hung) - hung);
  for (const char* field : {"\"rank\":", "\"host\":", "\"operation\":", "\"seconds\":"}) {
    EXPECT_NE(line.find(field), std::string::npos) << line;
  }
  expect_equal_to_undisturbed(run);
}

TEST_F(Ranks, SupervisorKilledTakesAllRanksAlong) {
  const auto run = scratch_ / "run";
  std::vector<pid_t> ranks;
  {
    program troupe(arguments(run, 2), scratch_ / "output");
    while (ranks.size() < 2 && troupe.running()) {
      std::this_thread::sleep_for(20ms);
      ranks = troupe.workers();
    }
    std::this_thread::sleep_for(700ms);
    troupe.kill();
  }
  const auto give_up = std::chrono::steady_clock::now() + 2s;
  for (const pid_t rank : ranks) {
    while (process_exists(rank) && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(10ms);
    }
    EXPECT_FALSE(process_exists(rank)) << "a rank outlived its supervisor by 2 s";
  }
  ASSERT_EQ(run_program(arguments(run, 2)).status, 0);
  expect_equal_to_undisturbed(run);
}

}  // namespace troupe::test
