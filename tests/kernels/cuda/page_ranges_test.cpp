#include "kernels/cuda/page_ranges.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace troupe::kernels::cuda {
namespace {

constexpr int64_t page = page_size;

/// A driver that has `pages` pages, and holds its caller to its rules.
class fake_driver final : public page_source {
public:
  explicit fake_driver(int64_t pages) : total_(pages * page) {}
  ~fake_driver() override {
    EXPECT_TRUE(made_.empty()) << "memory is left";
    EXPECT_TRUE(mapped_.empty()) << "pages are left";
    EXPECT_TRUE(reserved_.empty()) << "addresses are left";
  }

  std::byte* reserve(int64_t bytes) override {
    EXPECT_EQ(bytes % large_piece, 0);
    next_ += large_piece;  // a gap, so that what runs past a range is seen
    auto* const at = reinterpret_cast<std::byte*>(next_);
    next_ += bytes;
    reserved_[at] = bytes;
    return at;
  }
  void give_back(std::byte* at, int64_t bytes) override {
    EXPECT_EQ(reserved_.at(at), bytes);
    reserved_.erase(at);
  }
  std::optional<piece> create(int64_t bytes) override {
    if (free() < bytes) {
      return std::nullopt;
    }
    ++created;
    made_[++last_] = bytes;
    return last_;
  }
  void destroy(piece memory) override { EXPECT_EQ(made_.erase(memory), 1U); }
  void map(std::byte* at, int64_t bytes, piece memory) override {
    EXPECT_EQ(made_.at(memory), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(bytes), 0U);
    for (const auto& [other, held] : mapped_) {
      EXPECT_TRUE(at + bytes <= other || other + held.first <= at) << "mapped twice";
      EXPECT_NE(held.second, memory);
    }
    mapped_[at] = {bytes, memory};
    ++maps;
  }
  void unmap(std::byte* at, int64_t bytes) override {
    EXPECT_EQ(mapped_.at(at).first, bytes);
    mapped_.erase(at);
  }
  int64_t free() override {
    int64_t left = total_ - by_others;
    for (const auto& [memory, bytes] : made_) {
      left -= bytes;
    }
    return left;
  }
  int64_t total() override { return total_; }

  bool is_mapped(const std::byte* at) const {
    const auto after = mapped_.upper_bound(const_cast<std::byte*>(at));
    return after != mapped_.begin() && at < std::prev(after)->first + std::prev(after)->second.first;
  }

  int64_t by_others = 0;
  int created = 0, maps = 0;

private:
  int64_t total_;
  intptr_t next_ = large_piece;
  piece last_ = 0;
  std::map<std::byte*, int64_t> reserved_;
  std::map<piece, int64_t> made_;
  std::map<std::byte*, std::pair<int64_t, piece>> mapped_;
};

/// Work that is done when the test says so, or when somebody waits for it.
class fake_clock final : public work_clock {
public:
  moment now() override { return {++called, 0, 0, 0}; }
  bool passed(const moment& then) override { return then[0] <= done; }
  void wait(const moment& then) override {
    ++waits;
    done = std::max(done, then[0]);
  }

