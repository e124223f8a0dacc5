#include "actors/supervisor/guard_keeper.hpp"
#include "base/error.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <future>
#include <map>

namespace troupe::actors {

using strings = std::vector<std::string>;

/// Starts programs that wait, in place of Slurm's launcher, and tells how each ended.
class GuardKeeper : public ::testing::Test {
protected:
  guard_keeper::start_function starter() {
    return [this](const strings& hosts) {
      started_.push_back(hosts);
      auto& ended = ends_[started_.size()];
      return std::make_unique<child_process>(strings{"sleep", "600"},
                                             [&ended](int status) { ended.set_value(status); });
    };
  }
  /// The signal that ended those started as the n-th.
  int signal_of(size_t n) {
    const int status = ends_.at(n).get_future().get();
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  std::vector<strings> started_;
  std::map<size_t, std::promise<int>> ends_;
};

TEST_F(GuardKeeper, GuardsStayWhileTheHostsAreTheSame) {
  guard_keeper guards(starter());
  guards.keep({"node2", "node3"});
  guards.keep({"node2", "node3"});
  EXPECT_EQ(started_, (std::vector<strings>{{"node2", "node3"}}));
}

TEST_F(GuardKeeper, NewOnesReplaceThoseOfOtherHosts) {
  guard_keeper guards(starter());
  guards.keep({"node2", "node3"});
  guards.keep({"node3"});
  EXPECT_EQ(started_, (std::vector<strings>{{"node2", "node3"}, {"node3"}}));
  EXPECT_EQ(signal_of(1), SIGTERM) << "srun passes it on and ends its step";
  guards.keep({"node2", "node3"});
  EXPECT_EQ(started_.size(), 3U) << "a host that is back";
}

TEST_F(GuardKeeper, WithoutHostsNothingChanges) {
  guard_keeper guards(starter());
  guards.keep({});
  EXPECT_TRUE(started_.empty());
  guards.keep({"node2"});
  guards.keep({});
  guards.keep({"node2"});
  EXPECT_EQ(started_.size(), 1U);
}

TEST_F(GuardKeeper, TheyEndWithTheRun) {
  guard_keeper guards(starter());
  guards.keep({"node2"});
  guards.dismiss();
  EXPECT_EQ(signal_of(1), SIGKILL);
}

TEST_F(GuardKeeper, AStartThatFailsIsTold) {
  guard_keeper guards(
      [](const strings&) -> std::unique_ptr<child_process> { throw error(errc::io_failure, "cannot start srun"); });
  EXPECT_THROW(guards.keep({"node2"}), error);
}

}  // namespace troupe::actors
