// What every communicator must do, with all arrays on cards that wires join: each rank is a thread with a card of its
// own. And what happens where a wire or a rank does not do its part.
#include "engine/card/wired_card.hpp"
#include "engine/card/world_on_a_card.hpp"
#include "engine/parallel/device_ranks.hpp"
#include "support/collective_checks.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace troupe::engine {
namespace {

using emulation::wire_fault;
using emulation::wire_network;
using test::card_copy;
using test::wired_card;
using std::chrono_literals::operator""ms;

template <class Check> void expect_nothing_found(int ranks, const Check& check) {
  for (const bool late : {true, false}) {
    const auto network = std::make_shared<wire_network>();
    test::as_local_ranks(ranks, [&](world& here) {
      wired_card mine(network, here, late);
      test::world_on_a_card there(mine.ctx, here);
      EXPECT_EQ(check(there), test::findings());
    });
  }
}

TEST(DeviceRanks, EachOperationIsThatOfTheHost) {
  for (const int ranks : {1, 2, 3, 4}) {
    expect_nothing_found(ranks, test::check_each_operation);
  }
}

TEST(DeviceRanks, ManyAreUnderWayAtATimeInOneOrder) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    expect_nothing_found(
        3, [&](world& there) { return test::check_many_in_flight(there, seed, 40, test::calling_order::same); });
  }
}

TEST(DeviceRanks, GroupsDivideTheRanks) { expect_nothing_found(4, test::check_divided); }

TEST(DeviceRanks, AreCounted) { expect_nothing_found(3, test::check_traffic); }

int64_t held_by(const device& card, const std::string& name) {
  for (const memory_use::holder& one : card.use().holders) {
    if (one.name == name) {
      return one.bytes;
    }
  }
  return 0;
}

/// An array of a card.
struct card_floats {
  card_floats(context& ctx, size_t count, float value)
      : host(count, value), there(ctx, host.data(), count * sizeof(float)) {}
  float* at() const { return reinterpret_cast<float*>(there.at()); }
  std::vector<float> values() {
    there.back(host.data());
    return host;
  }

  std::vector<float> host;
  card_copy there;
};

TEST(DeviceRanks, KeepTheMemoryForWhatArrives) {
  const auto network = std::make_shared<wire_network>();
  test::as_local_ranks(2, [&](world& here) {
    wired_card mine(network, here);
    const communicator_ptr group = between_cards(here.open("gradients"), mine.card.get());
    const card_floats whole(mine.ctx, 4096, 1);
    const std::vector<int64_t> halves{0, 2048, 4096}, quarters{0, 1024, 2048};
    for (int i = 0; i < 3; ++i) {
      for (const auto& parts : {halves, quarters}) {
        const auto size = static_cast<size_t>(parts.back());
        group->reduce_scatter({whole.at(), size}, parts, {whole.at(), size / 2}).wait();
        EXPECT_EQ(held_by(*mine.card, "arriving pieces"), 8192);
      }
    }
    std::vector<pending> both;
    both.push_back(group->reduce_scatter({whole.at(), 4096}, halves, {whole.at(), 2048}));
    both.push_back(group->reduce_scatter({whole.at(), 2048}, quarters, {whole.at(), 1024}));
    EXPECT_EQ(held_by(*mine.card, "arriving pieces"), 8192 + 4096);
  });
}

TEST(DeviceRanks, HostMemoryMayBeExchangedBetween) {
  const auto network = std::make_shared<wire_network>();
  test::as_local_ranks(2, [&](world& here) {
    wired_card mine(network, here);
    const communicator_ptr carrier = here.open("gradients");
    const communicator_ptr on_card = between_cards(carrier, mine.card.get());
    card_floats there(mine.ctx, 2, 1.0F + static_cast<float>(here.rank()));
    const std::vector<int64_t> offset_R1{0, 1, 2};
    pending first = on_card->reduce_scatter({there.at(), 2}, offset_R1, {there.at() + here.rank(), 1}, {.label = "a"});
    const auto words = gather_bytes(*carrier, std::vector<std::byte>(3, std::byte(here.rank())), {.label = "b"});
    EXPECT_EQ(words[1].at(2), std::byte{1});
    first.wait();
    on_card->all_gather(reals(there.at()), 2, offset_R1, {.label = "c"}).wait();
    EXPECT_EQ(there.values(), (std::vector<float>{3, 3}));
  });
}

