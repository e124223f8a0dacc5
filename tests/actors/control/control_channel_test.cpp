// The control channel admits who holds the run's certificate, and nobody else.
#include "actors/control/control_channel.hpp"
#include "actors/protocol/type_ids.hpp"
#include "base/error.hpp"
#include "support/temporary_folder.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

namespace troupe::actors {

namespace {

using namespace std::chrono_literals;

class ControlChannel : public ::testing::Test {
protected:
  void SetUp() override {
    create_credentials(folder / "control");
    config.emplace(folder / "control");
    system.emplace(*config);
    listener = system->spawn(
        [](caf::event_based_actor*) { return caf::behavior{[](serve_atom, int64_t x) { return x + 1; }}; });
    port = publish(listener, "127.0.0.1");
  }
  void TearDown() override { caf::anon_send_exit(listener, caf::exit_reason::kill); }

  /// What a peer with these credentials gets for 41, or 0.
  int64_t ask_as(const std::filesystem::path& credentials) {
    control_config other(credentials);
    caf::actor_system peer(other);
    int64_t answer = 0;
    try {
      const caf::actor reached = connect(peer, "127.0.0.1", port, 500ms);
      caf::scoped_actor self(peer);
      self->request(reached, 5s, serve_atom_v, int64_t{41})
          .receive([&](int64_t x) { answer = x; }, [](const caf::error&) {});
    } catch (const error&) {
    }
    return answer;
  }

  test::temporary_folder folder;
  std::optional<control_config> config;
  std::optional<caf::actor_system> system;
  caf::actor listener;
  uint16_t port = 0;
};

TEST_F(ControlChannel, AdmitsTheRunsOwnCertificate) { EXPECT_EQ(ask_as(folder / "control"), 42); }

TEST_F(ControlChannel, RefusesAnotherRunsCertificate) {
  create_credentials(folder / "stranger");
  EXPECT_EQ(ask_as(folder / "stranger"), 0);
  EXPECT_EQ(ask_as(folder / "control"), 42);
}

TEST_F(ControlChannel, KeysGoIntoNoFolderOfSomebodyElse) {
  std::filesystem::create_directory(folder / "elsewhere");
  std::filesystem::create_directory_symlink(folder / "elsewhere", folder / "link");
  EXPECT_THROW(create_credentials(folder / "link"), error);
  if (::geteuid() == 0) {
    constexpr uid_t somebody = 12345;
    std::filesystem::create_directory(folder / "theirs");
    ASSERT_EQ(::chown((folder / "theirs").c_str(), somebody, somebody), 0);
    EXPECT_THROW(create_credentials(folder / "theirs"), error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder / "elsewhere"));
}

TEST_F(ControlChannel, DropsGarbageUnharmed) {
  for (int i = 0; i < 200; ++i) {
    const int s = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(s, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string bytes(static_cast<size_t>(i * 7 + 1), static_cast<char>(i * 37));
    ::send(s, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::close(s);
  }
  EXPECT_EQ(ask_as(folder / "control"), 42);
}

/// Without last_word the system waits for ever: the actor is still busy
/// telling of its end when the network's thread stops.
TEST_F(ControlChannel, ClosesThoughAWatchedActorIsSlowToTellOfItsEnd) {
  control_config other(folder / "control");
  caf::actor_system peer(other);
  caf::actor_system own(*config);
  const caf::actor slow = own.spawn<caf::detached>(
      [](caf::event_based_actor*) { return caf::behavior{[](serve_atom, int64_t x) { return x + 1; }}; });
  last_word word(slow);
  const caf::actor reached = connect(peer, "127.0.0.1", publish(slow, "127.0.0.1"), 5s);
  caf::scoped_actor self(peer);
  self->request(reached, 5s, serve_atom_v, int64_t{41}).receive([](int64_t) {}, [](const caf::error&) {});
  slow->attach_functor([] { std::this_thread::sleep_for(500ms); });  // told before the peer, which asked earlier
  caf::anon_send_exit(slow, caf::exit_reason::user_shutdown);
  word.wait();
}

TEST_F(ControlChannel, KeyIsReadableByItsUserAlone) {
  struct stat status {};
  ASSERT_EQ(::stat((folder / "control/key.pem").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

}  // namespace

}  // namespace troupe::actors
