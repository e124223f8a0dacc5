#include "base/round_up.hpp"
#include "kernels/cuda/page_ranges.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

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
    next_ += large_piece;  // a gap, so that what runs past a range is seen
    auto* const at = reinterpret_cast<std::byte*>(next_);
    next_ += round_up(bytes, page);
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
  bool map(std::byte* at, int64_t bytes, piece memory) override {
    if (may_fail(map_fails_at)) {
      return false;
    }
    EXPECT_EQ(made_.at(memory), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(page), 0U);
    for (const auto& [other, held] : mapped_) {
      EXPECT_TRUE(at + bytes <= other || other + held.first <= at) << "mapped twice";
      EXPECT_NE(held.second, memory);
    }
    mapped_[at] = {bytes, memory};
    ++maps;
    return true;
  }
  bool open(std::byte* at, int64_t bytes) override {
    ++opens;
    if (may_fail(open_fails_at)) {
      return false;
    }
    for (const std::byte* const end = at + bytes; at < end; at += mapped_.at(at).first) {
      EXPECT_TRUE(open_.insert(at).second) << "opened twice";
      EXPECT_LE(at + mapped_.at(at).first, end) << "a part of a piece";
    }
    return true;
  }
  void unmap(std::byte* at, int64_t bytes) override {
    EXPECT_EQ(mapped_.at(at).first, bytes);
    mapped_.erase(at);
    open_.erase(at);
  }
  int64_t free() override {
    int64_t left = total_ - by_others;
    for (const auto& [memory, bytes] : made_) {
      left -= bytes;
    }
    return left;
  }
  int64_t total() override { return total_; }

  /// And open.
  bool is_mapped(const std::byte* at) const {
    const auto after = mapped_.upper_bound(const_cast<std::byte*>(at));
    return after != mapped_.begin() && at < std::prev(after)->first + std::prev(after)->second.first &&
           open_.count(std::prev(after)->first) == 1;
  }

  int64_t by_others = 0;
  int created = 0, maps = 0, opens = 0;
  /// Of the calls of each from now on the one that fails: 1 is the next, 0 none.
  int map_fails_at = 0, open_fails_at = 0;
  bool out_of_memory = true;  ///< else it fails for another reason

private:
  /// Whether this call does, for want of memory.
  bool may_fail(int& at) const {
    if (at == 0 || --at > 0) {
      return false;
    }
    if (!out_of_memory) {
      throw error(errc::device_failure, "the driver gives no pages");
    }
    return true;
  }

  int64_t total_;
  intptr_t next_ = large_piece;
  piece last_ = 0;
  std::map<std::byte*, int64_t> reserved_;
  std::map<piece, int64_t> made_;
  std::map<std::byte*, std::pair<int64_t, piece>> mapped_;
  std::set<std::byte*> open_;
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
  explicit card_memory(int64_t pages, int64_t left_to_driver = 0)
      : driver(pages), ranges(driver, clock, "card 0", left_to_driver) {}
  fake_driver driver;
  fake_clock clock;
  page_ranges ranges;
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

TEST(PageRanges, APieceOfManyPagesBeginsAnywhere) {
  card_memory on(200);
  std::byte* const at = on.ranges.reserve(100 * page, "weights");
  on.ranges.map(at + 5 * page, 50 * page);
  EXPECT_EQ(on.driver.maps, 1 + 18);
  EXPECT_EQ(on.driver.opens, 1) << "all that is new is opened at once";
  EXPECT_FALSE(on.driver.is_mapped(at + 4 * page));
  EXPECT_TRUE(on.driver.is_mapped(at + 5 * page));
  EXPECT_TRUE(on.driver.is_mapped(at + 54 * page));
  on.ranges.map(at, 100 * page);  // before and behind it: 5 pages, and 45
  EXPECT_EQ(on.driver.maps, 1 + 18 + 5 + 1 + 13);
  EXPECT_EQ(on.driver.opens, 3);
  on.ranges.unmap(at + 10 * page, 60 * page);
  on.clock.done = on.clock.called;
  std::byte* const other = on.ranges.reserve(page, "scratch");
  on.ranges.map(other, page);
  EXPECT_TRUE(on.driver.is_mapped(at + 36 * page)) << "a part of a piece left alone";
  EXPECT_FALSE(on.driver.is_mapped(at + 37 * page));
  EXPECT_FALSE(on.driver.is_mapped(at + 54 * page));
  EXPECT_TRUE(on.driver.is_mapped(at + 55 * page)) << "a part of a piece left alone";
}

