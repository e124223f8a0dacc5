/// One owner, one attempt, nothing left behind; a ledger that survives a crash in the middle of a line.
#include "io/files/mapped_file.hpp"
#include "io/job/job.hpp"
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/run_directory.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::temporary_folder;

TEST(RunDirectoryTest, AFolderThatIsNoRunIsRefused) {
  const temporary_folder folder;
  std::ofstream(folder / "thesis.tex") << "x";
  expect_error(errc::bad_argument, "neither empty nor a run", [&] { run_directory::open_or_create(folder.path()); });
  expect_error(errc::bad_argument, "not a run", [&] { run_directory::open(folder.path()); });
  expect_error(errc::not_found, "no run", [&] { run_directory::open(folder / "x"); });
  EXPECT_FALSE(fs::exists(folder / "attempt"));
}

TEST(RunDirectoryTest, ANewAttemptShutsTheOldOneOut) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  EXPECT_EQ(run.attempt(), 0);
  EXPECT_EQ(run.begin_attempt(), 1);
  run.require_attempt(1);
  EXPECT_EQ(run_directory::open_or_create(folder / "run").begin_attempt(), 2);
  EXPECT_FALSE(fs::exists(run.fence(1).folder()));
  EXPECT_TRUE(fs::exists(run.fence(2).folder()));
  // A supervisor that knows of the first only has lost its lock meanwhile.
  expect_error(errc::interrupted, "attempt 2 has begun", [&] { run.begin_attempt(1); });
  expect_error(errc::interrupted, "attempt 2 has begun", [&] { run.require_attempt(1); });
  std::ofstream(run.attempt_file()) << "2x\n";
  expect_error(errc::bad_file, "attempt", [&] { run.attempt(); });
}

TEST(RunDirectoryTest, TheJobOfARunIsReadWithoutItsFiles) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  job original;
  original.run.dir = "/runs/a";
  original.model.policy = "/models/a";
  original.data = {{.name = "a", .path = "/data/a.jsonl"}};
  original.run.phases = {phase::sft};
  std::ofstream(run.job()) << job_text(original);
  EXPECT_EQ(run.recorded_job().split.phases, (std::vector{phase::sft, phase::reward, phase::ppo}))
      << "a version that wrote none divided among all";
  original.split.phases = {phase::sft};
  std::ofstream(run.job()) << job_text(original);
  EXPECT_EQ(run.recorded_job().place.device, device_choice::cpu) << "a version that chose nothing had no cards";
  original.place.device = device_choice::cuda;
  std::ofstream(run.job()) << job_text(original);
  EXPECT_EQ(run.recorded_job(), original) << "though neither model nor data are here";
}

TEST(RunDirectoryTest, OneProcessOwnsARunUntilItEndsHoweverItEnds) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    const run_lock lock(run);
    if (::write(ready[1], "x", 1) == 1) {
      ::pause();
    }
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  expect_error(errc::bad_argument, fmt::format("pid {} on ", holder), [&] { const run_lock second(run); });
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  const run_lock mine(run);
  expect_error(errc::bad_argument, fmt::format("pid {} on ", ::getpid()), [&] { const run_lock second(run); });
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(RunDirectoryTest, AttemptsRemoveNothingThatTheyDidNotMake) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  const std::vector<fs::path> own = {run.model("mine.tmp"), run.root() / "notes.tmp", run.root() / "attempt-notes.tmp",
                                     run.model("sft.old"), run.checkpoints() / ".deleted-not"};
  std::for_each(own.begin(), own.end(), [](const fs::path& path) { fs::create_directories(path / "work"); });
  run.begin_attempt();
  run.begin_attempt();
  run.end_attempt();
  for (const fs::path& path : own) {
    EXPECT_TRUE(fs::exists(path / "work")) << path;
  }
  EXPECT_FALSE(fs::exists(run.model("sft")));
  EXPECT_GT(run.free_bytes(), 0);
}

TEST(LedgerTest, EventsComeBackAndAPartialLastLineIsCut) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  EXPECT_TRUE(read_ledger(run.ledger()).empty());
  ledger_event failed{.kind = ledger_kind::worker_failed, .attempt = 2, .phase = "ppo", .counter = 4};
  failed.fields = {{"signal", int64_t{9}}, {"reason", std::string("killed \xff")}};
  ledger_writer(run).append(failed);
  const std::string whole = read_text_file(run.ledger());
  std::ofstream(run.ledger(), std::ios::app) << "{\"event\":\"no";
  EXPECT_EQ(read_ledger(run.ledger()).size(), 1U);
  ledger_writer(run).append({.kind = ledger_kind::run_finished});
  const std::vector<ledger_event> events = read_ledger(run.ledger());
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, ledger_kind::worker_failed);
  EXPECT_EQ(events[0].counter, 4);
  EXPECT_GT(events[0].time, 1e9);
  EXPECT_EQ(events[0].fields[0].second, key_value(int64_t{9}));
  EXPECT_EQ(read_text_file(run.ledger()).rfind(whole, 0), 0U);
  std::ofstream(run.ledger(), std::ios::app) << "garbage\n";
  expect_error(errc::bad_file, "line 3", [&] { read_ledger(run.ledger()); });
}

}  // namespace
}  // namespace troupe::io