/// The host stands nowhere: the compute queue does.
TEST(DeviceRanks, WaitReturnsBeforeThePeerHasCome) {
  const auto network = std::make_shared<wire_network>();
  std::atomic<bool> waited = false;
  test::as_local_ranks(2, [&](world& here) {
    wired_card mine(network, here);
    const communicator_ptr group = between_cards(here.open("weights"), mine.card.get());
    card_floats there(mine.ctx, 1, static_cast<float>(7 * here.rank()));
    while (here.rank() == 1 && !waited) {
      std::this_thread::sleep_for(1ms);
    }
    group->broadcast(std::as_writable_bytes(std::span(there.at(), 1)), 1).wait();
    waited = true;
    EXPECT_EQ(there.values(), std::vector<float>{7});
  });
}

/// A rank that is ready and has to wait for others is not the one that hangs.
TEST(DeviceRanks, TheOperationIsSeenToWait) {
  const auto network = std::make_shared<wire_network>();
  std::atomic<bool> seen = false;
  test::as_local_ranks(2, [&](world& here) {
    pulse signs;
    wired_card mine(network, here);
    const communicator_ptr group = between_cards(here.open("weights"), mine.card.get());
    card_floats there(mine.ctx, 1, 1);
    while (here.rank() == 1 && !seen) {
      std::this_thread::sleep_for(1ms);
    }
    const operation_scope scope(signs, "sum");
    EXPECT_FALSE(signs.waits());
    group
        ->reduce_scatter({there.at(), 1}, std::vector<int64_t>{0, 1, 1}, {there.at(), here.rank() == 0 ? size_t{1} : 0})
        .wait();
    while (here.rank() == 0 && !(signs.waits() && mine.card->waits_for_others())) {
      std::this_thread::sleep_for(1ms);
    }
    seen = true;
    there.values();
    while (signs.waits() || mine.card->waits_for_others()) {
      std::this_thread::sleep_for(1ms);
    }
  });
}

TEST(DeviceRanks, TheTimeBeforeWaitDoesNotCount) {
  const auto network = std::make_shared<wire_network>();
  std::atomic<bool> late = false, came = false;
  test::as_local_ranks(2, [&](world& here) {
    wired_card mine(network, here);
    const communicator_ptr group = between_cards(here.open("weights"), mine.card.get());
    card_floats there(mine.ctx, 1, static_cast<float>(here.rank()));
    while (here.rank() == 1 && !late) {
      std::this_thread::sleep_for(1ms);
    }
    pending under_way =
        group->broadcast(std::as_writable_bytes(std::span(there.at(), 1)), 1, {.label = "", .deadline = 200ms});
    if (here.rank() == 0) {
      std::this_thread::sleep_for(600ms);
      late = true;
    } else {
      came = true;
    }
    while (!came) {
      std::this_thread::sleep_for(1ms);
    }
    under_way.wait();
    EXPECT_EQ(there.values(), std::vector<float>{1});
  });
}

TEST(DeviceRanks, MemoryForWhatArrivesCanBeTakenBefore) {
  const auto network = std::make_shared<wire_network>();
  test::as_local_ranks(2, [&](world& here) {
    wired_card mine(network, here);
    const communicator_ptr group = between_cards(here.open("gradients"), mine.card.get());
    const card_floats whole(mine.ctx, 4096, 1);
    const std::vector<int64_t> halves{0, 2048, 4096}, quarters{0, 1024, 2048};
    const std::vector<std::span<const int64_t>> both{quarters, halves};
    std::byte* const most = mine.card->reserve(mine.card->use().free, "somebody");
    mine.card->map(most, mine.card->use().free - 8192);
    test::expect_error(errc::out_of_memory, " for arriving pieces are not there", [&] { group->make_room(both); });
    mine.card->free(most);
    group->make_room(both);
    EXPECT_EQ(held_by(*mine.card, "arriving pieces"), 8192 + 4096);
    std::byte* const rest = mine.card->reserve(mine.card->use().free, "somebody");
    mine.card->map(rest, mine.card->use().free);
    for (int i = 0; i < 2; ++i) {
      std::vector<pending> under_way;
      under_way.push_back(group->reduce_scatter({whole.at(), 4096}, halves, {whole.at(), 2048}));
      under_way.push_back(group->reduce_scatter({whole.at(), 2048}, quarters, {whole.at(), 1024}));
    }
    EXPECT_EQ(held_by(*mine.card, "arriving pieces"), 8192 + 4096);
    mine.card->free(rest);
  });
}

