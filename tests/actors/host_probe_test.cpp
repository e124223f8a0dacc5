#include "actors/host_probe.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace troupe::actors {

using namespace std::chrono_literals;

/// A daemon that listens on a port of one of this machine's addresses.
class daemon_twin {
public:
  explicit daemon_twin(const char* address, uint16_t port = 0)
      : open_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int yes = 1;
    ::setsockopt(open_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &place.sin_addr);
    EXPECT_EQ(::bind(open_.get(), reinterpret_cast<sockaddr*>(&place), sizeof(place)), 0);
    EXPECT_EQ(::listen(open_.get(), 10), 0);
    socklen_t length = sizeof(place);
    EXPECT_EQ(::getsockname(open_.get(), reinterpret_cast<sockaddr*>(&place), &length), 0);
    port_ = ntohs(place.sin_port);
  }
  uint16_t port() const { return port_; }
  void stop() { open_.reset(); }

private:
  descriptor open_;
  uint16_t port_ = 0;
};

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
