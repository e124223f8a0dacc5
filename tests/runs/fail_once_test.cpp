// Memory, or a thread, is not to be had for once, anywhere in a run: its supervisor's process or a rank's. Each time
// the run ends: in the bytes of one that lacked nothing; or with an error that says why, after which the same command
// ends in those bytes. It never stands still.
//
// Thread starts are tried a few steps apart, and allocations by a sample of a fixed seed. TROUPE_LONG_TESTS=N takes N
// times as many: 10 are all thread starts.
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>

namespace troupe::test {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto patience = 150s;  // with a run that lacks something: its deadlines together, on a busy machine

static words arguments(const fs::path& data, const fs::path& run, int ranks) {
  return run_of_job("tiny", run) + words{"--run.phases", "sft ppo", "--data.openings.phases", "sft ppo"} +
         words{"--data.openings.path", data.string(), "--place.ranks", std::to_string(ranks)} +
         words{"--model.critic", test_data() + "/stories260k", "--rewards.learned.kind", "lexicon"} +
         words{"--rewards.learned.lexicon", test_data() + "/vader/vader_lexicon.txt"} + words_of(R"(
             --run.threads 2 --run.lanes 2
             --sft.updates 2 --ppo.iterations 1 --ppo.prompts 2 --ppo.samples-per-prompt 1 --ppo.epochs 1
             --ppo.minibatches 1 --generation.max-new-tokens 6 --evaluation.prompts 2 --evaluation.records 4
             --recovery.pause-s 0.2 --recovery.start-deadline-s 15 --recovery.silence-deadline-s 8
             --recovery.worker-deadline-s 10 --recovery.stop-deadline-s 10)");
}

/// The four numbers of fail_once.c.
enum class counted : uint8_t { run_alloc, run_thread, worker_alloc, worker_thread };
constexpr std::array<const char*, 4> names = {"run-alloc", "run-thread", "worker-alloc", "worker-thread"};

static uint64_t count_in(const fs::path& file, counted what) {
  std::array<uint64_t, 4> counts{};
  std::ifstream(file, std::ios::binary).read(reinterpret_cast<char*>(counts.data()), sizeof(counts));
  return counts.at(static_cast<size_t>(what));
}

/// The library's settings, in this process's environment for as long as a program starts.
class preloaded {
public:
  preloaded(const fs::path& counts, const std::string& what, uint64_t at) {
    ::setenv("LD_PRELOAD", TROUPE_FAIL_ONCE, 1);
    ::setenv("FAIL_ONCE_COUNTS", counts.c_str(), 1);
    if (at > 0) {
      ::setenv("FAIL_ONCE_WHAT", what.c_str(), 1);
      ::setenv("FAIL_ONCE_AT", std::to_string(at).c_str(), 1);
    }
  }
  ~preloaded() {
    for (const char* name : {"LD_PRELOAD", "FAIL_ONCE_COUNTS", "FAIL_ONCE_WHAT", "FAIL_ONCE_AT"}) {
      ::unsetenv(name);
    }
  }
  preloaded(const preloaded&) = delete;
  preloaded& operator=(const preloaded&) = delete;
};

static bool ends_within(program& troupe, std::chrono::seconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (troupe.running()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(20ms);
  }
  return true;
}

/// By the number of ranks.
class FailOnce : public ::testing::TestWithParam<int> {
protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer has allocators of its own";
#endif
    write_stories(data(), 100);
    const preloaded counting(counts("none"), "", 0);
    const program_result result = run_program(arguments(data(), undisturbed(), GetParam()));
    ASSERT_EQ(result.status, 0) << result.output;
  }

  fs::path data() const { return folder_ / "data.jsonl"; }
  fs::path undisturbed() const { return folder_ / "undisturbed"; }
  fs::path counts(const std::string& name) const { return folder_ / (name + ".counts"); }
  uint64_t count_of(counted what) const { return count_in(counts("none"), what); }

  /// The request with this number fails.
  void expect_an_end(counted what, uint64_t at) {
    const std::string name = names.at(static_cast<size_t>(what)) + ("-" + std::to_string(at));
    SCOPED_TRACE(name);
    const fs::path run = folder_ / name;
    const fs::path output = folder_ / (name + ".output");
    {
      const preloaded failing(counts(name), names.at(static_cast<size_t>(what)), at);
      program troupe(arguments(data(), run, GetParam()), output);
      if (!ends_within(troupe, patience)) {
        ADD_FAILURE() << "stands still: " << text_of(output);
        return;
      }
      const int status = troupe.wait();
      if (status != 0) {
        ++errors_;
        EXPECT_EQ(status, 1) << text_of(output);
        EXPECT_NE(("\n" + text_of(output)).find("\ntroupe run: "), std::string::npos)
            << "ended without a word: " << text_of(output);
        const program_result again = run_program(arguments(data(), run, GetParam()));
        EXPECT_EQ(again.status, 0) << text_of(output) << "then\n" << again.output;
      }
    }
    // Where a checkpoint could not be written, the next one may be there before anybody asks for it: the run goes on
    // from that, and there is one checkpoint less.
    const bool lost_one = text_of(run / "ledger.jsonl").find("checkpoint_failed") != std::string::npos;
    for (const std::string& difference : differences_of_runs(undisturbed(), run)) {
      if (!lost_one || !difference.ends_with(": a checkpoint of the first only")) {
        ADD_FAILURE() << difference << "\n" << text_of(output);
      }
    }
    ++tried_;
    fs::remove_all(run);
  }

  void TearDown() override {
    std::printf("%d requests failed, %d of them ended the run with an error\n", tried_, errors_);
  }

  int64_t times() const {
    const char* more = std::getenv("TROUPE_LONG_TESTS");
    return more != nullptr ? std::max<int64_t>(1, std::strtoll(more, nullptr, 10)) : 1;
  }

  temporary_folder folder_;
  int tried_ = 0, errors_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Ranks, FailOnce, ::testing::Values(1, 2),
                         [](const auto& tested) { return tested.param == 1 ? "One" : "Two"; });

TEST_P(FailOnce, AThread) {
  for (const counted what : {counted::run_thread, counted::worker_thread}) {
    const auto all = static_cast<int64_t>(count_of(what));
    ASSERT_GT(all, 3);
    // With two ranks the same places are there twice: a part is enough.
    const int64_t step = std::max<int64_t>(1, all / ((GetParam() == 1 ? 6 : 3) * times()));
    for (int64_t at = 1; at <= all; at += step) {
      expect_an_end(what, static_cast<uint64_t>(at));
    }
  }
}

TEST_P(FailOnce, Memory) {
  std::mt19937_64 random(20260912);
  for (const counted what : {counted::run_alloc, counted::worker_alloc}) {
    const uint64_t all = count_of(what);
    ASSERT_GT(all, 1000U);
    for (int64_t i = 0; i < (GetParam() == 1 ? 4 : 2) * times(); ++i) {
      expect_an_end(what, 1 + random() % all);
    }
  }
}

}  // namespace troupe::test
