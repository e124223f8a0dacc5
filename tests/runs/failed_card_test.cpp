// A run whose card fails each time that it is opened: after two attempts its rank takes another.
#include "io/run/ledger.hpp"
#include "io/run/run_directory.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
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

TEST(FailedCard, IsLeftOutAfterTwoFailuresAndTheRunIsFinishedOnAnother) {
  ::setenv("TROUPE_CUDA_MODULE", TROUPE_MODULE_emulated, 1);
  ::setenv("TROUPE_EMULATED_FAILING", "0", 1);
  const temporary_folder folder;
  const std::string run = folder / "run";
  const program_result result =
      run_program(run_of_job("tiny", run) + words_of("--run.phases pairs --pairs.prompts 8 --run.threads 1 "
                                                     "--pairs.prompts-per-iteration 8 --place.device cuda"));
  EXPECT_EQ(result.status, 0) << result.output;
  std::vector<std::string> suspected, reasons;
  for (const io::ledger_event& event : io::read_ledger(io::run_directory::open(run).ledger())) {
    if (event.kind == io::ledger_kind::host_suspected) {
      suspected.push_back(text_of(event, "reason"));
    } else if (event.kind == io::ledger_kind::attempt_started) {
      reasons.push_back(text_of(event, "reason"));
    }
  }
  EXPECT_EQ(suspected,
            (std::vector<std::string>{"failure 1 of its card 0",
                                      "failure 2 of its card 0; it is left out where the job can do without"}));
  EXPECT_EQ(reasons, (std::vector<std::string>{"", "", "card 0 left out, where enough others are here"}));
  const program_result status = run_program({"status", run});
  EXPECT_NE(status.output.find(", card 0: failure 2 of its card 0"), std::string::npos) << status.output;
  EXPECT_NE(status.output.find("card 0 (emulated card, host "), std::string::npos) << status.output;
  ::unsetenv("TROUPE_EMULATED_FAILING");
  ::unsetenv("TROUPE_CUDA_MODULE");
}

}  // namespace troupe::test
