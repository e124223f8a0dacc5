// Sums over ranks (threads here) against the sums of one rank, bit for bit.
#include "base/error.hpp"
#include "base/random.hpp"
#include "engine/optim/gradient_sums.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

namespace troupe::engine {
namespace {

/// Four segments, of which the last is empty.
parameter_layout small_layout() {
  parameter_layout layout;
  layout.add_matrix("table", 70, 9);
  layout.begin_segment();
  layout.add_vector("norm", 33);
  layout.add_matrix("first", 130, 11);
  layout.begin_segment();
  layout.add_matrix("second", 64, 12);
  layout.add_vector("bias", 64);
  layout.begin_segment();
  return layout;
}

void add_gradient(int64_t micro_batch, arena_range range, float* to) {
  for (int64_t i = range.first; i < range.last; ++i) {
    to[i] += static_cast<float>(random_normal({7, static_cast<uint64_t>(micro_batch)}, static_cast<uint64_t>(i)));
  }
}

struct way {
  int ranks = 1;
  bool sharded = false;
  int64_t lanes = 4, micro_batches = 6;
};

/// A backward pass: the segments from the last to the first.
void accumulate_all(context& ctx, gradient_sums& sums, const shard_plan& plan, int64_t micro_batches, int rank) {
  sums.begin(micro_batches);
  for (const int64_t j : sums.order(micro_batches, rank)) {
    float* onto = j < 0 ? nullptr : sums.summed_onto(ctx, j);
    const auto done = sums.segment_done(ctx);
    for (int64_t s = plan.segments() - 1; s >= 0; --s) {
      if (onto != nullptr) {
        add_gradient(j, plan.segment(s), onto);
      }
      if (done) {
        done(s);
      }
    }
    sums.end_step(ctx);
  }
}

/// The sums of all ranks' parts, put together.
std::vector<float> sums_of(const way& taken) {
  const parameter_layout layout = small_layout();
  std::vector<float> all(static_cast<size_t>(layout.arena_size()));
  std::mutex mutex;
  test::as_local_ranks(taken.ranks, [&](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    const auto plan = std::make_shared<shard_plan>(layout, layout.segments(), taken.ranks);
    const communicator_ptr group = taken.ranks > 1 ? here.open("gradients") : nullptr;
    gradient_sums sums(plan, group, {.lanes = taken.lanes, .sharded = taken.sharded});
    accumulate_all(ctx, sums, *plan, taken.micro_batches, here.rank());
    sums.complete(ctx);
    const std::lock_guard lock(mutex);
    for (int64_t s = 0; s < plan->segments(); ++s) {
      const arena_range part = plan->part(s, here.rank());
      std::copy_n(sums.part(s), part.size(), all.begin() + part.first);
    }
  });
  return all;
}

TEST(GradientSumsTest, AreTheSameBitsOnAnyNumberOfRanksShardedOrWhole) {
  for (const int64_t n : {1, 3, 4, 6, 9}) {
    const std::vector<float> expected = sums_of({.ranks = 1, .micro_batches = n});
    EXPECT_GT(std::count_if(expected.begin(), expected.end(), [](float sum) { return sum != 0; }), 2000);
    for (const int ranks : {2, 4}) {
      EXPECT_EQ(sums_of({.ranks = ranks, .sharded = false, .micro_batches = n}), expected) << ranks << " " << n;
      EXPECT_EQ(sums_of({.ranks = ranks, .sharded = true, .micro_batches = n}), expected) << ranks << " " << n;
    }
  }
}

TEST(GradientSumsTest, WithoutLanesEachRankIsOne) {
  const std::vector<float> sums = sums_of({.ranks = 3, .sharded = true, .lanes = 1, .micro_batches = 5});
  std::vector<float> expected(sums.size());
  for (const auto& lane : {std::vector<int64_t>{0, 3}, {1, 4}, {2}}) {
    std::vector<float> of_lane(sums.size());
    for (const int64_t j : lane) {
      add_gradient(j, {0, static_cast<int64_t>(sums.size())}, of_lane.data());
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      expected[i] += of_lane[i];
    }
  }
  EXPECT_EQ(sums, expected);
}

TEST(GradientSumsTest, TheWholeIsGatheredOnEveryRank) {
  const parameter_layout layout = small_layout();
  const std::vector<float> expected = sums_of({});
  test::as_local_ranks(2, [&](world& here) {
    thread_pool pool(1);
    context ctx{pool};
    const auto plan = std::make_shared<shard_plan>(layout, layout.segments(), 2);
    gradient_sums sums(plan, here.open("gradients"), {.lanes = 4});
    accumulate_all(ctx, sums, *plan, 6, here.rank());
    sums.complete(ctx);
    const float* whole = sums.gather_whole();
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), whole));
  });
}