/// The peers have called what this rank has not: what it called next would meet that.
TEST(DeviceRanks, WithoutMemoryForWhatArrivesNothingMoreIsCalled) {
  const auto network = std::make_shared<wire_network>();
  test::as_local_ranks(2, [&](world& here) {
    wired_card mine(network, here);
    const communicator_ptr group = between_cards(here.open("weights"), mine.card.get());
    if (here.rank() == 1) {
      return;
    }
    const card_floats whole(mine.ctx, 8, 1);
    const int64_t free = mine.card->use().free;
    std::byte* const all = mine.card->reserve(free, "somebody");
    mine.card->map(all, free);
    const std::vector<int64_t> halves{0, 4, 8};
    test::expect_error(errc::out_of_memory, " for arriving pieces are not there", [&] {
      group->reduce_scatter({whole.at(), 8}, halves, {whole.at(), 4});
    });
    mine.card->free(all);
    test::expect_error(errc::out_of_memory, ": not called, since one before it had no memory: ", [&] {
      group->broadcast(std::as_writable_bytes(std::span(whole.at(), 1)), 0);
    });
  });
}

/// What ranks 0 and 1 do where a fault is planted: they sum twice, and rank 1 may have `comes` to the second.
void sum_twice(wire_fault planted, bool comes, std::chrono::milliseconds deadline, const operation_options& options) {
  const auto network = std::make_shared<wire_network>();
  network->plant(planted, 1, 1);
  test::as_local_ranks(2, [&](world& here) {
    wired_card mine(network, here, true, deadline);
    const communicator_ptr group = between_cards(here.open("policy weights"), mine.card.get());
    const card_floats whole(mine.ctx, 8, 1);
    const std::vector<int64_t> halves{0, 4, 8};
    group->reduce_scatter({whole.at(), 8}, halves, {whole.at(), 4}).wait();
    while (here.rank() == 1 && !comes) {
      std::this_thread::sleep_for(1000ms);
    }
    group->reduce_scatter({whole.at(), 8}, halves, {whole.at(), 4}, options).wait();
    std::vector<float> values(8);
    whole.there.back(values.data());
  });
  std::_Exit(0);
}

constexpr const char* named = "troupe: reduce_scatter [0-9]+ .segment 0. of 'policy weights' on rank ";

TEST(DeviceRanksDeathTest, APeerThatDoesNotComeEndsTheProcessAtTheDeadline) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(sum_twice(wire_fault::none, false, 2000ms, {.label = "segment 0"}), testing::ExitedWithCode(70),
              std::string(named) + "0 of 2: no end after 2.0 s; the process ends, since it cannot be cancelled");
}

TEST(DeviceRanksDeathTest, AnOperationsOwnDeadlineCounts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(sum_twice(wire_fault::none, false, std::chrono::minutes(10), {.label = "segment 0", .deadline = 300ms}),
              testing::ExitedWithCode(70), std::string(named) + "0 of 2: no end after 0.3 s");
}

TEST(DeviceRanksDeathTest, AWireThatStallsDoes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(sum_twice(wire_fault::stall, true, std::chrono::minutes(10), {.label = "segment 0", .deadline = 500ms}),
              testing::ExitedWithCode(70), std::string(named) + "[01] of 2: no end after 0.5 s");
}

TEST(DeviceRanksDeathTest, ACallThatDoesNotReturnDoes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(sum_twice(wire_fault::call, true, std::chrono::minutes(10), {.label = "segment 0", .deadline = 500ms}),
              testing::ExitedWithCode(70), std::string(named) + "[01] of 2: no end after 0.5 s");
}

TEST(DeviceRanksDeathTest, AWireThatTellsOfAnErrorDoesSoAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(sum_twice(wire_fault::error, true, std::chrono::minutes(10), {.label = "segment 0"}),
              testing::ExitedWithCode(70), std::string(named) + "1 of 2: a link has failed; the process ends");
}

TEST(DeviceRanksDeathTest, ALostPeerDoesToo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(sum_twice(wire_fault::lost, true, std::chrono::minutes(10), {.label = "segment 0"}),
              testing::ExitedWithCode(70), std::string(named) + "0 of 2: rank 1 has gone; the process ends");
}

/// What ranks are told, and how rank 0's arrays then go: by a wire or not.
struct settled_on {
  std::vector<std::string> told, error_R;
  bool by_wire = false;
};

/// `networks`: of each rank; null: its card has no wires.
settled_on settle(card_exchange wanted, const std::vector<std::shared_ptr<wire_network>>& networks) {
  settled_on found;
  found.error_R.resize(networks.size());
  std::mutex guard;
  test::as_local_ranks(static_cast<int>(networks.size()), [&](world& here) {
    const auto rank = static_cast<size_t>(here.rank());
    const auto card = emulation::make_card({.late = true, .network = networks[rank]});
    found.error_R[rank] = test::error_text([&] {
      settle_exchange(*here.open("cards"), *card, {.wanted = wanted, .tell = [&](const std::string& line) {
                                                     const std::lock_guard lock(guard);
                                                     found.told.push_back(line);
                                                   }});
      const communicator_ptr by = here.open("weights");
      const communicator_ptr group = between_cards(by, card.get());
      thread_pool pool(1);
      context ctx{pool, card.get()};
      card_floats there(ctx, 2, 1);
      const std::vector<int64_t> parts{0, 1, 2};
      group->reduce_scatter({there.at(), 2}, parts, {there.at() + rank, 1}).wait();
      EXPECT_EQ(there.values()[rank], 2);
      if (rank == 0) {
        found.by_wire = held_by(*card, "arriving pieces") > 0;
      }
    });
  });
  return found;
}

