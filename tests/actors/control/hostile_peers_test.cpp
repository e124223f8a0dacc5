// Strangers at the control port change nothing: the run's own peers are served, the process neither grows nor ends.
#include "actors/control/control_channel.hpp"
#include "actors/protocol/type_ids.hpp"
#include "base/error.hpp"
#include "support/hostile_peer.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

namespace troupe::actors {

namespace {

using namespace std::chrono_literals;

/// TROUPE_HOSTILE_CONNECTIONS=100000: the full number.
int64_t hostile_connections() {
  const char* text = std::getenv("TROUPE_HOSTILE_CONNECTIONS");
  return text != nullptr ? std::atoll(text) : 2000;
}

int64_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

int64_t resident_bytes() {
  int64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

/// What the process may grow by meanwhile. The address sanitizer keeps what was freed.
#ifdef __SANITIZE_ADDRESS__
constexpr int64_t growth_bytes = int64_t{1} << 30;
#else
constexpr int64_t growth_bytes = int64_t{64} << 20;
#endif

/// A process of the stranger's own, forked while this one has a single thread. It waits for the port, attacks, and
/// exits with 0 if every connection was taken.
class stranger {
public:
  stranger(const std::filesystem::path& foreign, int64_t count, int64_t held) {
    int ends[2];
    if (::pipe(ends) != 0) {
      throw error(errc::io_failure, "no pipe");
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[1]);  // else it would wait for ever where the test has died
      uint16_t port = 0;
      const bool told = ::read(ends[0], &port, sizeof(port)) == sizeof(port);
      ::_exit(told && test::attack(port, foreign, count, held) == count ? 0 : 1);
    }
    ::close(ends[0]);
    go_ = ends[1];
  }
  ~stranger() {
    ::close(go_);
    if (running()) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, &status_, 0);
    }
  }
  stranger(const stranger&) = delete;
  stranger& operator=(const stranger&) = delete;

  void go(uint16_t port) { ASSERT_EQ(::write(go_, &port, sizeof(port)), static_cast<ssize_t>(sizeof(port))); }
  bool running() {
    ended_ = ended_ || ::waitpid(pid_, &status_, WNOHANG) == pid_;
    return !ended_;
  }
  bool succeeded() const { return ended_ && WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }

private:
  pid_t pid_ = -1;
  int go_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

/// The supervisor's side: an actor that adds one, published.
class served {
public:
  explicit served(const std::filesystem::path& credentials) : config_(credentials), system_(config_) {
    actor_ = system_.spawn(
        [](caf::event_based_actor*) { return caf::behavior{[](serve_atom, int64_t x) { return x + 1; }}; });
    port_ = publish(actor_, "127.0.0.1");
  }
  ~served() { caf::anon_send_exit(actor_, caf::exit_reason::kill); }
  uint16_t port() const { return port_; }

private:
  control_config config_;
  caf::actor_system system_;
  caf::actor actor_;
  uint16_t port_ = 0;
};

/// One of the run's own processes.
class genuine_peer {
public:
  genuine_peer(const std::filesystem::path& credentials, uint16_t port)
      : config_(credentials), system_(config_), reached_(connect(system_, "127.0.0.1", port, 20s)), self_(system_) {}

  bool is_answered(int64_t x) {
    bool right = false;
    self_->request(reached_, 20s, serve_atom_v, x)
        .receive([&](int64_t y) { right = y == x + 1; }, [](const caf::error&) {});
    return right;
  }

private:
  control_config config_;
  caf::actor_system system_;
  caf::actor reached_;
  caf::scoped_actor self_;
};

TEST(HostilePeers, ChangeNothingForTheRunsOwn) {
  const test::temporary_folder folder;
  create_credentials(folder / "control");
  create_credentials(folder / "foreign");
  const int64_t count = hostile_connections();
  stranger attacker(folder / "foreign", count, 1000);
  // Fewer descriptors than the stranger keeps open.
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit fewer{.rlim_cur = std::min<rlim_t>(512, limit.rlim_max), .rlim_max = limit.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &fewer);

  const served supervisor(folder / "control");
  genuine_peer early(folder / "control", supervisor.port());
  ASSERT_TRUE(early.is_answered(0));
  const int64_t descriptors_before = open_descriptors();
  const int64_t memory_before = resident_bytes();
  const auto begin = std::chrono::steady_clock::now();
  attacker.go(supervisor.port());
  int64_t asked = 0, late = 0, descriptors_most = 0, memory_most = 0;
  while (attacker.running()) {
    ASSERT_TRUE(early.is_answered(++asked)) << "after " << asked;
    if (asked % 25 == 0) {  // a rank that joins meanwhile
      genuine_peer newcomer(folder / "control", supervisor.port());
      ASSERT_TRUE(newcomer.is_answered(++late));
    }
    descriptors_most = std::max(descriptors_most, open_descriptors());
    memory_most = std::max(memory_most, resident_bytes());
    std::this_thread::sleep_for(5ms);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_TRUE(attacker.succeeded());
  genuine_peer newcomer(folder / "control", supervisor.port());
  EXPECT_TRUE(newcomer.is_answered(1));
  EXPECT_TRUE(early.is_answered(-1));
  EXPECT_GT(asked, 10);
  EXPECT_LE(descriptors_most, descriptors_before + 128 + 64);  // the handshakes under way, and the newcomer's own
  EXPECT_LE(memory_most, memory_before + growth_bytes);
  std::printf("%lld hostile connections in %.1f s; %lld messages answered meanwhile, %lld newcomers; descriptors %lld, "
              "at most %lld; memory %.1f MiB, at most %.1f MiB\n",
              static_cast<long long>(count), seconds, static_cast<long long>(asked), static_cast<long long>(late),
              static_cast<long long>(descriptors_before), static_cast<long long>(descriptors_most),
              static_cast<double>(memory_before) / 1048576, static_cast<double>(memory_most) / 1048576);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

}  // namespace troupe::actors
