// Strangers at the control port of a run that is going on: it ends in the bytes of one that nobody disturbed.
#include "actors/control/control_channel.hpp"
#include "support/hostile_peer.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

namespace troupe::test {

using namespace std::chrono_literals;

/// TROUPE_HOSTILE_CONNECTIONS=100000: the full number, as `make test-hostile` has it.
static int64_t hostile_connections() {
  const char* text = std::getenv("TROUPE_HOSTILE_CONNECTIONS");
  return text != nullptr ? std::atoll(text) : 3000;
}

/// A job that takes about as long as so many connections do.
static words arguments(const std::filesystem::path& run, int64_t connections) {
  return run_of_job("tiny", run) + words{"--ppo.iterations", std::to_string(6 + connections / 500)} +
         words{"--run.checkpoint-every", "4", "--ppo.evaluate-every", "0"};
}

/// The control port, from the command line of a rank; 0: there is no rank just now.
static uint16_t control_port(const program& troupe) {
  const pid_t worker = troupe.worker();
  const std::string line = worker == 0 ? "" : text_of(fmt::format("/proc/{}/cmdline", worker));  // words end in NUL
  const std::string option = std::string("--port") + '\0';
  const size_t at = line.find(option);
  return at == std::string::npos ? 0 : static_cast<uint16_t>(std::atoi(line.c_str() + at + option.size()));
}

TEST(HostilePeers, ChangeNothingInARunThatIsGoingOn) {
  const temporary_folder folder;
  actors::create_credentials(folder / "foreign");
  const int64_t count = hostile_connections();
  program troupe(arguments(folder / "run", count), folder / "output");
  const auto begun = folder / "run/checkpoints/sft/update-000004/manifest.json";
  await_file(troupe, begun);
  const uint16_t port = control_port(troupe);
  ASSERT_NE(port, 0) << text_of(folder / "output");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(attack(port, folder / "foreign", count, 500), count);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_TRUE(troupe.running()) << "the run was over before the attack: give it more iterations";
  ASSERT_EQ(troupe.wait(), 0) << text_of(folder / "output");
  EXPECT_EQ(text_of(folder / "run/ledger.jsonl").find("worker_failed"), std::string::npos);
  EXPECT_EQ(text_of(folder / "run/attempt"), "1\n");
  fmt::print("{} hostile connections in {:.1f} s\n", count, seconds);

  const program_result undisturbed = run_program(arguments(folder / "undisturbed", count));
  ASSERT_EQ(undisturbed.status, 0) << undisturbed.output;
  expect_equal_runs(folder / "undisturbed", folder / "run");
}

}  // namespace troupe::test
