/// Which network the processes of a run meet on, and that the supervisor really listens there.
#include "actors/control/control_channel.hpp"
#include "actors/control/control_place.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;

TEST(ControlPlace, RanksOfThisMachineMeetOnTheLoopback) {
  const control_place place = control_place_of({.control_host = "%h-ib0", .control_port = 0}, false, "node1");
  EXPECT_EQ(place.host, "127.0.0.1");
  EXPECT_EQ(place.address, "127.0.0.1");
  EXPECT_EQ(place.port, 0);
}

TEST(ControlPlace, OnNodesTheHostsOwnNameAndEveryNetwork) {
  const control_place place = control_place_of({}, true, "node1");
  EXPECT_EQ(place.host, "node1");
  EXPECT_EQ(place.address, "0.0.0.0");
}

TEST(ControlPlace, ANamedNetworkIsTheOnlyOne) {
  const control_place place = control_place_of({.control_host = "%h-ib0.site", .control_port = 21000}, true, "node1");
  EXPECT_EQ(place.host, "node1-ib0.site");
  EXPECT_EQ(place.address, "node1-ib0.site");
  EXPECT_EQ(place.port, 21000);
  EXPECT_EQ(control_place_of({.control_host = "%h.%h"}, true, "%h").host, "%h.%h")
      << "put in once, even where a name is odd";
}

class Published : public ::testing::Test {
protected:
  void SetUp() override {
    create_credentials(folder / "control");
    config.emplace(folder / "control");
    system.emplace(*config);
    listener = system->spawn([](caf::event_based_actor*) { return caf::behavior{[](int x) { return x + 1; }}; });
  }
  void TearDown() override { caf::anon_send_exit(listener, caf::exit_reason::kill); }

  test::temporary_folder folder;
  std::optional<control_config> config;
  std::optional<caf::actor_system> system;
  caf::actor listener;
};

TEST_F(Published, AtThePortThatIsAskedFor) {
  const uint16_t free_port = [] {
    test::temporary_folder other;
    create_credentials(other / "control");
    control_config settings(other / "control");
    caf::actor_system short_lived(settings);
    const caf::actor nobody =
        short_lived.spawn([](caf::event_based_actor*) { return caf::behavior{[](int x) { return x; }}; });
    const uint16_t port = publish(nobody, "127.0.0.1");
    caf::anon_send_exit(nobody, caf::exit_reason::kill);
    return port;
  }();
  EXPECT_EQ(publish(listener, "127.0.0.1", free_port), free_port) << "though connections to it may linger";
  control_config other(folder / "control");
  caf::actor_system peer(other);
  EXPECT_NO_THROW(connect(peer, "127.0.0.1", free_port, 5s));
  test::expect_error(errc::io_failure, std::to_string(free_port), [&] { publish(listener, "127.0.0.1", free_port); });
}

TEST_F(Published, NotOnAnAddressThatIsNotOurs) {
  test::expect_error(errc::io_failure, "192.0.2.1",
                     [&] { publish(listener, "192.0.2.1"); });  // of documents: no host has it
  test::expect_error(errc::io_failure, "no-such-host.invalid", [&] { publish(listener, "no-such-host.invalid"); });
}

}  // namespace
}  // namespace troupe::actors
