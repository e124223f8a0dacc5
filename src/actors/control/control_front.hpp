/// The front of the control port. Strangers on the network reach this and nothing else: it accepts connections,
/// completes the mutually authenticated TLS handshake within a deadline, and only then hands a descriptor to whoever
/// speaks the real protocol behind it, relaying the decrypted bytes both ways.
///
/// Why CAF does not accept these connections itself: caf::openssl (0.17.6) sets no deadline on a handshake and no limit
/// on how many are under way, reads the certificate's file anew for each one on its only thread for input and output,
/// and throws there where it cannot. A stranger who merely keeps connections open uses up the process's descriptors,
/// and the supervisor's process with them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace troupe::actors {

struct front_settings {
  std::filesystem::path certificate, key;  ///< PEM; a peer is admitted if it shows this very certificate
  std::string address;                     ///< to listen on; empty: every interface
  uint16_t port = 0;                       ///< 0: one that the system chooses
  std::chrono::milliseconds handshake_deadline = std::chrono::seconds(10);
  /// Under way at the same time; one more pushes out the oldest. 0: a quarter of the descriptors that this process may
  /// have, at most 1,024, so that the ranks of a large job can all knock at once.
  size_t handshakes = 0;
};

/// Takes over a connected stream socket, the other end of an admitted peer; false: it does not want it (and the caller
/// closes it). Called on the front's thread; must not block.
using admit_function = std::function<bool(int descriptor)>;

class control_front {
public:
  /// Listens; nothing is accepted before run().
  /// Errors  io_failure: no address of this host, or a port that somebody else has.
  control_front(const front_settings& settings, admit_function admit);
  ~control_front();
  control_front(const control_front&) = delete;
  control_front& operator=(const control_front&) = delete;

  uint16_t port() const;

  /// Serves until close(); the calling thread does nothing else. Call it once.
  void run();

  /// From any thread: takes no more connections, and lets run() return when those that are admitted have ended, at the
  /// latest after a second.
  void close();

private:
  class loop;
  std::unique_ptr<loop> loop_;
};

}  // namespace troupe::actors
