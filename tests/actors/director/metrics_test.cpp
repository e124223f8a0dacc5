// The metrics actor: what it is told stands in metrics.jsonl and in TensorBoard's folder, and on the terminal.
#include "actors/director/metrics.hpp"
#include "support/damage.hpp"
#include "support/stepped_actors.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace troupe::actors {
namespace {

namespace fs = std::filesystem;

constexpr int64_t attempt = 1;

class Metrics : public ::testing::Test {
protected:
  metrics_actor start(bool terminal = false, int64_t log_every = 1) {
    const auto words = std::make_shared<console>(console::settings{.terminal = terminal});
    actor_ = actors_.system().spawn(metrics, metrics_settings{.run = run_, .words = words, .log_every = log_every});
    return actor_;
  }
  void SetUp() override { ASSERT_EQ(run_.begin_attempt(), attempt); }
  void TearDown() override { actors_.end(actor_); }

  void record(metrics_record one) {
    one.attempt = attempt;
    EXPECT_TRUE(actors_.ask<bool>(actor_, record_atom_v, std::move(one)));
  }

  /// What the actor writes on the terminal when it hears of `done` of `total`.
  std::string shown(const std::string& part, uint64_t done, uint64_t total, io::phase phase = io::phase::sft) {
    testing::internal::CaptureStderr();
    caf::anon_send(actor_, progress_atom_v,
                   progress_note{.phase = phase,
                                 .doing = part,
                                 .done = done,
                                 .total = total,
                                 .unit = "updates",
                                 .summary = "policy/loss 1.5"});
    actors_.run();
    return testing::internal::GetCapturedStderr();
  }

  test::temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  test::stepped_actors actors_;
  metrics_actor actor_;
};

TEST_F(Metrics, RecordIsALineWithItsNumbersAndRollouts) {
  start();
  record({.phase = io::phase::sft, .update = 3, .values = {{"b", 0.5}, {"a", NAN}}, .rollouts = {}});
  record({.phase = io::phase::ppo,
          .update = 8,
          .iteration = 2,
          .counts_iterations = true,
          .values = {},
          .rollouts = {{.prompt = "Once", .answer = " upon", .reward = 0.25}, {.prompt = "Two", .answer = "!"}}});
  const auto lines = io::read_metrics(run_.metrics());
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].phase, "sft");
  EXPECT_EQ(lines[0].update, 3);
  EXPECT_LT(lines[0].iteration, 0) << "the phase counts updates";
  EXPECT_EQ(lines[0].attempt, attempt);
  ASSERT_EQ(lines[0].values.size(), 2U);
  EXPECT_EQ(lines[0].values[0].first, "a");
  EXPECT_TRUE(std::isnan(lines[0].values[0].second));
  EXPECT_EQ(lines[0].values[1], std::pair(std::string("b"), 0.5));
  EXPECT_EQ(lines[1].iteration, 2);
  EXPECT_EQ(lines[1].update, 8);
  const std::vector<std::pair<std::string, std::string>> texts = {{"rollout/0/prompt", "Once"},
                                                                  {"rollout/0/answer", " upon"},
                                                                  {"rollout/1/prompt", "Two"},
                                                                  {"rollout/1/answer", "!"}};
  EXPECT_EQ(lines[1].texts, texts);
}

TEST_F(Metrics, TimeOfARecordIsNow) {
  const auto now = [] {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  };
  start();
  const double before = now();
  record({.phase = io::phase::sft, .update = 1});
  const double time = io::read_metrics(run_.metrics()).at(0).time;
  EXPECT_GE(time, before);
  EXPECT_LE(time, now());
}

