// Batches wait by their ids for the command that names them, and are taken once.
#include "actors/cast/pending_batches.hpp"
#include "actors/protocol/rank_data.hpp"
#include "support/refusal.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace troupe::actors {
namespace {

batch_handle batch_of(uint64_t id, uint64_t draw) {
  auto batch = std::make_shared<example_batch>();
  batch->id = id;
  batch->draw = draw;
  return {std::move(batch)};
}

TEST(PendingBatches, EachIsTakenOnce) {
  pending_batches<batch_handle> pending("the critic");
  pending.add(batch_of(4, 1));
  EXPECT_TRUE(pending.has(4));
  EXPECT_FALSE(pending.has(5));
  EXPECT_EQ(pending.take(4)->draw, 1U);
  EXPECT_FALSE(pending.has(4));
  EXPECT_EQ(test::refusal([&] { pending.take(4); }), "batch 4 was not served to the critic");
}

TEST(PendingBatches, OneThatIsServedAgainReplacesTheFormer) {
  pending_batches<batch_handle> pending("the policy");
  pending.add(batch_of(4, 1));
  pending.add(batch_of(4, 2));
  EXPECT_EQ(pending.take(4)->draw, 2U);
  EXPECT_FALSE(pending.has(4));
}

}  // namespace
}  // namespace troupe::actors
