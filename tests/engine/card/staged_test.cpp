// What every communicator must do, with all arrays on cards: each rank (a thread here) has one of its own, or all share
// one.
#include "engine/card/world_on_a_card.hpp"
#include "engine/parallel/staged.hpp"
#include "support/collective_checks.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace troupe::engine {
namespace {

using test::card_copy;

/// Runs a check on each rank of a world whose arrays are on cards.
template <class Check> void expect_nothing_found(int ranks, bool one_card, const Check& check) {
  const emulation::card_options options{.page_bytes = 4096, .late = true};
  const std::unique_ptr<device> shared = one_card ? emulation::make_card(options) : nullptr;
  test::as_local_ranks(ranks, [&](world& here) {
    const std::unique_ptr<device> own = one_card ? nullptr : emulation::make_card(options);
    device& card = one_card ? *shared : *own;
    thread_pool pool(1);
    context ctx{pool, &card};
    test::world_on_a_card there(ctx, here);
    EXPECT_EQ(check(there), test::findings());
  });
}

TEST(StagedCollectives, EachOperationIsThatOfTheHost) {
  for (const int ranks : {1, 2, 3}) {
    expect_nothing_found(ranks, false, test::check_each_operation);
  }
  expect_nothing_found(2, true, test::check_each_operation);
}

TEST(StagedCollectives, ManyAreUnderWayAtATime) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    expect_nothing_found(3, seed == 0, [&](world& there) { return test::check_many_in_flight(there, seed, 40); });
  }
}

TEST(StagedCollectives, GroupsDivideTheRanks) { expect_nothing_found(3, false, test::check_divided); }

TEST(StagedCollectives, AreCountedByTheirCarrier) { expect_nothing_found(2, false, test::check_traffic); }

TEST(StagedCollectives, WithoutACardAreThoseOfTheHost) {
  const std::unique_ptr<world> alone = solo_world();
  const communicator_ptr group = alone->open("x");
  EXPECT_EQ(staged(group, nullptr), group);
  EXPECT_EQ(staged(nullptr, nullptr), nullptr);
}

TEST(StagedCollectives, TheCarrierRefusesWhatDoesNotFit) {
  const std::unique_ptr<device> card = emulation::make_card();
  const std::unique_ptr<world> alone = solo_world();
  const communicator_ptr group = staged(alone->open("x"), card.get());
  std::byte* const there = card->reserve(4096, "arrays");
  card->map(there, 4096);
  const auto gather = [&](const std::vector<int64_t>& offset_R1) {
    group->all_gather(reals(reinterpret_cast<float*>(there)), 4, offset_R1);
  };
  test::expect_error(errc::shape_mismatch, "3 offsets", [&] { gather({0, 1, 2}); });
  test::expect_error(errc::shape_mismatch, "offset 5000000000", [&] { gather({0, 5000000000}); });
  test::expect_error(errc::shape_mismatch, "offset 1 behind 2", [&] { gather({2, 1}); });
  gather({0, 4});
  card->free(there);
}

/// One operation's memory may be the next one's, once it has been copied.
TEST(StagedCollectives, MayFollowEachOtherBeforeTheCardHasWhatCame) {
  test::as_local_ranks(2, [](world& here) {
    const std::unique_ptr<device> card = emulation::make_card({.late = true});
    thread_pool pool(1);
    context ctx{pool, card.get()};
    const communicator_ptr group = staged(here.open("weights"), card.get());
    constexpr size_t count = 5;
    std::vector<std::unique_ptr<card_copy>> arrays;
    for (size_t i = 0; i < count; ++i) {
      const std::vector<std::byte> values(100, std::byte(here.rank() == 0 ? i + 1 : 0));
      arrays.push_back(std::make_unique<card_copy>(ctx, values.data(), values.size()));
    }
    for (const auto& array : arrays) {
      group->broadcast({array->at(), 100}, 0).wait();
    }
    for (size_t i = 0; i < count; ++i) {
      std::vector<std::byte> values(100);
      arrays[i]->back(values.data());
      EXPECT_EQ(values, std::vector<std::byte>(100, std::byte(i + 1))) << "rank " << here.rank();
    }
  });
}

/// The one who computes where the carrier is, and the one who has arrays on a card, keep one order.
TEST(StagedCollectives, HostMemoryMayBeExchangedBetween) {
  test::as_local_ranks(2, [](world& here) {
    const std::unique_ptr<device> card = emulation::make_card({.late = true});
    thread_pool pool(1);
    context ctx{pool, card.get()};
    const communicator_ptr carrier = here.open("gradients");
    const communicator_ptr on_card = staged(carrier, card.get());
    const card_copy there(ctx, std::vector<float>{1.0F + static_cast<float>(here.rank()), 5}.data(), 8);
    const std::vector<int64_t> offset_R1{0, 1, 2};
    auto* const values = reinterpret_cast<float*>(there.at());
    pending first = on_card->reduce_scatter({values, 2}, offset_R1, {values + here.rank(), 1}, {.label = "a"});
    const auto words = gather_bytes(*carrier, std::vector<std::byte>(3, std::byte(here.rank())), {.label = "b"});
    EXPECT_EQ(words[1].at(2), std::byte{1});
    first.wait();
    on_card->all_gather(reals(values), 2, offset_R1, {.label = "c"}).wait();
    std::vector<float> sums(2);
    there.back(sums.data());
    EXPECT_EQ(sums, (std::vector<float>{3, 10}));
  });
}

}  // namespace
}  // namespace troupe::engine