  uint64_t called = 0, done = 0;
  int waits = 0;
};

struct card_memory {
  explicit card_memory(int64_t pages) : driver(pages) {}
  fake_driver driver;
  fake_clock clock;
  page_ranges ranges{driver, clock, "card 0"};
};

TEST(PageRanges, PagesComeAndGoWithoutTheirAddresses) {
  card_memory on(100);
  std::byte* const at = on.ranges.reserve(10 * page, "weights");
  EXPECT_FALSE(on.driver.is_mapped(at));
  on.ranges.map(at + page + 5, page);  // of two pages: bounds go outwards
  EXPECT_FALSE(on.driver.is_mapped(at));
  EXPECT_TRUE(on.driver.is_mapped(at + page));
  EXPECT_TRUE(on.driver.is_mapped(at + 2 * page));
  EXPECT_FALSE(on.driver.is_mapped(at + 3 * page));
  on.ranges.map(at, 3 * page);  // what has pages keeps them
  EXPECT_EQ(on.driver.maps, 3);
  on.ranges.unmap(at + page - 1, 2 * page);  // the page that lies wholly within
  on.clock.done = on.clock.called;
  on.ranges.map(at + 5 * page, 1);
  EXPECT_TRUE(on.driver.is_mapped(at));
  EXPECT_FALSE(on.driver.is_mapped(at + page));
  EXPECT_TRUE(on.driver.is_mapped(at + 2 * page));
  EXPECT_EQ(on.driver.created, 3);  // page 5 has the memory of page 1
}

TEST(PageRanges, WholePiecesAreMappedAtOnce) {
  card_memory on(200);
  std::byte* const at = on.ranges.reserve(100 * page, "cache");
  on.ranges.map(at, 70 * page);
  EXPECT_EQ(on.driver.maps, 2 + 6);
  on.ranges.unmap(at, 40 * page);  // a piece, and eight pages of the next, which stays for the others
  on.clock.done = on.clock.called;
  std::byte* const other = on.ranges.reserve(page, "scratch");
  on.ranges.map(other, page);
  EXPECT_FALSE(on.driver.is_mapped(at));
  EXPECT_TRUE(on.driver.is_mapped(at + 33 * page));
  on.ranges.map(at + 32 * page, 32 * page);  // it is still there
  EXPECT_EQ(on.driver.maps, 2 + 6 + 1);
}

TEST(PageRanges, MemoryIsTakenBackWhenItsWorkIsDone) {
  card_memory on(2);
  std::byte* const at = on.ranges.reserve(4 * page, "weights");
  on.ranges.map(at, 2 * page);
  on.ranges.unmap(at, 2 * page);
  EXPECT_TRUE(on.driver.is_mapped(at)) << "taken from work that may be running";
  on.clock.done = 1;  // page 0 is free, page 1 in use
  on.ranges.map(at + 2 * page, page);
  EXPECT_FALSE(on.driver.is_mapped(at));
  EXPECT_EQ(on.clock.waits, 0);
  on.ranges.map(at + 3 * page, page);  // waits for it, since there is no other
  EXPECT_EQ(on.clock.waits, 1);
  EXPECT_FALSE(on.driver.is_mapped(at + page));
}

TEST(PageRanges, WhatIsMappedAgainInTimeStays) {
  card_memory on(10);
  std::byte* const at = on.ranges.reserve(page, "weights");
  on.ranges.map(at, page);
  on.ranges.unmap(at, page);
  on.ranges.map(at, page);
  on.clock.done = on.clock.called;
  std::byte* const other = on.ranges.reserve(page, "scratch");
  on.ranges.map(other, page);
  EXPECT_TRUE(on.driver.is_mapped(at));
  on.ranges.unmap(at, page);
  on.ranges.map(at, page);
  on.ranges.unmap(at, page);  // once more, before the first was looked at
  on.clock.done = on.clock.called;
  on.ranges.map(other, page);
  on.ranges.map(at, page);
  EXPECT_TRUE(on.driver.is_mapped(at));
}

TEST(PageRanges, APieceOfManyPagesBecomesPagesWhereThereIsNothingElse) {
  card_memory on(32);
  std::byte* const at = on.ranges.reserve(32 * page, "cache");
  on.ranges.map(at, 32 * page);
  on.ranges.unmap(at, 32 * page);
  std::byte* const other = on.ranges.reserve(32 * page, "weights");
  on.ranges.map(other + page, 5 * page);
  EXPECT_EQ(on.driver.free(), 27 * page);
}

TEST(PageRanges, WhereMemoryRunsOutTheHoldersAreNamed) {
  card_memory on(100);
  on.driver.by_others = 8 * page;
  std::byte* const weights = on.ranges.reserve(40 * page, "policy weights");
  on.ranges.map(weights, 40 * page);
  std::byte* const cache = on.ranges.reserve(60 * page, "cache");
  test::expect_error(
      errc::out_of_memory,
      "card 0: 120 MiB for cache are not there. Of 200 MiB the program holds 80 MiB for policy weights, "
      "and others (the driver and other processes) 16 MiB. Take fewer tokens or samples at a time, or "
      "weights in bf16; a job can keep in host memory what it learns with (place.optimizer = host) and the weights of "
      "models that only score (place.frozen = host): `troupe plan JOB.ini --device-gib 1` names options",
      [&] { on.ranges.map(cache, 60 * page); });
  const memory_use held = on.ranges.use();
  ASSERT_EQ(held.holders.size(), 1U) << "what was mapped before it ran out stayed";
  EXPECT_EQ(held.holders[0].bytes, 40 * page);
  EXPECT_EQ(held.free, 52 * page);
  EXPECT_EQ(held.others, 8 * page);
  on.ranges.map(cache, 52 * page);
}

TEST(PageRanges, AFreedRangeIsNobodysAnyMore) {
  card_memory on(64);
  std::byte* const at = on.ranges.reserve(64 * page, "cache");
  on.ranges.map(at, 64 * page);
  on.ranges.free(at);
  EXPECT_TRUE(on.ranges.use().holders.empty());
  EXPECT_EQ(on.ranges.use().free, 64 * page);
  EXPECT_EQ(on.ranges.use().others, 0);
}

TEST(PageRanges, WhatNobodyHasMappedGoesBackToTheDriver) {
  card_memory on(100);
  EXPECT_FALSE(on.ranges.give_back_free()) << "there is nothing";
  std::byte* const at = on.ranges.reserve(64 * page, "cache");
  on.ranges.map(at, 64 * page);
  EXPECT_FALSE(on.ranges.give_back_free()) << "all is mapped";
  std::byte* const other = on.ranges.reserve(5 * page, "scratch");
  on.ranges.map(other, 5 * page);
  on.ranges.unmap(at, 32 * page);
  on.ranges.unmap(other, 3 * page);
  on.clock.done = on.clock.called - 1;
  EXPECT_EQ(on.driver.free(), 31 * page);
  EXPECT_TRUE(on.ranges.give_back_free());
  EXPECT_EQ(on.driver.free(), 66 * page);
  EXPECT_EQ(on.clock.done, on.clock.called) << "work may still use the last page";
  EXPECT_FALSE(on.driver.is_mapped(at));
  EXPECT_TRUE(on.driver.is_mapped(at + 32 * page));
  EXPECT_TRUE(on.driver.is_mapped(other + 3 * page));
  EXPECT_FALSE(on.ranges.give_back_free());
  on.ranges.map(at, 32 * page);  // it comes from the driver again
  EXPECT_EQ(on.driver.free(), 34 * page);
}

/// Random maps and unmaps against a plain list of who wants what.
TEST(PageRanges, AnyOrderOfCallsKeepsWhatIsWantedAndTheBudget) {
  std::mt19937 random(7);
  const auto below = [&](int64_t end) { return static_cast<int64_t>(random() % static_cast<uint64_t>(end)); };
  for (int round = 0; round < 50; ++round) {
    card_memory on(150);
    constexpr int64_t pages = 100;
    std::array<std::byte*, 3> at{};
    std::array<std::array<bool, pages>, 3> wanted{};
    for (auto& one : at) {
      one = on.ranges.reserve(pages * page, "model");
    }
    for (int call = 0; call < 100; ++call) {
      const auto which = static_cast<size_t>(below(3));
      const int64_t first = below(pages);
      const int64_t count = below(pages - first) + 1;
      auto changed = wanted;
      const bool mapping = below(2) == 0;
      std::fill_n(changed[which].begin() + first, count, mapping);
      bool held = true;
      try {
        mapping ? on.ranges.map(at[which] + first * page, count * page)
                : on.ranges.unmap(at[which] + first * page, count * page);
      } catch (const error& failure) {
        ASSERT_EQ(failure.code(), errc::out_of_memory);
        held = false;
      }
      wanted = held ? changed : wanted;
      on.clock.done = below(2) == 0 ? on.clock.called : on.clock.done;
      for (size_t model = 0; model < 3; ++model) {
        for (int64_t i = 0; i < pages; ++i) {
          ASSERT_TRUE(!wanted[model][static_cast<size_t>(i)] || on.driver.is_mapped(at[model] + i * page));
        }
      }
    }
  }
}

}  // namespace
}  // namespace troupe::kernels::cuda
