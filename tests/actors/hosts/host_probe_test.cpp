#include "actors/hosts/host_probe.hpp"
#include "support/daemon_twin.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

using namespace std::chrono_literals;
using test::daemon_twin;

static std::set<std::string> silent_after_a_round(host_probe& probe) {
  probe.start();
  probe.wait(5s);
  return probe.silent();
}

TEST(SlurmdPort, IsFoundInTheConfiguration) {
  EXPECT_EQ(
      slurmd_port("SlurmctldPort           = 6817\nSlurmdDebug             = info\nSlurmdPort              = 6818\n"),
      6818);
  EXPECT_EQ(slurmd_port("SlurmdPort=70000\nSlurmdPort = x\nSlurmdPort\nSlurmdPort = \n"), std::nullopt);
  EXPECT_EQ(slurmd_port(""), std::nullopt);
}

TEST(HostProbe, AHostThatAnsweredBeforeAndDoesNotNowIsSilent) {
  daemon_twin first("127.0.0.1");
  daemon_twin second("127.0.0.2", first.port());
  host_probe probe({"127.0.0.1", "127.0.0.2"}, first.port());
  EXPECT_EQ(silent_after_a_round(probe), std::set<std::string>());
  second.stop();
  EXPECT_EQ(silent_after_a_round(probe), std::set<std::string>({"127.0.0.2"}));
  const daemon_twin again("127.0.0.2", first.port());
  EXPECT_EQ(silent_after_a_round(probe), std::set<std::string>());
}

TEST(HostProbe, AHostThatNeverAnsweredIsSilentWhereStrangersCountAndAnotherAnswers) {
  daemon_twin first("127.0.0.1");
  host_probe probe({"127.0.0.1", "127.0.0.2"}, first.port());
  EXPECT_EQ(silent_after_a_round(probe), std::set<std::string>());
  EXPECT_EQ(probe.silent(true), std::set<std::string>({"127.0.0.2"}));
  const uint16_t port = first.port();
  first.stop();
  host_probe blind({"127.0.0.1", "127.0.0.2"}, port);
  EXPECT_EQ(silent_after_a_round(blind), std::set<std::string>());
  EXPECT_EQ(blind.silent(true), std::set<std::string>()) << "the port may be another";
}

TEST(HostProbe, AHostThatNeverAnsweredOrHasNoAddressIsNotJudged) {
  const daemon_twin first("127.0.0.1");
  host_probe probe({"127.0.0.1", "127.0.0.2", "no-such-host.invalid"}, first.port());
  EXPECT_EQ(silent_after_a_round(probe), std::set<std::string>());
  EXPECT_EQ(silent_after_a_round(probe), std::set<std::string>());
}

}  // namespace troupe::actors
