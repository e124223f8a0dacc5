#include "actors/supervisor/guard_keeper.hpp"
#include "base/error.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <future>
#include <map>

namespace troupe::actors {

using namespace std::chrono_literals;
using strings = std::vector<std::string>;

/// Starts programs that wait, in place of Slurm's launcher, and tells how each ended.
class GuardKeeper : public ::testing::Test {
protected:
  guard_keeper::start_function starter() {
    return [this](const strings& hosts, const std::function<void(int)>& on_exit) {
      started_.push_back(hosts);
      auto& ended = ends_[started_.size()];
      return std::make_unique<child_process>(command_, [&ended, on_exit](int status) {
        on_exit(status);
        ended.set_value(status);
      });
    };
  }
  /// The signal that ended those started as the n-th.
  int signal_of(size_t n) {
    const int status = ends_.at(n).get_future().get();
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  const guard_keeper::clock::time_point start_ = guard_keeper::clock::now();
  strings command_ = {"sleep", "600"};
  std::vector<strings> started_;
  std::map<size_t, std::promise<int>> ends_;
};

TEST_F(GuardKeeper, GuardsStayWhileTheHostsAreTheSame) {
  guard_keeper guards(starter());
  guards.keep({"node2", "node3"}, start_);
  guards.keep({"node2", "node3"}, start_);
  EXPECT_EQ(started_, (std::vector<strings>{{"node2", "node3"}}));
}

TEST_F(GuardKeeper, NewOnesReplaceThoseOfOtherHosts) {
  guard_keeper guards(starter());
  guards.keep({"node2", "node3"}, start_);
  guards.keep({"node3"}, start_);
  EXPECT_EQ(started_, (std::vector<strings>{{"node2", "node3"}, {"node3"}}));
  EXPECT_EQ(signal_of(1), SIGTERM) << "srun passes it on and ends its step";
  guards.keep({"node2", "node3"}, start_);
  EXPECT_EQ(started_.size(), 3U) << "a host that is back";
}

TEST_F(GuardKeeper, WithoutHostsNothingChanges) {
  guard_keeper guards(starter());
  guards.keep({}, start_);
  EXPECT_TRUE(started_.empty());
  guards.keep({"node2"}, start_);
  guards.keep({}, start_);
  guards.keep({"node2"}, start_);
  EXPECT_EQ(started_.size(), 1U);
}

TEST_F(GuardKeeper, ThoseThatHaveEndedAreStartedAnewAfterAPauseThatGrows) {
  command_ = {"true"};
  guard_keeper guards(starter());
  guards.keep({"node2"}, start_);
  signal_of(1);
  guards.look(start_ + 900ms);
  EXPECT_EQ(started_.size(), 1U);
  guards.look(start_ + 1s);
  EXPECT_EQ(started_, (std::vector<strings>{{"node2"}, {"node2"}}));
  signal_of(2);
  guards.look(start_ + 2900ms);
  EXPECT_EQ(started_.size(), 2U);
  command_ = {"sleep", "600"};
  guards.look(start_ + 3s);
  EXPECT_EQ(started_.size(), 3U);
  guards.look(start_ + 300s);
  EXPECT_EQ(started_.size(), 3U) << "they live";
  guards.dismiss();
  guards.look(start_ + 600s);
  EXPECT_EQ(started_.size(), 3U) << "the run is over";
}

TEST_F(GuardKeeper, AStartThatFailsIsTriedAgain) {
  bool away = true;
  guard_keeper guards([&, start = starter()](const strings& hosts, const auto& on_exit) {
    return away ? throw error(errc::io_failure, "cannot start srun") : start(hosts, on_exit);
  });
  EXPECT_THROW(guards.keep({"node2"}, start_), error);
  EXPECT_THROW(guards.look(start_ + 2s), error);
  away = false;
  guards.look(start_ + 60s);
  EXPECT_EQ(started_.size(), 1U);
}

TEST_F(GuardKeeper, TheyEndWithTheRun) {
  guard_keeper guards(starter());
  guards.keep({"node2"}, start_);
  guards.dismiss();
  EXPECT_EQ(signal_of(1), SIGKILL);
}

}  // namespace troupe::actors
