#include "jobs/device_choice.hpp"
#include "support/program.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

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

TEST(DeviceChoice, ACardThatIsAskedForIsThereForEachRank) {
  io::place_section place;
  place.device = io::device_choice::cuda;
  const std::string none = test::refusal([&] { settle_device(place, false, without_driver); });
  EXPECT_TRUE(contains(none, "place.device = cuda: this host has no NVIDIA driver (libno_such_driver.so.1: ")) << none;
  place.ranks = 2;
  settle_device(place, false, with_cards);
  place.ranks = 3;
  EXPECT_EQ(test::refusal([&] { settle_device(place, false, with_cards); }),
            "place.device = cuda: each of the 3 ranks (place.ranks) takes a card of its own, and this host has 2: give "
            "--place.ranks 2 or fewer, or run under Slurm");
  settle_device(place, true, with_cards);  // some are on other hosts
}

TEST(DeviceChoice, WhoDoesNotAskForACardRunsOnTheCpu) {
  for (const auto wanted : {io::device_choice::automatic, io::device_choice::cpu}) {
    io::place_section place;
    place.device = wanted;
    settle_device(place, false, with_cards);
    settle_device(place, false, without_driver);
  }
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

TEST(DeviceChoice, ARunIsRefusedBeforeItsFolderIsThereAndAutoSaysOnceWhatItLeaves) {
  const test::temporary_folder folder;
  const std::string run = folder / "run";
  const std::string job = test_data() + "/jobs/tiny.ini";
  const std::vector<std::string> command{
      "run", job, "--run.dir", run, "--run.phases", "pairs", "--pairs.prompts", "8", "--pairs.prompts-per-iteration",
      "8"};
  auto cuda = command;
  cuda.insert(cuda.end(), {"--place.device", "cuda"});
  const auto refused = with_module(TROUPE_MODULE_empty, cuda);
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(contains(refused.output,
                       "place.device = cuda: the driver of this host's cards gives none: all of them are asleep\n"))
      << refused.output;
  EXPECT_FALSE(std::filesystem::exists(run));
  const auto submitted = test::run_program({"submit", job, "--dry-run", "--run.dir", run, "--place.device", "cuda"});
  EXPECT_EQ(submitted.status, 2);
  EXPECT_TRUE(contains(submitted.output, "place.device = cuda: say how many cards of a node to ask Slurm for"))
      << submitted.output;

  const std::string words = "auto computes on the CPU all the same";
  const auto left = with_module(TROUPE_MODULE_two, command);
  EXPECT_EQ(left.status, 0);
  const size_t first = left.output.find(words);
  EXPECT_NE(first, std::string::npos) << left.output;
  EXPECT_EQ(left.output.find(words, first + 1), std::string::npos) << left.output;
}

}  // namespace
}  // namespace troupe
