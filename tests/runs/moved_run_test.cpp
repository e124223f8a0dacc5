// A run that is moved with its data and its model: it goes on, and ends in the bytes of one that stayed.
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/undisturbed_run.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace troupe::test {

namespace fs = std::filesystem;

/// A folder with data and a model of its own, and the job of them.
static void fill(const fs::path& folder) {
  fs::create_directories(folder);
  fs::copy(test_data() + "/stories260k", folder / "model", fs::copy_options::recursive);
  write_stories(folder / "data.jsonl", 200);
  std::ofstream(folder / "job.ini") << "[run]\nphases = sft\ncheckpoint-every = 1\nthreads = 1\n"
                                       "[model]\npolicy = model\n[data.d]\npath = data.jsonl\n"
                                       "[length]\nmax-tokens = 64\nmax-prompt-tokens = 48\n"
                                       "[sft]\nupdates = 40\nbatch = 4\n";
}

static std::vector<std::string> arguments(const fs::path& folder, const fs::path& run) {
  return {"run", (folder / "job.ini").string(), "--run.dir", run.string()};
}

TEST(MovedRun, GoesOnWithItsDataAndItsModelElsewhere) {
  const temporary_folder folder;
  fill(folder / "old");
  {
    program troupe(arguments(folder / "old", folder / "old/run"), folder / "output");
    await_records(troupe, folder / "old/run", 3);
    ASSERT_EQ(troupe.stop(SIGTERM), 75) << text_of(folder / "output");
  }
  fs::rename(folder / "old", folder / "new");
  fs::rename(folder / "new/run", folder / "run-elsewhere");
  const program_result moved = run_program(arguments(folder / "new", folder / "run-elsewhere"));
  ASSERT_EQ(moved.status, 0) << moved.output;
  EXPECT_NE(text_of(folder / "run-elsewhere/ledger.jsonl").find("phase_resumed"), std::string::npos) << moved.output;

  ASSERT_EQ(run_program(arguments(folder / "new", folder / "stayed")).status, 0);
  expect_equal_runs(folder / "stayed", folder / "run-elsewhere");
}

}  // namespace troupe::test
