// What happens to a run on a day without faults: a terminal that is closed, a pipe that nobody reads, Ctrl-C and
// Ctrl-Z, a machine that is suspended. Nothing is lost, and the bytes at the end are those of an undisturbed run.
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace troupe::test {

using namespace std::chrono_literals;

/// Both deadlines are short, and yet a busy machine keeps them.
static words arguments(const std::filesystem::path& data, const std::filesystem::path& run, int ranks,
                       const std::string& deadline = "6") {
  return run_of_job("tiny", run) +
         words_of("--run.phases sft --data.openings.phases sft --sft.updates 40 --run.lanes 2") +
         words{"--data.openings.path", data.string(), "--place.ranks", std::to_string(ranks)} +
         words{"--recovery.silence-deadline-s", deadline, "--recovery.worker-deadline-s", deadline};
}

/// Waits until a file holds this text; false: it did not come.
static bool await_text(const std::filesystem::path& file, const std::string& part) {
  for (int i = 0; i < 6000; ++i) {
    if (contains(text_of(file), part)) {
      return true;
    }
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

/// By the number of ranks: one is a child of the supervisor, two are mpirun's.
class OrdinaryDay : public ::testing::TestWithParam<int> {
protected:
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    write_stories(data(), 200);
    const program_result result = run_program(arguments(data(), undisturbed(), 1));
    ASSERT_EQ(result.status, 0) << result.output;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::filesystem::path data() { return *folder_ / "data.jsonl"; }
  static std::filesystem::path undisturbed() { return *folder_ / "undisturbed"; }

  std::filesystem::path run() const { return scratch_ / "run"; }
  std::filesystem::path output() const { return scratch_ / "output"; }
  std::string ledger() const { return text_of(run() / "ledger.jsonl"); }
  void expect_undisturbed() const { expect_equal_runs(undisturbed(), run()); }
  void expect_one_attempt_without_failure() const {
    EXPECT_FALSE(contains(ledger(), "worker_")) << ledger() << text_of(output());
    EXPECT_FALSE(contains(ledger(), R"("attempt":2)")) << ledger();
  }
  /// The same command goes on to the end.
  void expect_to_go_on() const {
    const program_result result = run_program(arguments(data(), run(), GetParam()));
    EXPECT_EQ(result.status, 0) << result.output;
    EXPECT_TRUE(contains(ledger(), "phase_resumed")) << ledger();
    expect_undisturbed();
  }

  temporary_folder scratch_;

private:
  static inline temporary_folder* folder_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Ranks, OrdinaryDay, ::testing::Values(1, 2));

static void signal_all(const std::vector<pid_t>& processes, int number) {
  for (const pid_t one : processes) {
    ::kill(one, number);
  }
}

TEST_P(OrdinaryDay, StandingStillTogetherIsNoFailure) {
  program troupe(arguments(data(), run(), GetParam()), output());
  await_records(troupe, run(), 3);
  std::vector<pid_t> all = troupe.descendants();
  all.push_back(troupe.pid());
  signal_all(all, SIGSTOP);
  std::this_thread::sleep_for(9s);
  signal_all(all, SIGCONT);
  ASSERT_EQ(troupe.wait(), 0) << text_of(output());
  expect_one_attempt_without_failure();
  expect_undisturbed();
}

TEST_P(OrdinaryDay, ASupervisorThatStandsStillAloneLosesNoRank) {  // Ctrl-Z in a terminal reaches it alone
  program troupe(arguments(data(), run(), GetParam()), output());
  await_records(troupe, run(), 3);
  troupe.signal(SIGSTOP);
  std::this_thread::sleep_for(9s);
  troupe.signal(SIGCONT);
  ASSERT_EQ(troupe.wait(), 0) << text_of(output());
  expect_one_attempt_without_failure();
  expect_undisturbed();
}

TEST_P(OrdinaryDay, AClosedTerminalIsAStopAtTheNextBoundary) {
  program troupe(arguments(data(), run(), GetParam()), output());
  await_records(troupe, run(), 2);
  EXPECT_EQ(troupe.stop(SIGHUP), 75) << text_of(output());
  EXPECT_TRUE(contains(ledger(), R"("event":"stopped")")) << ledger();
  expect_to_go_on();
}

TEST_P(OrdinaryDay, UnderNohupAClosedTerminalChangesNothing) {
  std::signal(SIGHUP, SIG_IGN);  // which the program inherits
  program troupe(arguments(data(), run(), GetParam()), output());
  std::signal(SIGHUP, SIG_DFL);
  await_records(troupe, run(), 2);
  troupe.signal(SIGHUP);
  EXPECT_EQ(troupe.wait(), 0) << text_of(output());
  expect_undisturbed();
}

/// The reading end of a pipe with a name, which a program's output goes to.
class reader {
public:
  explicit reader(const std::filesystem::path& pipe) {
    ::mkfifo(pipe.c_str(), 0600);
    descriptor_ = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  }
  ~reader() { close(); }
  reader(const reader&) = delete;
  reader& operator=(const reader&) = delete;
  void close() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
      descriptor_ = -1;
    }
  }

private:
  int descriptor_ = -1;
};

TEST_P(OrdinaryDay, OutputThatNobodyReadsAnyMoreChangesNothing) {  // ... | head
  reader end(scratch_ / "pipe");
  program troupe(arguments(data(), run(), GetParam()), scratch_ / "pipe");
  await_records(troupe, run(), 2);
  end.close();
  EXPECT_EQ(troupe.wait(), 0) << ledger();
  expect_one_attempt_without_failure();
  expect_undisturbed();
}

TEST_P(OrdinaryDay, CtrlCThatEndsTheReaderTooIsAStopAtTheNextBoundary) {  // ... 2>&1 | tee log
  reader end(scratch_ / "pipe");
  program troupe(arguments(data(), run(), GetParam()), scratch_ / "pipe");
  await_records(troupe, run(), 2);
  end.close();
  EXPECT_EQ(troupe.stop(SIGINT), 75) << ledger();
  expect_to_go_on();
}

TEST_P(OrdinaryDay, TheSecondCtrlCSaysWhatIsAwaitedAndTheThirdEndsAtOnce) {
  program troupe(arguments(data(), run(), GetParam(), "300"), output());
  const auto saved = run() / "checkpoints/sft/update-000001/manifest.json";
  await_file(troupe, saved);
  const std::vector<pid_t> ranks = troupe.workers();
  ASSERT_EQ(ranks.size(), static_cast<size_t>(GetParam()));
  signal_all(ranks, SIGSTOP);  // no boundary will ever come
  troupe.signal(SIGINT);
  ASSERT_TRUE(await_text(output(), "stopping at the next boundary")) << text_of(output());
  troupe.signal(SIGINT);
  ASSERT_TRUE(await_text(output(), "waiting for the next boundary after sft ")) << text_of(output());
  EXPECT_TRUE(troupe.running());
  const auto before = std::chrono::steady_clock::now();
  troupe.signal(SIGINT);
  EXPECT_EQ(troupe.wait(), 75) << text_of(output());
  EXPECT_LT(std::chrono::steady_clock::now() - before, 10s);
  for (const pid_t rank : ranks) {
    EXPECT_FALSE(process_exists(rank)) << rank;
  }
  expect_to_go_on();
}

TEST(FileSizeLimit, AFileBeyondTheSizeLimitIsAnErrorThatSaysSo) {  // ulimit -f
  const temporary_folder folder;
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{rlim_t{1} << 20, before.rlim_max};  // no checkpoint fits
  ::setrlimit(RLIMIT_FSIZE, &small);
  const program_result result = run_program({"run", test_data() + "/jobs/answers.ini", "--run.dir", folder / "run"});
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_TRUE(contains(result.output, "File too large")) << result.output;
  EXPECT_FALSE(contains(result.output, "killed by signal")) << result.output;
}

}  // namespace troupe::test