TEST(PageRanges, WhatIsUnmappedAtOnceHasOneMoment) {
  card_memory on(100);
  std::byte* const at = on.ranges.reserve(50 * page, "weights");
  on.ranges.unmap(at, 50 * page);
  EXPECT_EQ(on.clock.called, 0U) << "nothing was mapped";
  on.ranges.map(at, 50 * page);
  on.ranges.unmap(at, 50 * page);
  EXPECT_EQ(on.clock.called, 1U);
}

TEST(PageRanges, MemoryIsTakenBackWhenItsWorkIsDone) {
  card_memory on(2);
  std::byte* const at = on.ranges.reserve(4 * page, "weights");
  on.ranges.map(at, 2 * page);
  on.ranges.unmap(at, page);
  on.ranges.unmap(at + page, page);
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
  EXPECT_EQ(on.ranges.use().free, 27 * page);
  on.ranges.map(other + 6 * page, 26 * page);  // all of it is there for pages
  EXPECT_EQ(on.ranges.use().free, page);
}

TEST(PageRanges, TheDriverIsLeftWhatItMayNeed) {
  card_memory on(100, 10 * page);
  EXPECT_EQ(on.ranges.use().free, 90 * page);
  EXPECT_EQ(on.ranges.use().left_to_driver, 10 * page);
  std::byte* const at = on.ranges.reserve(91 * page, "cache");
  on.ranges.map(at, 90 * page);
  test::expect_error(errc::out_of_memory, "; 20 MiB are left free for what the driver takes later",
                     [&] { on.ranges.map(at, 91 * page); });
  EXPECT_EQ(on.driver.free(), 10 * page);
  on.driver.by_others = 5 * page;  // the driver has taken some of it
  EXPECT_EQ(on.ranges.use().free, 0);
  EXPECT_EQ(on.ranges.use().others, 5 * page);
  on.ranges.unmap(at, 90 * page);
  on.ranges.map(at + 40 * page, 51 * page);  // what the program has it keeps
  EXPECT_EQ(on.driver.free(), 5 * page);
}

/// Where the driver fails midway, all is as it was before the call, and nothing is lost.
TEST(PageRanges, AMapThatFailsLeavesNothing) {
  for (const bool out_of_memory : {true, false}) {
    for (const bool opening : {false, true}) {
      SCOPED_TRACE(fmt::format("out of memory: {}, opening: {}", out_of_memory, opening));
      card_memory on(100);
      on.driver.out_of_memory = out_of_memory;
      std::byte* const at = on.ranges.reserve(60 * page, "weights");
      on.ranges.map(at, 2 * page);
      on.ranges.map(at + 10 * page, page);
      // The second of what is missing: between the two, and behind them.
      (opening ? on.driver.open_fails_at : on.driver.map_fails_at) = 2;
      test::expect_error(out_of_memory ? errc::out_of_memory : errc::device_failure,
                         out_of_memory ? "for weights are not there" : "the driver gives no pages",
                         [&] { on.ranges.map(at, 15 * page); });
      EXPECT_TRUE(on.driver.is_mapped(at + page));
      EXPECT_FALSE(on.driver.is_mapped(at + 2 * page));
      EXPECT_TRUE(on.driver.is_mapped(at + 10 * page));
      EXPECT_FALSE(on.driver.is_mapped(at + 11 * page));
      EXPECT_EQ(on.ranges.use().free, 97 * page);
      EXPECT_EQ(on.ranges.use().others, 0);
      on.ranges.map(at, 60 * page);
      EXPECT_TRUE(on.driver.is_mapped(at + 59 * page));
    }
  }
}

TEST(PageRanges, WhereMemoryRunsOutTheHoldersAreNamed) {
  card_memory on(100);
  on.driver.by_others = 8 * page;
  std::byte* const weights = on.ranges.reserve(40 * page, "policy weights");
  on.ranges.map(weights, 40 * page);
  std::byte* const cache = on.ranges.reserve(60 * page, "cache");
  test::expect_error(errc::out_of_memory,
                     "card 0: 120 MiB for cache are not there. Of 200 MiB the program holds 80 MiB for policy weights, "
                     "and others (the driver and other processes) 16 MiB. A job takes less with ",
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
