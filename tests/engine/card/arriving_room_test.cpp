// Memory of a card for what arrives: what it is reserved suffices for pieces that come in the order of a backward pass.
#include "engine/parallel/arriving_room.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <vector>

namespace troupe::engine {
namespace {

constexpr int64_t page = 4096;

class ArrivingRooms : public testing::Test {
protected:
  int64_t held() const {
    for (const memory_use::holder& one : card_->use().holders) {
      if (one.name == "arriving pieces") {
        return one.bytes;
      }
    }
    return 0;
  }
  /// Where pieces stand, which do not overlap.
  arriving_room::piece take(arriving_room& room, int64_t bytes) {
    const arriving_room::piece taken = room.take(bytes);
    EXPECT_GE(taken.bytes, bytes);
    for (const auto& [at, end] : there_) {
      EXPECT_TRUE(taken.at + taken.bytes <= at || taken.at >= end);
    }
    there_[taken.at] = taken.at + taken.bytes;
    return taken;
  }
  void give_back(arriving_room& room, const arriving_room::piece& used) {
    there_.erase(used.at);
    room.give_back(used);
  }

  std::unique_ptr<device> card_ = emulation::make_card({.bytes = 256 * page, .page_bytes = page});
  std::map<std::byte*, std::byte*> there_;
};

/// Pieces of a model's segments in the order of backward: `block` for each of its blocks.
std::vector<int64_t> segments(int64_t behind, int64_t block, int64_t blocks, int64_t before) {
  std::vector<int64_t> bytes{behind};
  bytes.insert(bytes.end(), static_cast<size_t>(blocks), block);
  bytes.push_back(before);
  return bytes;
}

TEST_F(ArrivingRooms, TwoNeighboursAtATimeNeedNoMoreThanTheLargestTwo) {
  for (const int64_t blocks : {1, 2, 3, 8, 9}) {
    for (const auto& [behind, block, before] :
         {std::tuple(21, 9, 21), {1, 9, 21}, {21, 9, 1}, {1, 20, 3}, {7, 7, 7}, {5, 1, 30}}) {
      const std::vector<int64_t> pages = segments(behind, block, blocks, before);
      int64_t most = 0;
      for (size_t s = 0; s + 1 < pages.size(); ++s) {
        most = std::max(most, pages[s] + pages[s + 1]);
      }
      arriving_room room(*card_);
      room.reserve(most * page);
      for (int pass = 0; pass < 2; ++pass) {
        arriving_room::piece last = take(room, pages[0] * page);
        for (size_t s = 1; s < pages.size(); ++s) {
          const arriving_room::piece next = take(room, pages[s] * page);
          give_back(room, last);
          last = next;
        }
        give_back(room, last);
        EXPECT_EQ(held(), most * page) << blocks << " blocks of " << block << " behind " << before << ", before "
                                       << behind;
      }
    }
  }
  EXPECT_EQ(held(), 0);
}

TEST_F(ArrivingRooms, AllAtATimeNeedTheirSum) {
  const std::vector<int64_t> pages = segments(21, 9, 5, 3);
  arriving_room room(*card_);
  room.reserve(std::accumulate(pages.begin(), pages.end(), int64_t{0}) * page);
  const int64_t reserved = held();
  for (int pass = 0; pass < 2; ++pass) {
    std::vector<arriving_room::piece> all;
    for (const int64_t each : pages) {
      all.push_back(take(room, each * page));
    }
    for (const arriving_room::piece& each : all) {
      give_back(room, each);
    }
    EXPECT_EQ(held(), reserved);
  }
}

TEST_F(ArrivingRooms, WhatWasNotReservedComesBesideAndTheNextTimeFromTheRange) {
  arriving_room room(*card_);
  for (int pass = 0; pass < 2; ++pass) {
    const arriving_room::piece first = take(room, 2 * page), second = take(room, 3 * page);
    EXPECT_EQ(held(), 5 * page);
    give_back(room, second);
    EXPECT_EQ(held(), (pass == 0 ? 2 : 5) * page);
    give_back(room, first);
  }
  test::expect_error(errc::out_of_memory, " for arriving pieces are not there", [&] { room.reserve(300 * page); });
}

}  // namespace
}  // namespace troupe::engine
