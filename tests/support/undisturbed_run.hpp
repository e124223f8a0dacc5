/// Tests of whole runs that are held to one in which nothing dies.
#pragma once

#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace troupe::test {

/// Byte for byte, as differences_of_runs compares them.
inline void expect_equal_runs(const std::filesystem::path& a, const std::filesystem::path& b) {
  for (const std::string& difference : differences_of_runs(a, b)) {
    ADD_FAILURE() << difference;
  }
}

/// Has one run, made once for all tests of a suite: Suite::command_of_undisturbed(folder), which makes it there.
template <class Suite> class undisturbed_run : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    const program_result result = run_program(Suite::command_of_undisturbed(undisturbed()));
    ASSERT_EQ(result.status, 0) << result.output;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::filesystem::path undisturbed() { return *folder_ / "undisturbed"; }
  static void expect_equal_to_undisturbed(const std::filesystem::path& run) { expect_equal_runs(undisturbed(), run); }

  /// A copy of it, to be spoilt.
  std::filesystem::path copy_of_undisturbed() const {
    const std::filesystem::path target = scratch_ / "copy";
    std::filesystem::copy(undisturbed(), target, std::filesystem::copy_options::recursive);
    return target;
  }

  temporary_folder scratch_;

private:
  static inline temporary_folder* folder_ = nullptr;
};

/// A command that a rank's end does not end, and its supervisor's does: after each end it goes on. Records are those of
/// metrics.jsonl between two ends.
inline void kill_rank_and_supervisor(const words& command, const std::filesystem::path& run,
                                     const std::filesystem::path& output, int records, int more_records) {
  program troupe(command, output);
  await_records(troupe, run, records);
  troupe.kill_rank();  // the run goes on by itself
  await_records(troupe, run, more_records);
  troupe.kill();  // the same command goes on
}

}  // namespace troupe::test
