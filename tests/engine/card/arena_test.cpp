// Arenas on a card, whose pages are asked for.
#include "engine/arena/card_arena.hpp"
#include "engine/arena/paged_arena.hpp"
#include "engine/tensor/transfer.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/errors.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace troupe::engine {
namespace {

constexpr int64_t page_floats = 1024;
constexpr int64_t page_bytes = page_floats * 4;

class CardArenas : public testing::Test {
protected:
  /// What `holder` has of the card.
  int64_t held(const std::string& holder) const {
    for (const memory_use::holder& one : card_->use().holders) {
      if (one.name == holder) {
        return one.bytes;
      }
    }
    return 0;
  }
  std::vector<float> values(const_reals from, int64_t count) {
    std::vector<float> all(static_cast<size_t>(count));
    fetch(ctx_, from, all);
    return all;
  }
  void write(reals to, const std::vector<float>& from) { send(ctx_, from, to); }

  /// A card of sixteen pages, which come full of NaN, and whose work is done when somebody waits for it.
  std::unique_ptr<device> card_ =
      emulation::make_card({.bytes = 16 * page_bytes, .page_bytes = page_bytes, .late = true});
  thread_pool pool_{1};
  context ctx_{pool_, card_.get()};
  staging through_;
};

TEST_F(CardArenas, WhatIsTakenIsZeroAndNothingElseHasMemory) {
  paged_arena arena(10 * page_floats, dtype::f32, {card_.get(), "policy gradients"});
  EXPECT_EQ(held("policy gradients"), 0);
  arena.take(2 * page_floats + 5, 3 * page_floats + 1);
  EXPECT_EQ(held("policy gradients"), 2 * page_bytes);
  EXPECT_EQ(values(arena.data() + 2 * page_floats, 2 * page_floats), std::vector<float>(2 * page_floats));
  write(arena.data() + 2 * page_floats, {1, 2, 3});
  arena.take(0, 10 * page_floats);
  EXPECT_EQ(held("policy gradients"), 10 * page_bytes);
  EXPECT_EQ(values(arena.data() + 2 * page_floats, 4), (std::vector<float>{1, 2, 3, 0})) << "what was there stays";
  EXPECT_EQ(values(arena.data(), 2 * page_floats), std::vector<float>(2 * page_floats));
  arena.take(7, 7);
}

TEST_F(CardArenas, WhatIsReleasedIsZeroAndWholePagesGoBack) {
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    const int64_t in_page = page_bytes / size_of(type);
    const int64_t size = 5 * in_page - 300;  // the last page is not full
    paged_arena arena(size, type, {card_.get(), "sums"});
    const auto fill = [&] {
      arena.take(0, size);
      write(arena.data(), std::vector<float>(static_cast<size_t>(size), 3.0F));
    };
    const auto expect_released = [&](int64_t first, int64_t last, int64_t pages) {
      fill();
      arena.release(first, last);
      EXPECT_EQ(held("sums"), (5 - pages) * page_bytes) << first << " " << last;
      arena.take(0, size);
      const std::vector<float> after = values(arena.data(), size);
      for (int64_t i = 0; i < size; ++i) {
        ASSERT_EQ(after[static_cast<size_t>(i)], i >= first && i < last ? 0.0F : 3.0F)
            << first << " " << last << " " << i;
      }
    };
    expect_released(0, size, 5);
    expect_released(1, size, 4);
    expect_released(in_page, 3 * in_page, 2);
    expect_released(in_page - 1, 2 * in_page + 7, 1);
    expect_released(in_page + 3, in_page + 9, 0);
    expect_released(in_page + 3, 2 * in_page + 9, 0);
    expect_released(size - 5, size, 0);
    expect_released(9, 9, 0);
    fill();
    arena.clear(3, size - 3);
    EXPECT_EQ(held("sums"), 5 * page_bytes);
    EXPECT_EQ(values(arena.data(), 4), (std::vector<float>{3, 3, 3, 0}));
  }
}