std::string events_of(const fs::path& folder) {
  const test::byte_vector bytes = test::read_bytes(fs::directory_iterator(folder)->path());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(Metrics, TensorBoardGetsNumbersAndRolloutsOfEachPhase) {
  start();
  record({.phase = io::phase::sft, .update = 1, .values = {{"policy/loss", 1.0}}});
  record({.phase = io::phase::ppo, .update = 1, .rollouts = {{.prompt = "Once", .answer = " upon", .reward = 0.25}}});
  EXPECT_NE(events_of(run_.tensorboard() / "sft").find("policy/loss"), std::string::npos);
  EXPECT_EQ(events_of(run_.tensorboard() / "sft").find("rollouts"), std::string::npos);
  EXPECT_NE(events_of(run_.tensorboard() / "ppo").find("|---|---|---|\n| 0.250 | Once |  upon |\n"), std::string::npos);
}

TEST_F(Metrics, CuttingDropsWhatLiesBeyondTheCheckpointAndLaterPhases) {
  start();
  for (uint64_t update = 1; update <= 3; ++update) {
    record({.phase = io::phase::sft, .update = update});
  }
  record({.phase = io::phase::reward, .update = 1});
  const std::vector<stale_records> stale = {{io::phase::sft, 2}, {io::phase::reward, -1}, {io::phase::ppo, -1}};
  EXPECT_TRUE(actors_.ask<bool>(actor_, truncate_atom_v, stale));
  const auto lines = io::read_metrics(run_.metrics());
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].update, 2);
  EXPECT_FALSE(fs::exists(run_.tensorboard() / "reward"));
  EXPECT_TRUE(fs::exists(run_.tensorboard() / "sft"));
}

TEST_F(Metrics, RecordThatCannotBeWrittenIsAnErrorToWhoSentIt) {
  start();
  fs::create_directories(run_.tensorboard());
  std::ofstream(run_.tensorboard() / "sft") << "a file where the folder should be";
  const auto failure = test::caught([&] {
    actors_.ask<bool>(actor_, record_atom_v,
                      metrics_record{.phase = io::phase::sft, .update = 1, .attempt = attempt, .values = {{"a", 1.0}}});
  });
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code(), errc::io_failure) << failure->what();
  fs::remove(run_.tensorboard() / "sft");
  record({.phase = io::phase::sft, .update = 2});  // it lives on
}

TEST_F(Metrics, RecordOfAnAttemptThatIsOverIsRefused) {
  start();
  run_.begin_attempt();
  test::expect_error(errc::interrupted, "attempt 2 has begun", [&] {
    actors_.ask<bool>(actor_, record_atom_v, metrics_record{.phase = io::phase::sft, .update = 1, .attempt = attempt});
  });
  EXPECT_TRUE(io::read_metrics(run_.metrics()).empty());
}

TEST_F(Metrics, LogHasAWholeLineForEveryFewUpdatesAndTheLast) {
  start(false, 3);
  EXPECT_EQ(shown("", 0, 7), "sft 0/7 updates  policy/loss 1.5\n");
  EXPECT_EQ(shown("", 1, 7), "");
  EXPECT_EQ(shown("generate", 3, 7), "") << "parts of an update are for terminals";
  EXPECT_EQ(shown("", 3, 7).substr(0, 15), "sft 3/7 updates");
  EXPECT_EQ(shown("", 7, 7).substr(0, 15), "sft 7/7 updates");
}

TEST_F(Metrics, TerminalHasOneLineThatIsRewritten) {
  start(true);
  EXPECT_EQ(shown("", 0, 7), "\r\033[Ksft 0/7  policy/loss 1.5");
  EXPECT_EQ(shown("", 1, 7), "") << "within the same tenth of a second";
  const std::string last = shown("", 7, 7);
  EXPECT_EQ(last.substr(0, 11), "\r\033[Ksft 7/7");
  EXPECT_EQ(last.back(), '\n');
  EXPECT_EQ(shown("evaluate", 7, 7).back(), '5') << "a part's end is not the phase's";
}

TEST_F(Metrics, RateCountsFromWhereThisProcessBegan) {
  start();
  EXPECT_EQ(shown("", 40, 50).find("left"), std::string::npos) << "nothing has been seen being done yet";
  const std::string line = shown("", 45, 50);
  EXPECT_NE(line.find("updates/s, "), std::string::npos) << line;
  EXPECT_NE(line.find(" s left"), std::string::npos) << line;
  EXPECT_EQ(shown("", 46, 50, io::phase::ppo).find("left"), std::string::npos) << "another phase has another pace";
  EXPECT_EQ(shown("", 44, 50, io::phase::ppo).find("left"), std::string::npos) << "rolled back: it begins anew";
}

}  // namespace
}  // namespace troupe::actors
