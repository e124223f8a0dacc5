// Held-out evaluation in shares: every batch once, on the rank whose share it is in, and the same results on all.
#include "base/error.hpp"
#include "engine/train/evaluate.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace troupe::engine {
namespace {

using results = std::vector<std::vector<int64_t>>;

/// One sequence each, of so many tokens; its first token is its number.
std::vector<packed_batch> batches_of(const std::vector<int64_t>& tokens) {
  std::vector<packed_batch> all;
  for (size_t j = 0; j < tokens.size(); ++j) {
    std::vector<int32_t> ids(static_cast<size_t>(tokens[j]), 0);
    ids[0] = static_cast<int32_t>(j);
    all.emplace_back().add(ids, 1);
  }
  return all;
}

/// What a rank was asked for: the numbers of its batches, -1 for an empty one. The result of batch j is j, j times.
struct seen_by_rank {
  std::vector<int64_t> calls;
  results found;
};

seen_by_rank evaluate_here(communicator* group, const std::vector<packed_batch>& batches) {
  seen_by_rank seen;
  seen.found = evaluate<int64_t>(group, batches, [&](const packed_batch& batch) {
    const int64_t j = batch.sequences() == 0 ? -1 : batch.token_N[0];
    seen.calls.push_back(j);
    return std::vector<int64_t>(static_cast<size_t>(std::max<int64_t>(j, 0)), j);
  });
  return seen;
}

TEST(Evaluate, OneRankAloneDoesAllInOrder) {
  const seen_by_rank seen = evaluate_here(nullptr, batches_of({5, 1, 3}));
  EXPECT_EQ(seen.calls, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(seen.found, (results{{}, {1}, {2, 2}}));
}

TEST(Evaluate, SharesHaveAboutTheSameTokensAndEveryRankMakesAsManyCalls) {
  const auto batches = batches_of({2, 9, 2, 2, 2, 2});
  std::vector<seen_by_rank> seen(2);
  test::as_local_ranks(2, [&](world& here) {
    seen[static_cast<size_t>(here.rank())] = evaluate_here(here.open("evaluation").get(), batches);
  });
  EXPECT_EQ(seen[0].calls, (std::vector<int64_t>{1, -1, -1, -1, -1}));
  EXPECT_EQ(seen[1].calls, (std::vector<int64_t>{0, 2, 3, 4, 5}));
  const results expected = {{}, {1}, {2, 2}, {3, 3, 3}, {4, 4, 4, 4}, {5, 5, 5, 5, 5}};
  EXPECT_EQ(seen[0].found, expected);
  EXPECT_EQ(seen[1].found, expected);
}

TEST(Evaluate, MoreRanksThanBatchesIsFine) {
  const auto batches = batches_of({2, 3});
  std::vector<seen_by_rank> seen(4);
  test::as_local_ranks(4, [&](world& here) {
    seen[static_cast<size_t>(here.rank())] = evaluate_here(here.open("evaluation").get(), batches);
  });
  for (const seen_by_rank& one : seen) {
    EXPECT_EQ(one.calls.size(), 1U);
    EXPECT_EQ(one.found, (results{{}, {1}}));
  }
}

TEST(Evaluate, RankThatSendsSomethingElseIsNamed) {
  const auto batches = batches_of({3, 3, 3, 3});
  test::as_local_ranks(2, [&](world& here) {
    const communicator_ptr group = here.open("evaluation");
    if (here.rank() == 1) {
      gather_bytes(*group, std::vector<std::byte>(7), {.label = "losses"});
      return;
    }
    try {
      evaluate_here(group.get(), batches);
      ADD_FAILURE() << "no error";
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), errc::lost_peer);
      EXPECT_NE(std::string(failure.what()).find("rank 1"), std::string::npos) << failure.what();
    }
  });
}

TEST(Evaluate, NumbersThatOneRankFindsNotFiniteAreFoundByAll) {
  const auto batches = batches_of({3, 3, 3, 3});
  std::vector<int> calls(2);
  test::as_local_ranks(
      2,
      [&](world& here) {
        const communicator_ptr group = here.open("evaluation");
        try {
          evaluate<int64_t>(group.get(), batches, [&](const packed_batch& batch) {
            ++calls[static_cast<size_t>(here.rank())];
            if (batch.sequences() > 0 && batch.token_N[0] == 1) {
              throw error(errc::not_finite, "score_N[3] is nan");
            }
            return std::vector<int64_t>();
          });
          ADD_FAILURE() << "no error";
        } catch (const error& failure) {
          EXPECT_EQ(failure.code(), errc::not_finite);
          EXPECT_EQ(std::string(failure.what()), "score_N[3] is nan (found by rank 1)");
        }
      },
      std::chrono::seconds(20));
  EXPECT_EQ(calls[0], calls[1]) << "a pass of a rank is one of all";
}

}  // namespace
}  // namespace troupe::engine