TEST_F(CardArenas, OfWhatWasNeverTakenNothingIsTouched) {
  paged_arena arena(5 * page_floats, dtype::f32, {card_.get(), "sums"});
  arena.take(page_floats, 2 * page_floats);
  arena.clear(10, 5 * page_floats);
  arena.release(page_floats + 1, 4 * page_floats + 1);
  EXPECT_EQ(held("sums"), page_bytes);
  EXPECT_EQ(values(arena.data() + page_floats, 2), (std::vector<float>{0, 0}));
}

TEST_F(CardArenas, AreMovedAndGiveEverythingBack) {
  const int64_t before = card_->use().free;
  {
    paged_arena arena(3 * page_floats, dtype::f32, {card_.get(), "sums"});
    arena.take(0, 1);
    paged_arena moved = std::move(arena);
    moved.take(0, 3 * page_floats);
    EXPECT_EQ(held("sums"), 3 * page_bytes);
    EXPECT_EQ(moved.on(), card_.get());
    moved = paged_arena();
  }
  EXPECT_EQ(card_->use().free, before);
}

TEST_F(CardArenas, AreNamedWhereMemoryRunsOutAndGoOn) {
  paged_arena moments(9 * page_floats, dtype::f32, {card_.get(), "policy moments"});
  moments.take(0, 9 * page_floats);
  paged_arena sums(10 * page_floats, dtype::f32, {card_.get(), "policy gradients"});
  test::expect_error(errc::out_of_memory, "policy gradients", [&] { sums.take(0, 10 * page_floats); });
  sums.take(0, 5 * page_floats);
  EXPECT_EQ(values(sums.data() + 4 * page_floats, 2), (std::vector<float>{0, 0}));
}

/// Segments with matrices whose last panel is not full, vectors and gaps; the last is empty.
parameter_layout small_layout() {
  parameter_layout layout;
  layout.add_matrix("table", 70, 9);
  layout.begin_segment();
  layout.add_vector("norm", 33);
  layout.add_matrix("first", 130, 11);
  layout.begin_segment();
  layout.add_matrix("second", 64, 12);
  layout.begin_segment();
  return layout;
}

/// On the host, with zeros where no parameter is.
std::vector<float> random_arena(const parameter_layout& layout) {
  std::vector<float> arena(static_cast<size_t>(layout.arena_size()));
  for (const parameter& p : layout.all()) {
    const int64_t count = std::accumulate(p.shape.begin(), p.shape.end(), int64_t{1}, std::multiplies());
    write_parameter(p, test::random_values(count, static_cast<uint64_t>(p.offset)), arena.data());
  }
  return arena;
}

TEST_F(CardArenas, ParametersLieThereAsPlainRows) {
  const parameter_layout layout = small_layout();
  const std::vector<float> host = random_arena(layout);
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    paged_arena there(layout.arena_size(), type, {card_.get(), "weights"});
    there.take(0, there.size());
    send_arena(ctx_, layout, host.data(), there.data(), through_);
    for (const parameter& p : layout.all()) {
      std::vector<float> rows = read_parameter(p, host.data());
      std::transform(rows.begin(), rows.end(), rows.begin(),
                     [&](float x) { return type == dtype::bf16 ? to_float(to_bf16(x)) : x; });
      EXPECT_EQ(values(there.data() + p.offset, static_cast<int64_t>(rows.size())), rows) << p.name;
    }
    std::vector<float> back(host.size(), 7.0F);
    fetch_arena(ctx_, layout, there.data(), back.data(), through_);
    std::vector<float> expected = host;
    std::transform(expected.begin(), expected.end(), expected.begin(),
                   [&](float x) { return type == dtype::bf16 ? to_float(to_bf16(x)) : x; });
    EXPECT_EQ(back, expected);
  }
}

