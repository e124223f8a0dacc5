#include "base/card_name.hpp"
#include "base/context.hpp"
#include "base/host_name.hpp"
#include "engine/cards/card_module.hpp"
#include "kernels/activation.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace troupe::engine {
namespace {

/// Why there are no cards, with these modules and a driver that is there.
std::string why_none(const std::vector<std::string>& modules) {
  const card_module found({.driver = "libc.so.6", .modules = modules});
  EXPECT_EQ(found.cards(), 0);
  EXPECT_TRUE(found.answers().empty());
  EXPECT_EQ(found.first_facts(), nullptr);
  test::expect_error(errc::bad_argument, found.why_none(), [&] { static_cast<void>(found.open(0)); });
  return found.why_none();
}

TEST(CardModule, WithoutADriverNoModuleIsLoaded) {
  const card_module found({.driver = "libno_such_driver.so.1", .modules = {TROUPE_MODULE_two}});
  EXPECT_EQ(found.cards(), 0);
  EXPECT_EQ(found.why_none().find("this host has no NVIDIA driver (libno_such_driver.so.1: "), 0U) << found.why_none();
}

TEST(CardModule, WhatIsMissingOrForeignIsNamedInALine) {
  EXPECT_EQ(why_none({"/nowhere/a.so", "/nowhere/b.so"}),
            "there is a driver, and no module for it: /nowhere/a.so is not there. `make cuda` builds it");
  EXPECT_EQ(why_none({"/nowhere/a.so", TROUPE_MODULE_foreign}),
            TROUPE_MODULE_foreign " is a module of another version of this program: build both from the same sources "
                                  "(`make cuda`)");
  EXPECT_EQ(why_none({TROUPE_MODULE_none}),
            TROUPE_MODULE_none " is not a module of this program: it has no troupe_device_module");
  const test::temporary_folder folder;
  const std::string text = folder / "libtroupe_cuda.so";
  std::ofstream(text) << "no library\n";
  EXPECT_EQ(why_none({text}).find("the module for cards cannot be loaded: " + text), 0U) << why_none({text});
  EXPECT_EQ(why_none({TROUPE_MODULE_empty}), "the driver of this host's cards gives none: all of them are asleep");
}

TEST(CardModule, CardsAreListedAndOpenedThroughIt) {
  const card_module found({.driver = "libc.so.6", .modules = {"/nowhere/a.so", TROUPE_MODULE_two}});
  EXPECT_EQ(found.why_none(), "");
  ASSERT_EQ(found.cards(), 2);
  EXPECT_EQ(found.answers()[1].facts.name, "Card of the tests 1");
  // Thrown in the module, and caught here by its type.
  test::expect_error(errc::unsupported, "card 1 does not open", [&] { static_cast<void>(found.open(1)); });
  test::expect_error(errc::bad_argument, "there is no card 2: this process has 2, counted from 0",
                     [&] { static_cast<void>(found.open(2)); });
  test::expect_error(errc::bad_argument, "there is no card -1", [&] { static_cast<void>(found.open(-1)); });
}

TEST(CardModule, OneCardThatTellsNothingFailsAloneAndByItsName) {
  const card_module found({.driver = "", .modules = {TROUPE_MODULE_broken}});
  EXPECT_EQ(found.why_none(), "");
  ASSERT_EQ(found.cards(), 2);
  const std::string failure = card_name(0, "", host_name()) + ": it does not answer";
  EXPECT_EQ(found.answers()[0].failure, failure);
  EXPECT_EQ(found.answers()[1].failure, "");
  ASSERT_NE(found.first_facts(), nullptr);
  EXPECT_EQ(found.first_facts()->name, "Card of the tests 1");
  EXPECT_EQ(find_card_name(failure)->number, 0);
  test::expect_error(errc::device_failure, failure, [&] { static_cast<void>(found.open(0)); });
  test::expect_error(errc::unsupported, "card 1 does not open", [&] { static_cast<void>(found.open(1)); });
}

TEST(CardModule, ACardOfAModuleComputesAndThrowsErrorsOfTheProgram) {
  const card_module found({.driver = "", .modules = {TROUPE_MODULE_emulated}});
  ASSERT_GT(found.cards(), 0) << found.why_none();
  EXPECT_EQ(found.answers()[0].facts.name, "emulated card");
  const std::unique_ptr<device> card = found.open(0);
  thread_pool pool{1};
  context ctx{pool, card.get()};
  constexpr int64_t count = 3;
  std::byte* const at = card->reserve(2 * sizeof(float) * count, "numbers");
  card->map(at, 2 * sizeof(float) * count);
  auto* const y = reinterpret_cast<float*>(at);
  const float given[2 * count] = {1, 2, 3, 10, 20, 30};
  card->copy(queue::compute, y, given, sizeof(given));
  kernels::add_in_place(ctx, y, y + count, count);
  float sums[count] = {};
  card->copy(queue::compute, sums, y, sizeof(sums));
  card->finish(card->record(queue::compute));
  EXPECT_EQ(sums[0], 11);
  EXPECT_EQ(sums[2], 33);
  std::byte* const large = card->reserve(int64_t{1} << 40, "too much");
  test::expect_error(errc::out_of_memory, "", [&] { card->map(large, int64_t{1} << 40); });
}

TEST(CardModule, TheUsualPlacesAreBesideTheProgramAndWhereItIsInstalled) {
  ASSERT_EQ(std::getenv("TROUPE_CUDA_MODULE"), nullptr);
  const module_places usual = usual_places();
  EXPECT_EQ(usual.driver, "libcuda.so.1");
  ASSERT_EQ(usual.modules.size(), 2U);
  EXPECT_EQ(usual.modules[0].find('/'), 0U);
  EXPECT_NE(usual.modules[0].find("/tests/libtroupe_cuda.so"), std::string::npos) << usual.modules[0];
  EXPECT_NE(usual.modules[1].find("/tests/../lib"), std::string::npos) << usual.modules[1];
  EXPECT_NE(usual.modules[1].find("/troupe/libtroupe_cuda.so"), std::string::npos) << usual.modules[1];
  ::setenv("TROUPE_CUDA_MODULE", "/a/module.so", 1);
  EXPECT_EQ(usual_places().driver, "");
  EXPECT_EQ(usual_places().modules, std::vector<std::string>{"/a/module.so"});
  ::unsetenv("TROUPE_CUDA_MODULE");
}

}  // namespace
}  // namespace troupe::engine
