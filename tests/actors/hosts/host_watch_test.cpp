#include "actors/hosts/host_watch.hpp"
#include "base/error.hpp"
#include "support/daemon_twin.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <thread>

namespace troupe::actors {

using namespace std::chrono_literals;
using strings = std::vector<std::string>;
using host_set = std::set<std::string>;
using test::daemon_twin;

/// Three hosts, all of them this machine, by addresses of its own. The first is the batch host.
class HostWatch : public ::testing::Test {
protected:
  static constexpr const char* batch = "127.0.0.1";
  static constexpr const char* second = "127.0.0.2";
  static constexpr const char* third = "127.0.0.3";

  static allocation three_hosts() {
    return {.job_id = "42", .hosts = {batch, second, third}, .cpus = {2, 2, 2}, .batch_host = batch};
  }
  /// A plan that has ranks on these hosts.
  static launch_plan plan_on(const strings& hosts) {
    launch_plan plan;
    for (const std::string& host : hosts) {
      plan.hosts.push_back({host, 1});
    }
    return plan;
  }

  /// What Slurm's commands print.
  std::string answer(const strings& command) {
    ++asked_[command.at(2)];
    if (mute_) {
      throw error(errc::io_failure, "slurmctld does not answer");
    }
    return command.at(2) == "scontrol" ? fmt::format("SlurmdPort = {}\n", first_.port()) : left_ + "\n";
  }
  host_watch watch(std::optional<allocation> given = three_hosts()) {
    return {std::move(given), [this](const strings& command) { return answer(command); }};
  }

  daemon_twin first_{second};
  std::unique_ptr<daemon_twin> other_ = std::make_unique<daemon_twin>(third, first_.port());
  std::string left_ = "127.0.0.[1-3]";
  bool mute_ = false;
  std::map<std::string, int> asked_;  ///< by program
  const host_watch::clock::time_point now_ = host_watch::clock::now();
};

TEST_F(HostWatch, AHostThatNoLongerAnswersIsLeftOutUntilItDoes) {
  host_watch hosts = watch();
  hosts.look(false);
  EXPECT_EQ(hosts.excluded(now_), host_set());
  EXPECT_EQ(hosts.fit_others(now_), strings({second, third}));
  other_.reset();
  hosts.begin_round();
  hosts.look(false);
  EXPECT_EQ(hosts.silent(), host_set({third}));
  EXPECT_EQ(hosts.excluded(now_), host_set({third}));
  EXPECT_EQ(hosts.fit_others(now_), strings({second}));
  EXPECT_TRUE(hosts.has_silent_host(plan_on({second, third})));
  EXPECT_FALSE(hosts.has_silent_host(plan_on({batch, second})));
  other_ = std::make_unique<daemon_twin>(third, first_.port());
  hosts.begin_round();
  hosts.look(false);
  EXPECT_EQ(hosts.excluded(now_), host_set());
}

TEST_F(HostWatch, AloneIsWhoseOthersAllFallSilent) {
  host_watch hosts = watch();
  hosts.look(false);
  EXPECT_FALSE(hosts.alone());
  other_.reset();
  hosts.begin_round();
  hosts.look(false);
  EXPECT_FALSE(hosts.alone()) << "one still answers";
  first_.stop();
  hosts.begin_round();
  hosts.look(false);
  EXPECT_TRUE(hosts.alone());
  EXPECT_FALSE(watch(std::nullopt).alone());
  EXPECT_FALSE(watch().alone()) << "nobody has been asked";
}

TEST_F(HostWatch, AHostThatHasNeverAnsweredIsSilentOnlyWhereStrangersCount) {
  other_.reset();
  host_watch hosts = watch();
  hosts.look(false);
  EXPECT_EQ(hosts.silent(), host_set());
  hosts.look(true);
  EXPECT_EQ(hosts.silent(), host_set({third}));
}

TEST_F(HostWatch, ARoundIsRenewedOnceItHasHadTimeEnough) {
  host_watch hosts = watch();
  EXPECT_FALSE(hosts.renew_round(0ms)) << "nobody has been asked yet";
  hosts.look(false);
  EXPECT_FALSE(hosts.renew_round(1h)) << "it has only begun";
  other_.reset();
  hosts.begin_round();
  while (!hosts.renew_round(50ms)) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(hosts.silent(), host_set({third}));
  EXPECT_FALSE(hosts.renew_round(1h)) << "the next has only begun";
}

TEST_F(HostWatch, SuspectsAreLeftOutForAWhileButNeverTheBatchHost) {
  host_watch hosts = watch();
  EXPECT_EQ(hosts.suspect({batch, second}, now_), (std::map<std::string, std::string>{{second, "left out for 60 s"}}));
  EXPECT_EQ(hosts.excluded(now_ + 1s), host_set({second}));
  EXPECT_EQ(hosts.excluded(now_ + 61s), host_set());
}

TEST_F(HostWatch, AHostThatSlurmHasTakenAwayIsLeftOutForGood) {
  host_watch hosts = watch();
  hosts.look_for_lost_hosts();
  EXPECT_EQ(hosts.excluded(now_), host_set());
  left_ = "127.0.0.[1,3]  ";
  hosts.look_for_lost_hosts();
  left_ = "127.0.0.[1-3]";
  hosts.look_for_lost_hosts();
  EXPECT_EQ(hosts.excluded(now_ + 24h), host_set({second}));
}

TEST_F(HostWatch, WhileSlurmIsAwayNobodyIsJudgedAndItIsAskedAgain) {
  mute_ = true;
  host_watch hosts = watch();
  hosts.look(true);
  hosts.look_for_lost_hosts();
  EXPECT_EQ(hosts.excluded(now_), host_set());
  EXPECT_EQ(hosts.fit_others(now_), strings()) << "hosts that are not asked get no guards";
  EXPECT_FALSE(hosts.renew_round(0ms));
  mute_ = false;
  hosts.look(true);
  EXPECT_EQ(hosts.fit_others(now_), strings({second, third}));
  hosts.look(true);
  EXPECT_EQ(asked_["scontrol"], 2) << "the port is asked for until it is known";
}

TEST_F(HostWatch, OutsideOfSlurmAndOnOneHostNobodyIsAsked) {
  for (const auto& given :
       {std::optional<allocation>(),
        std::optional(allocation{.job_id = "42", .hosts = {batch}, .cpus = {2}, .batch_host = batch})}) {
    host_watch hosts = watch(given);
    hosts.look(true);
    hosts.begin_round();
    EXPECT_FALSE(hosts.renew_round(0ms));
    hosts.suspect({batch}, now_);
    EXPECT_EQ(hosts.excluded(now_), host_set());
    EXPECT_EQ(hosts.fit_others(now_), strings());
  }
  EXPECT_EQ(asked_["scontrol"], 0);
}

TEST_F(HostWatch, AnEmptyListOfHostsIsNoAnswer) {
  left_ = "";
  host_watch hosts = watch();
  hosts.look_for_lost_hosts();
  EXPECT_EQ(hosts.excluded(now_), host_set()) << "squeue prints nothing of a job that it does not know";
}

}  // namespace troupe::actors
