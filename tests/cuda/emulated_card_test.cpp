#include "kernels/activation.hpp"
#include "kernels/device_ops.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <thread>
#include <vector>

namespace troupe {
namespace {

using emulation::make_card;

constexpr int64_t page = int64_t{64} << 10;

/// What the card holds at an address, as its copies give it.
std::vector<float> values_at(device& card, const std::byte* at, size_t count) {
  std::vector<float> values(count);
  card.copy(queue::download, values.data(), at, static_cast<int64_t>(count * sizeof(float)));
  card.finish(card.record(queue::download));
  return values;
}

int64_t held_by(const device& card, const std::string& name) {
  for (const memory_use::holder& one : card.use().holders) {
    if (one.name == name) {
      return one.bytes;
    }
  }
  return -1;
}

TEST(EmulatedCardTest, PagesComeAndGoOutOfOnePool) {
  const auto card = make_card({.bytes = 4 * page, .page_bytes = page});
  std::byte* weights = card->reserve(16 * page, "weights");
  std::byte* cache = card->reserve(16 * page, "cache");
  EXPECT_EQ(card->use().free, 4 * page);
  card->map(weights + page / 2, page);  // touches two
  card->map(weights, page);             // one of which is there
  EXPECT_EQ(held_by(*card, "weights"), 2 * page);
  card->map(cache, 2 * page);
  EXPECT_EQ(card->use().free, 0);
  card->unmap(weights + 1, 2 * page - 1);  // only the second lies wholly within
  EXPECT_EQ(held_by(*card, "weights"), page);
  card->map(cache + 5 * page, 1);
  card->free(weights);
  EXPECT_EQ(held_by(*card, "weights"), -1);
  EXPECT_EQ(card->use().free, page);
}

TEST(EmulatedCardTest, WithoutMemoryItSaysWhoHoldsIt) {
  const auto card = make_card({.bytes = 4 * page, .page_bytes = page});
  std::byte* weights = card->reserve(16 * page, "weights");
  std::byte* cache = card->reserve(16 * page, "cache");
  card->map(weights, 3 * page);
  test::expect_error(
      errc::out_of_memory,
      "emulated card: 1 MiB for cache are not there. Of 1 MiB the program holds 0 MiB for cache, 0 MiB for "
      "scratch, 1 MiB for weights, and others",
      [&] { card->map(cache, 2 * page); });
  card->map(cache, page);  // the refused call took none
}

TEST(EmulatedCardTest, NewPagesHoldNothingThatIsANumber) {
  const auto card = make_card();
  std::byte* at = card->reserve(page, "test");
  card->map(at, page);
  EXPECT_TRUE(std::isnan(values_at(*card, at, 1)[0]));
  card->zero(queue::compute, at, 8);
  EXPECT_EQ(values_at(*card, at, 2), std::vector<float>(2));
  EXPECT_TRUE(std::isnan(values_at(*card, at, 3)[2]));
  card->unmap(at, page);
  card->map(at, page);
  EXPECT_TRUE(std::isnan(values_at(*card, at, 1)[0]));
}

TEST(EmulatedCardTest, PagesLeaveWhenWhatWasCalledBeforeIsDone) {
  const auto card = make_card({.bytes = 2 * page, .page_bytes = page, .late = true});
  std::byte* at = card->reserve(2 * page, "test");
  card->map(at, 2 * page);
  card->zero(queue::compute, at, 2 * page);
  card->unmap(at, 2 * page);
  EXPECT_EQ(card->use().free, 2 * page);
  card->map(at, page);  // before it has left: as the work that is called leaves it
  card->await(queue::download, card->record(queue::compute));
  EXPECT_EQ(values_at(*card, at, 1), std::vector<float>(1));
  card->unmap(at, page);
  card->map(at, page);
  EXPECT_TRUE(std::isnan(values_at(*card, at, 1)[0]));
  card->zero(queue::compute, at, page);
  card->unmap(at, page);
  std::byte* other = card->reserve(2 * page, "other");
  card->map(other, 2 * page);  // waits for it
  EXPECT_EQ(card->use().free, 0);
}

TEST(EmulatedCardDeathTest, TheHostCannotTouchItsMemory) {
  const auto card = make_card();
  std::byte* at = card->reserve(page, "test");
  card->map(at, page);
  EXPECT_DEATH(*at = std::byte{1}, "");
  card->zero(queue::compute, at, page);
  EXPECT_DEATH(*at = std::byte{1}, "");
  card->unmap(at, page);
  EXPECT_DEATH(card->zero(queue::compute, at, 1), "");
}

TEST(EmulatedCardTest, ThreadsOfTheHostTakeTurns) {
  const auto card = make_card();
  std::vector<std::thread> threads;
  std::vector<std::vector<float>> sum(4);
  for (size_t t = 0; t < sum.size(); ++t) {
    threads.emplace_back([&, t] {
      thread_pool pool(1);
      context ctx{pool, card.get()};
      std::byte* at = card->reserve(page, "thread");
      card->map(at, page);
      card->zero(queue::compute, at, page);
      auto* y = reinterpret_cast<float*>(at);
      const std::vector<float> ones(64, 1.0F);
      card->copy(queue::upload, y + 64, ones.data(), 64 * sizeof(float));
      for (size_t i = 0; i < 10 + t; ++i) {
        kernels::add_in_place(ctx, y, y + 64, 64);
      }
      sum[t] = values_at(*card, at, 64);
    });
  }
  for (std::thread& one : threads) {
    one.join();
  }
  for (size_t t = 0; t < sum.size(); ++t) {
    EXPECT_EQ(sum[t], std::vector<float>(64, static_cast<float>(10 + t)));
  }
}

TEST(EmulatedCardTest, ARecordingDoesLaterWhatWasCalled) {
  const auto card = make_card();
  thread_pool pool(1);
  context ctx{pool, card.get()};
  std::byte* at = card->reserve(page, "test");
  card->map(at, page);
  card->zero(queue::compute, at, page);
  auto* y = reinterpret_cast<float*>(at);
  auto* x = y + 64;
  const std::vector<float> ones(64, 1.0F);
  const auto calls = card->record_calls([&] {
    card->copy(queue::compute, x, ones.data(), 64 * sizeof(float));
    kernels::add_in_place(ctx, y, x, 64);
  });
  EXPECT_EQ(values_at(*card, at, 64), std::vector<float>(64, 0.0F));
  calls->replay();
  calls->replay();
  EXPECT_EQ(values_at(*card, at, 64), std::vector<float>(64, 2.0F));
}

/// What is waited for too late, or not at all, shows.
TEST(EmulatedCardTest, WorkMayBeAsLateAsItIsWaitedFor) {
  const auto card = make_card({.late = true});
  std::byte* at = card->reserve(page, "test");
  card->map(at, page);
  card->zero(queue::compute, at, page);
  std::vector<float> source(4, 1.0F), result(4, -1.0F);
  constexpr int64_t bytes = 4 * sizeof(float);
  card->copy(queue::compute, at, source.data(), bytes);
  const mark sent = card->record(queue::compute);
  source.assign(4, 2.0F);  // too early: the copy has not been waited for
  card->copy(queue::download, result.data(), at, bytes);
  card->finish(card->record(queue::download));
  EXPECT_TRUE(std::isnan(result[0])) << "the queues do not wait for each other";
  card->await(queue::download, sent);
  card->copy(queue::download, result.data(), at, bytes);
  const mark fetched = card->record(queue::download);
  EXPECT_TRUE(std::isnan(result[0]));
  card->finish(fetched);
  EXPECT_EQ(result, std::vector<float>(4, 2.0F));
}

TEST(EmulatedCardTest, AMarkPassesWhenItsWorkIsDone) {
  const auto card = make_card({.late = true});
  std::byte* at = card->reserve(page, "test");
  card->map(at, page);
  EXPECT_TRUE(card->passed(card->record(queue::compute)));
  card->zero(queue::compute, at, page);
  const mark zeroed = card->record(queue::compute);
  EXPECT_FALSE(card->passed(zeroed));
  card->await(queue::wire, zeroed);
  const mark after = card->record(queue::wire);
  while (!card->passed(after)) {  // whose work is done without anybody's wait, and then what it waits for
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(card->passed(zeroed));
}

TEST(EmulatedCardTest, NotesCallsInTheirOrder) {
  std::vector<emulation::card_call> calls;
  const auto card = make_card({.calls = &calls});
  const auto nothing = card->record_calls([] {});
  nothing->replay();
  card->finish(card->record(queue::compute));
  using emulation::card_call;
  EXPECT_EQ(calls, (std::vector<card_call>{card_call::record_calls, card_call::replay, card_call::finish}));
}

TEST(EmulatedCardTest, WaitsForOneThatHangsEndWithPatience) {
  bool hangs = false;
  const auto card = make_card({.hangs = &hangs, .name = "card 7"});
  card->set_patience(std::chrono::milliseconds(20));
  card->finish(card->record(queue::compute));
  hangs = true;
  test::expect_error(errc::device_failure, "card 7: its work is not done after 0.02 s",
                     [&] { card->finish(card->record(queue::compute)); });
}

TEST(DeviceOpsTest, EveryOperationHasAKernel) {
  using entries = std::array<const void*, sizeof(kernels::device_ops) / sizeof(void*)>;
  const auto card = make_card();
  const auto table = std::bit_cast<entries>(card->ops());
  EXPECT_EQ(std::count(table.begin(), table.end(), nullptr), 0);
}

}  // namespace
}  // namespace troupe
