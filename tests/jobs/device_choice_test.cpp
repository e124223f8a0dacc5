#include "io/run/run_directory.hpp"
#include "jobs/device_choice.hpp"
#include "support/program.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {
namespace {

const engine::module_places with_cards{.driver = "libc.so.6", .modules = {TROUPE_MODULE_two}};
const engine::module_places without_driver{.driver = "libno_such_driver.so.1", .modules = {}};

/// What `troupe` says with the test's module in the place of its own.
test::program_result with_module(const char* module, const std::vector<std::string>& arguments) {
  ::setenv("TROUPE_CUDA_MODULE", module, 1);
  const test::program_result result = test::run_program(arguments);
  ::unsetenv("TROUPE_CUDA_MODULE");
  return result;
}

using test::contains;

constexpr auto automatic = io::device_choice::automatic, cpu = io::device_choice::cpu, cuda = io::device_choice::cuda;
const engine::module_places with_a_broken_card{.driver = "libc.so.6", .modules = {TROUPE_MODULE_broken}};
constexpr std::nullopt_t no_scheduler = std::nullopt, new_run = std::nullopt;

actors::allocation of_slurm(bool has_cards) { return {.hosts = {"a", "b"}, .has_cards = has_cards}; }

io::place_section placed(io::device_choice device, int64_t ranks) {
  io::place_section place;
  place.device = device;
  place.ranks = ranks;
  return place;
}

TEST(DeviceChoice, ACardThatIsAskedForIsThereForEachRank) {
  const auto refused = [](int64_t ranks, const engine::module_places& places) {
    return test::refusal([&] { settled_device(placed(cuda, ranks), new_run, no_scheduler, places); });
  };
  const std::string none = refused(1, without_driver);
  EXPECT_TRUE(contains(none, "place.device = cuda: this host has no NVIDIA driver (libno_such_driver.so.1: ")) << none;
  EXPECT_EQ(refused(3, with_cards),
            "place.device = cuda: each of the 3 ranks (place.ranks) takes a card of its own, and this host has 2: give "
            "--place.ranks 2 or fewer, or run under Slurm");
  EXPECT_EQ(settled_device(placed(cuda, 2), cpu, no_scheduler, with_cards), cuda);
  EXPECT_EQ(settled_device(placed(cuda, 3), new_run, of_slurm(true), with_cards), cuda);  // some are on other hosts
}

TEST(DeviceChoice, AutoTakesCardsWhereEachRankHasOne) {
  const auto of_new_run = [](int64_t ranks, const std::optional<actors::allocation>& given,
                             const engine::module_places& places) {
    return settled_device(placed(automatic, ranks), new_run, given, places);
  };
  EXPECT_EQ(of_new_run(2, no_scheduler, with_cards), cuda);
  EXPECT_EQ(of_new_run(3, no_scheduler, with_cards), cpu);
  EXPECT_EQ(of_new_run(1, no_scheduler, without_driver), cpu);
  EXPECT_EQ(of_new_run(1, no_scheduler, with_a_broken_card), cpu);  // the first card is the one that it would take
  actors::allocation two_each = of_slurm(true);
  two_each.cards_per_host = 2;
  EXPECT_EQ(of_new_run(4, two_each, with_cards), cuda);
  EXPECT_EQ(of_new_run(5, two_each, with_cards), cpu);
  EXPECT_EQ(of_new_run(3, of_slurm(true), with_cards), cuda);
  EXPECT_EQ(of_new_run(1, of_slurm(false), with_cards), cpu);  // the host's cards are others'
  EXPECT_EQ(of_new_run(1, of_slurm(true), without_driver), cpu);
  EXPECT_EQ(settled_device(placed(cpu, 1), cuda, no_scheduler, with_cards), cpu);
}

TEST(DeviceChoice, AutoGoesOnWhereTheRunBegan) {
  EXPECT_EQ(settled_device(placed(automatic, 2), cpu, no_scheduler, with_cards), cpu);
  EXPECT_EQ(settled_device(placed(automatic, 2), cuda, no_scheduler, with_cards), cuda);
  const std::string refused =
      test::refusal([&] { settled_device(placed(automatic, 2), cuda, no_scheduler, without_driver); });
  EXPECT_TRUE(contains(refused,
                       "place.device = auto, and the run has computed on cards so far (place.device = cpu goes "
                       "on without): this host has no NVIDIA driver"))
      << refused;
}

TEST(DeviceChoice, WhatACardLacksIsToldWithIt) {
  const device_facts card{
      .name = "A card", .driver = "1", .libraries = "2", .bytes = 1 << 30, .lacks = "it has no fan"};
  EXPECT_EQ(card_text(card), "A card, 1.0 GiB, architecture 0.0, driver 1, 2; it has no fan");
}

TEST(DeviceChoice, VersionListsCardsOrSaysWhyThereAreNone) {
  const auto two = with_module(TROUPE_MODULE_two, {"--version"});
  EXPECT_TRUE(contains(two.output, "\ncard 0        Card of the tests 0, 1.5 GiB, architecture 9.0, driver 1.2, none\n"
                                   "card 1        Card of the tests 1"))
      << two.output;
  EXPECT_TRUE(contains(two.output, "\nbetween cards wires of the tests 1.2\n")) << two.output;
  const auto emulated = with_module(TROUPE_MODULE_emulated, {"--version"});
  EXPECT_TRUE(contains(emulated.output, "\nbetween cards none: an emulated card cannot be reached")) << emulated.output;
  const auto broken = with_module(TROUPE_MODULE_broken, {"--version"});
  EXPECT_EQ(broken.status, 0);
  EXPECT_TRUE(contains(broken.output, "\ncard 0        cannot be used: card 0 (of unknown model, host "))
      << broken.output;
  EXPECT_TRUE(contains(broken.output, "): it does not answer\ncard 1        Card of the tests 1, 1.5 GiB"))
      << broken.output;
  const auto foreign = with_module(TROUPE_MODULE_foreign, {"--version"});
  EXPECT_EQ(foreign.status, 0);
  EXPECT_TRUE(contains(foreign.output, "\ncards         none: " TROUPE_MODULE_foreign " is a module of another"))
      << foreign.output;
}

TEST(DeviceChoice, ARunIsRefusedBeforeItsFolderIsThere) {
  const test::temporary_folder folder;
  const std::string run = folder / "run";
  const std::string job = test_data() + "/jobs/tiny.ini";
  const auto refused = with_module(TROUPE_MODULE_empty, {"run", job, "--run.dir", run, "--place.device", "cuda"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(contains(refused.output,
                       "place.device = cuda: the driver of this host's cards gives none: all of them are asleep\n"))
      << refused.output;
  EXPECT_FALSE(std::filesystem::exists(run));
}

TEST(DeviceChoice, SubmitAsksForTheCardsThatItNames) {
  const test::temporary_folder folder;
  const std::string run = folder / "run";
  const std::vector<std::string> submit = {"submit", test_data() + "/jobs/tiny.ini", "--dry-run", "--run.dir", run};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = submit;
    all.insert(all.end(), more.begin(), more.end());
    return test::run_program(all);
  };
  const auto refused = with({"--place.device", "cuda"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(contains(refused.output, "place.device = cuda: say how many cards of a node to ask Slurm for"))
      << refused.output;
  const auto asked = with({"--gpus-per-node", "2"});
  EXPECT_EQ(asked.status, 0) << asked.output;
  EXPECT_TRUE(contains(asked.output, "--place.device cuda")) << asked.output;
  EXPECT_FALSE(contains(with({}).output, "--place.device")) << with({}).output;
}

/// What the log says, and what the run's job has.
TEST(DeviceChoice, ARunStaysOnTheCardsThatItTook) {
  const test::temporary_folder folder;
  const auto run_with = [&](const char* module, const std::string& name, const std::vector<std::string>& more = {}) {
    std::vector<std::string> command{"run",
                                     test_data() + "/jobs/tiny.ini",
                                     "--run.dir",
                                     folder / name,
                                     "--run.phases",
                                     "pairs",
                                     "--pairs.prompts",
                                     "8",
                                     "--pairs.prompts-per-iteration",
                                     "8",
                                     "--generation.max-new-tokens",
                                     "4"};
    command.insert(command.end(), more.begin(), more.end());
    return with_module(module, command);
  };
  const auto device_of = [&](const std::string& name) {
    return io::run_directory::open(folder / name).recorded_job().place.device;
  };
  const auto first = run_with(TROUPE_MODULE_emulated, "on_cards");
  EXPECT_EQ(first.status, 0) << first.output;
  EXPECT_TRUE(contains(first.output, "each rank computes on a card: emulated card")) << first.output;
  EXPECT_EQ(device_of("on_cards"), cuda);
  const auto without = run_with(TROUPE_MODULE_empty, "on_cards");
  EXPECT_EQ(without.status, 2) << without.output;
  EXPECT_TRUE(contains(without.output, "the run has computed on cards so far")) << without.output;
  const auto planned = with_module(TROUPE_MODULE_empty, {"plan", test_data() + "/jobs/tiny.ini", "--run.dir",
                                                         folder / "on_cards", "--run.phases", "pairs"});
  EXPECT_EQ(planned.status, 0) << planned.output;
  EXPECT_TRUE(contains(planned.output, "peak of a card")) << planned.output;
  const auto submitted = with_module(TROUPE_MODULE_empty, {"submit", test_data() + "/jobs/tiny.ini", "--dry-run",
                                                           "--run.dir", folder / "on_cards", "--run.phases", "pairs"});
  EXPECT_EQ(submitted.status, 2) << submitted.output;
  EXPECT_TRUE(contains(submitted.output, "--gpus-per-node N")) << submitted.output;
  EXPECT_EQ(run_with(TROUPE_MODULE_empty, "on_cards", {"--place.device", "cpu"}).status, 0);

  const auto too_many = run_with(TROUPE_MODULE_two, "on_cpu", {"--place.ranks", "3"});
  EXPECT_EQ(too_many.status, 0) << too_many.output;
  EXPECT_TRUE(contains(too_many.output, "the run computes on the CPU and takes no card: each of the 3 ranks"))
      << too_many.output;
  EXPECT_EQ(device_of("on_cpu"), cpu);
  const auto again = run_with(TROUPE_MODULE_two, "on_cpu");
  EXPECT_EQ(again.status, 0) << again.output;
  EXPECT_TRUE(contains(again.output, "the run goes on on the CPU, where it began")) << again.output;
}

}  // namespace
}  // namespace troupe