TEST_F(CardArenas, ARanksPartsComeAsTheyStandOnTheHost) {
  const parameter_layout layout = small_layout();
  const std::vector<float> host = random_arena(layout);
  context on_host{pool_};
  for (const int ranks : {1, 2, 3}) {
    const shard_plan plan(layout, layout.segments(), ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      std::vector<float> shard(static_cast<size_t>(plan.shard_size(rank)));
      fetch_parts(on_host, plan, rank, host.data(), part_places::of_arena, shard.data(), through_);
      for (int64_t s = 0; s < plan.segments(); ++s) {
        const arena_range part = plan.part(s, rank);
        EXPECT_TRUE(std::equal(host.begin() + part.first, host.begin() + part.last,
                               shard.begin() + plan.shard_offset(s, rank)));
      }
      for (const part_places places : {part_places::of_arena, part_places::of_shard}) {
        const int64_t size = places == part_places::of_arena ? plan.arena_size() : plan.shard_size(rank);
        paged_arena there(size, dtype::f32, {card_.get(), "moments"});
        there.take(0, size);
        send_parts(ctx_, plan, rank, shard.data(), there.data(), places, through_);
        std::vector<float> back(shard.size(), 7.0F);
        fetch_parts(ctx_, plan, rank, there.data(), places, back.data(), through_);
        EXPECT_EQ(back, shard) << rank << " of " << ranks;
        std::vector<float> whole(host.size(), 7.0F);
        fetch_parts(ctx_, plan, rank, there.data(), places, whole.data(), through_, part_places::of_arena);
        for (int64_t s = 0; s < plan.segments(); ++s) {
          const arena_range part = plan.part(s, rank);
          EXPECT_TRUE(std::equal(whole.begin() + part.first, whole.begin() + part.last, host.begin() + part.first));
        }
        EXPECT_EQ(std::count(whole.begin(), whole.end(), 7.0F), plan.arena_size() - plan.shard_size(rank));
        std::vector<float> here(static_cast<size_t>(size), 0.0F);
        send_parts(on_host, plan, rank, shard.data(), here.data(), places, through_);
        std::fill(back.begin(), back.end(), 7.0F);
        fetch_parts(on_host, plan, rank, here.data(), places, back.data(), through_);
        EXPECT_EQ(back, shard) << rank << " of " << ranks << " on the host";
      }
    }
  }
}

TEST(CardArena, MemoryIsPinnedOnceForAllCopies) {
  const parameter_layout layout = small_layout();
  std::vector<float> host = random_arena(layout);
  std::vector<emulation::card_call> calls;
  const auto card = emulation::make_card({.calls = &calls});
  thread_pool pool{1};
  context ctx{pool, card.get()};
  paged_arena there(layout.arena_size(), dtype::f32, {card.get(), "weights"});
  there.take(0, there.size());
  const shard_plan plan(layout, layout.segments(), 2);
  staging through;
  for (const size_t which : {0, 1}) {
    through.room(ctx, layout.arena_size() * static_cast<int64_t>(sizeof(float)), which);
  }
  send_arena(ctx, layout, host.data(), there.data(), through);
  fetch_arena(ctx, layout, there.data(), host.data(), through);
  for (int64_t s = 0; s < plan.segments(); ++s) {
    fetch_segment(ctx, plan, s, there.data(), host.data(), through);
    send_segment(ctx, plan, s, host.data(), there.data(), through);
  }
  EXPECT_EQ(std::count(calls.begin(), calls.end(), emulation::card_call::pin), 2);
}

TEST_F(CardArenas, ASegmentComesWithoutTheOthers) {
  const parameter_layout layout = small_layout();
  const std::vector<float> host = random_arena(layout);
  context on_host{pool_};
  for (const int ranks : {1, 3}) {
    const shard_plan plan(layout, layout.segments(), ranks);
    paged_arena there(plan.arena_size(), dtype::f32, {card_.get(), "weights"});
    there.take(0, there.size());
    send_arena(ctx_, layout, host.data(), there.data(), through_);
    for (int64_t s = 0; s < plan.segments(); ++s) {
      const arena_range segment = plan.segment(s);
      std::vector<float> expected(host.size(), 7.0F);
      std::copy(host.begin() + segment.first, host.begin() + segment.last, expected.begin() + segment.first);
      std::vector<float> from_card(host.size(), 7.0F);
      fetch_segment(ctx_, plan, s, there.data(), from_card.data(), through_);
      EXPECT_EQ(from_card, expected) << s;
      std::vector<float> from_host(host.size(), 7.0F);
      fetch_segment(on_host, plan, s, host.data(), from_host.data(), through_);
      EXPECT_EQ(from_host, expected) << s;
    }
  }
}

}  // namespace
}  // namespace troupe::engine
