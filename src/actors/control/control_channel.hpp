/// The control channel of a run: CAF over mutually authenticated TLS. Only a process that holds the run's own
/// certificate and key, which lie in the run directory readable by the user alone, gets as far as CAF's wire protocol:
/// that protocol itself trusts its peer.
#pragma once

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/openssl/all.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace troupe::actors {

/// Writes a fresh self-signed certificate and its key (P-256) to <folder>/certificate.pem and key.pem, mode 0600 in a
/// folder of mode 0700, replacing those of an earlier supervisor. Each side accepts exactly this certificate.
/// Errors  io_failure.
void create_credentials(const std::filesystem::path& folder);

/// Whether a peer that has been silent for long is given up by CAF itself, or only where its connection ends.
enum class silent_peer { is_given_up, is_kept };

/// An actor system with the run's credentials. A peer from which nothing has come for `silence` is given up: its node
/// may have lost power, of which no packet tells. Supervisor and ranks keep it, since they watch over each other in a
/// way that bears with processes which stood still (lifeline.hpp, rank_watch.hpp). Compute runs in detached actors, so
/// few threads will do.
class control_config : public caf::actor_system_config {
public:
  explicit control_config(const std::filesystem::path& credentials,
                          std::chrono::milliseconds silence = std::chrono::seconds(60),
                          silent_peer peer = silent_peer::is_given_up);
};

/// The actor that receives and sends for the system. It ends by itself where it lacks memory for a message, and nobody
/// is reached from then on.
caf::actor network_of(caf::actor_system& system);

/// Makes `supervisor` reachable at `address`, on `port` (0: on one that the system chooses). Returns the port.
/// Errors  io_failure: no address of this host, or a port that somebody else has.
uint16_t publish(const caf::actor& supervisor, const std::string& address, uint16_t port = 0);

/// Takes back what publish has done: the network holds the actor no more. Call it when the actor has ended, and before
/// its system is taken down.
///
/// A message to a peer that is sent while the network's thread stops stays in that thread's queue and keeps CAF's
/// broker in memory, and that what it has published. A detached actor's thread waits until the actor is freed, and the
/// system waits for that thread: for ever.
void withdraw(const caf::actor& supervisor);

/// The actor system of a process, which `config` outlives. Where CAF cannot start one of its threads, or lacks memory,
/// the process ends (with the words of its terminate handler): to take down a system that is half there crashes.
std::unique_ptr<caf::actor_system> begin_system(caf::actor_system_config& config);

/// Hears of an actor's end after everybody else has. Make it before the actor is published, and wait for it before the
/// actor's system is taken down.
///
/// CAF counts an actor as ended before it has told those who watch it, and the last to ask is the first to be told. If
/// the network's thread is stopped in between, the notice for a watcher on the network stays in that thread's queue and
/// keeps the actor in memory. A detached actor's thread waits until the actor is freed, and the system waits for that
/// thread: for ever.
class last_word {
public:
  explicit last_word(const caf::actor& of);
  void wait();
  /// Why it has ended; none: it has not, within the time.
  const std::optional<caf::error>& ended_within(std::chrono::milliseconds time);

private:
  caf::scoped_actor self_;
  std::optional<caf::error> reason_;
};

/// Connects, trying again until `patience` is over.
/// Errors  lost_peer.
caf::actor connect(caf::actor_system& system, const std::string& host, uint16_t port,
                   std::chrono::milliseconds patience);

}  // namespace troupe::actors