TEST(GradientSumsTest, ReductionsStartWithinTheLastBackwardPassAndSendWhatTheFormulaSays) {
  const parameter_layout layout = small_layout();
  for (const bool sharded : {false, true}) {
    test::as_local_ranks(2, [&](world& here) {
      thread_pool pool(1);
      context ctx{pool};
      const auto plan = std::make_shared<shard_plan>(layout, layout.segments(), 2);
      const communicator_ptr group = here.open("gradients");
      gradient_sums sums(plan, group, {.lanes = 4, .sharded = sharded});
      constexpr int64_t micro_batches = 4;
      accumulate_all(ctx, sums, *plan, micro_batches, here.rank());
      const int64_t lanes = sharded ? 2 : 1;  // that a rank sends
      EXPECT_EQ(group->sent().reduced, lanes * 4 * (plan->arena_size() - plan->shard_size(here.rank())));
      sums.complete(ctx);
      EXPECT_EQ(group->sent().operations, lanes * plan->segments()) << "nothing was left for complete";
    });
  }
}

TEST(GradientSumsTest, WhatWasDiscardedIsGone) {
  const parameter_layout layout = small_layout();
  const std::vector<float> expected = sums_of({});
  for (const bool sharded : {false, true}) {
    test::as_local_ranks(2, [&](world& here) {
      thread_pool pool(1);
      context ctx{pool};
      const auto plan = std::make_shared<shard_plan>(layout, layout.segments(), 2);
      gradient_sums sums(plan, here.open("gradients"), {.lanes = 4, .sharded = sharded});
      accumulate_all(ctx, sums, *plan, 5, here.rank());
      EXPECT_THROW(sums.begin(6), error) << "before the last ones are used or dropped";
      sums.discard();
      accumulate_all(ctx, sums, *plan, 6, here.rank());
      sums.complete(ctx);
      for (int64_t s = 0; s < plan->segments(); ++s) {
        const arena_range part = plan->part(s, here.rank());
        EXPECT_TRUE(std::equal(sums.part(s), sums.part(s) + part.size(), expected.begin() + part.first)) << s;
      }
    });
  }
}

TEST(GradientSumsTest, LanesThatCannotBeDealtAreRefused) {
  const parameter_layout layout = small_layout();
  test::as_local_ranks(3, [&](world& here) {
    const auto plan = std::make_shared<shard_plan>(layout, layout.segments(), 3);
    const communicator_ptr group = here.open("gradients");
    for (const int64_t lanes : {-1, 0, 3, 4, 6}) {
      EXPECT_THROW(gradient_sums(plan, group, {.lanes = lanes}), error) << lanes;
    }
  });
}

TEST(GradientSumsTest, MemoryIsWhatTheHeaderSays) {
  const parameter_layout layout = small_layout();
  const shard_plan plan(layout, layout.segments(), 2);
  const int64_t shard = plan.shard_size(1);
  const auto whole = gradient_sums::memory_of(plan, 1, {.lanes = 8}, 100);
  EXPECT_EQ(whole.sums, 3 * plan.arena_size());
  EXPECT_EQ(whole.transient, 0);
  EXPECT_EQ(whole.arriving, shard);
  const auto sharded = gradient_sums::memory_of(plan, 1, {.lanes = 8, .sharded = true}, 100);
  EXPECT_EQ(sharded.sums, 3 * shard);
  EXPECT_EQ(sharded.transient, plan.arena_size());
  EXPECT_LT(sharded.arriving, shard);
  const auto few = gradient_sums::memory_of(plan, 1, {.lanes = 8, .sharded = true}, 2);
  EXPECT_EQ(few.sums, shard);
}

}  // namespace
}  // namespace troupe::engine
