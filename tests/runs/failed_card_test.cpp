// A run whose card fails each time that it is opened, or hangs: after two attempts its rank takes another.
#include "io/run/ledger.hpp"
#include "io/run/run_directory.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/text_search.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

namespace troupe::test {

static std::string text_of(const io::ledger_event& event, const std::string& field) {
  for (const auto& [name, value] : event.fields) {
    if (const auto* text = std::get_if<std::string>(&value); name == field && text != nullptr) {
      return *text;
    }
  }
  return "";
}

/// Card 0 of the emulated ones does as a variable of the environment says.
class FailedCard : public ::testing::Test {
protected:
  void SetUp() override { ::setenv("TROUPE_CUDA_MODULE", TROUPE_MODULE_emulated, 1); }
  void TearDown() override {
    ::unsetenv("TROUPE_EMULATED_FAILING");
    ::unsetenv("TROUPE_EMULATED_HANGING");
    ::unsetenv("TROUPE_CUDA_MODULE");
  }

  program_result make_pairs(const words& more = {}) const {
    return run_program(run_of_job("tiny", run_) +
                       words_of("--run.phases pairs --pairs.prompts 8 --pairs.prompts-per-iteration 8 --run.threads 1 "
                                "--place.device cuda") +
                       more);
  }

  /// The run has gone on to its end on another card, after two failures of the first.
  void expect_left_out_after_two_failures() const {
    std::vector<std::string> suspected, reasons;
    for (const io::ledger_event& event : io::read_ledger(io::run_directory::open(run_).ledger())) {
      if (event.kind == io::ledger_kind::card_suspected) {
        suspected.push_back(text_of(event, "reason"));
      } else if (event.kind == io::ledger_kind::attempt_started) {
        reasons.push_back(text_of(event, "reason"));
      }
    }
    EXPECT_EQ(suspected,
              (std::vector<std::string>{"failure 1 of its card 0",
                                        "failure 2 of its card 0; it is left out where the job can do without"}));
    EXPECT_EQ(reasons, (std::vector<std::string>{"", "", "card 0 left out, where enough others are here"}));
    const program_result status = run_program({"status", run_});
    EXPECT_TRUE(contains(status.output, ", card 0: failure 2 of its card 0")) << status.output;
    EXPECT_TRUE(contains(status.output, "card 0 (emulated card, host ")) << status.output;
  }

  const temporary_folder folder_;
  const std::string run_ = folder_ / "run";
};

TEST_F(FailedCard, IsLeftOutAfterTwoFailuresAndTheRunIsFinishedOnAnother) {
  ::setenv("TROUPE_EMULATED_FAILING", "0", 1);
  const program_result result = make_pairs();
  EXPECT_EQ(result.status, 0) << result.output;
  expect_left_out_after_two_failures();
}

/// It is given up before its rank counts as hung, so that the card is named.
TEST_F(FailedCard, SoIsOneThatHangs) {
  ::setenv("TROUPE_EMULATED_HANGING", "0", 1);
  const program_result result = make_pairs({"--recovery.worker-deadline-s", "12"});
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_TRUE(contains(result.output, "its work is not done after 6 s")) << result.output;
  EXPECT_FALSE(contains(test::text_of(run_ + "/ledger.jsonl"), "worker_hung"));
  expect_left_out_after_two_failures();
}

}  // namespace troupe::test