using words = std::vector<std::string>;
constexpr const char* without = "emulated card: it cannot be reached by the card of another process";

TEST(SettledExchange, IsByWiresWhereAllRanksCan) {
  const auto network = std::make_shared<wire_network>();
  for (const card_exchange wanted : {card_exchange::automatic, card_exchange::wires}) {
    const settled_on found = settle(wanted, {network, network});
    EXPECT_EQ(found.told, words{"arrays on cards go from card to card by NCCL"});
    EXPECT_EQ(found.error_R, (words{"", ""}));
    EXPECT_TRUE(found.by_wire);
  }
}

TEST(SettledExchange, GoesThroughHostMemoryWhereOneCannotAndSaysWhy) {
  const auto network = std::make_shared<wire_network>();
  const settled_on found = settle(card_exchange::automatic, {network, nullptr});
  EXPECT_EQ(found.told,
            words{fmt::format("arrays on cards go from rank to rank through host memory: rank 1: {}", without)});
  EXPECT_EQ(found.error_R, (words{"", ""}));
  EXPECT_FALSE(found.by_wire);
}

TEST(SettledExchange, OnAllRanksRefusesWhatOneCannot) {
  const auto network = std::make_shared<wire_network>();
  const settled_on found = settle(card_exchange::wires, {network, nullptr});
  EXPECT_EQ(found.told, words());
  for (const std::string& text : found.error_R) {
    EXPECT_EQ(text.find(fmt::format("place.exchange = nccl: rank 1: {} (auto takes ", without)), 0U) << text;
  }
}

TEST(SettledExchange, GoesThroughHostMemoryWhereItIsWanted) {
  const auto network = std::make_shared<wire_network>();
  const settled_on found = settle(card_exchange::host, {network, network});
  EXPECT_EQ(found.told, words{"arrays on cards go from rank to rank through host memory: place.exchange = host"});
  EXPECT_FALSE(found.by_wire);
}

TEST(SettledExchange, KnowsWhatJoiningTells) {
  const auto network = std::make_shared<wire_network>();
  network->refuse(1);
  const auto joined = [&](card_exchange wanted) {
    settled_on found;
    found.error_R.resize(2);
    std::mutex guard;
    test::as_local_ranks(2, [&](world& here) {
      const auto card = emulation::make_card({.network = network});
      found.error_R[static_cast<size_t>(here.rank())] = test::error_text([&] {
        settle_exchange(*here.open("cards"), *card,
                        {.wanted = wanted, .join_deadline = 200ms, .tell = [&](const std::string& line) {
                           const std::lock_guard lock(guard);
                           found.told.push_back(line);
                         }});
        between_cards(here.open("weights"), card.get());
      });
    });
    return found;
  };
  const settled_on freely = joined(card_exchange::automatic);
  ASSERT_EQ(freely.told.size(), 2U);
  EXPECT_EQ(freely.told[1].find("arrays on cards go from rank to rank through host memory: rank 0: joining 'weights' "
                                "on rank 0 of 2: not all ranks came within 200 ms"),
            0U)
      << freely.told[1];
  EXPECT_EQ(freely.error_R, (words{"", ""}));
  const settled_on firmly = joined(card_exchange::wires);
  for (const std::string& text : firmly.error_R) {
    EXPECT_EQ(text.find("place.exchange = nccl: rank 0: joining 'weights'"), 0U) << text;
  }
}

TEST(SettledExchange, NeedsACardForEachRank) {
  const auto network = std::make_shared<wire_network>();
  const auto shared = emulation::make_card({.network = network});
  test::as_local_ranks(2, [&](world& here) {
    test::expect_error(errc::unsupported, "ranks 0 and 1 share a card (emulated-",
                       [&] { settle_exchange(*here.open("cards"), *shared, {.wanted = card_exchange::wires}); });
  });
}

TEST(SettledExchange, WithoutACardIsThatOfTheHost) {
  const std::unique_ptr<world> alone = solo_world();
  const communicator_ptr group = alone->open("x");
  EXPECT_EQ(between_cards(group, nullptr), group);
  EXPECT_EQ(between_cards(nullptr, nullptr), nullptr);
}

}  // namespace
}  // namespace troupe::engine
