#include "base/error.hpp"
#include "base/spin.hpp"
#include "base/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace troupe {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int> {
protected:
  thread_pool pool{GetParam()};
};

TEST_P(ThreadPoolTest, EveryIndexIsVisitedOnceInEachOfManyJobs) {
  for (int64_t job = 0; job < 300; ++job) {
    const int64_t n = job % 70;
    std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
    pool.parallel_for(n, [&](int64_t i) { ++visits[static_cast<size_t>(i)]; });
    for (const auto& count : visits) {
      ASSERT_EQ(count.load(), 1);
    }
  }
}

TEST_P(ThreadPoolTest, WritesOfTheBodyAreSeenByTheCaller) {
  std::vector<int64_t> values(10000);
  pool.parallel_for(static_cast<int64_t>(values.size()), [&](int64_t i) { values[static_cast<size_t>(i)] = i; });
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], static_cast<int64_t>(i));
  }
}

TEST_P(ThreadPoolTest, ABodyMayWaitForALowerIndex) {
  std::vector<std::atomic<int64_t>> sums(500);
  pool.parallel_for(static_cast<int64_t>(sums.size()), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    int64_t before = 0;
    for (int spin = 0; i > 0 && (before = sums[at - 1].load()) == 0; spin = (spin + 1) % 64) {
      spin_pause(spin);
    }
    sums[at] = before + i + 1;
  });
  EXPECT_EQ(sums.back().load(), 500 * 501 / 2);
}

TEST_P(ThreadPoolTest, AnExceptionReachesTheCallerAndThePoolGoesOn) {
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(pool.parallel_for(50,
                                   [](int64_t i) {
                                     if (i == 13) {
                                       throw error(errc::bad_argument, "thirteen");
                                     }
                                   }),
                 error);
    std::atomic<int64_t> sum{0};
    pool.parallel_for(10, [&](int64_t i) { sum += i; });
    EXPECT_EQ(sum.load(), 45);
  }
}

TEST_P(ThreadPoolTest, ThreadIndicesAreDistinctAndWithinThePool) {
  EXPECT_EQ(pool.threads(), GetParam());
  std::mutex mutex;
  std::map<int, std::set<std::thread::id>> threads_of_index;
  pool.parallel_for(200, [&](int64_t) {
    const std::lock_guard lock(mutex);
    threads_of_index[thread_pool::current_thread()].insert(std::this_thread::get_id());
  });
  for (const auto& [index, ids] : threads_of_index) {
    EXPECT_GE(index, 0);
    EXPECT_LT(index, pool.threads());
    EXPECT_EQ(ids.size(), 1U);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8));

TEST(ThreadPoolDefaultTest, HasAtLeastOneThread) { EXPECT_GE(thread_pool().threads(), 1); }

}  // namespace
}  // namespace troupe
