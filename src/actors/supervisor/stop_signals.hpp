/// The signals that ask a run to stop, heard by a thread of its own in every state that the process may be in: while it
/// waits for the run's lock, starts, works, or takes itself down.
#pragma once

#include "actors/supervisor/stop_requests.hpp"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace troupe::actors {

/// SIGTERM, SIGINT, SIGUSR1 and, not under nohup, SIGHUP.
sigset_t signals_to_stop();

/// Hears signals_to_stop. Make it before any other thread exists, which inherits that they are blocked; when it goes
/// they do again what they did before. SIGPIPE is ignored from then on.
///
/// Who insists (stop_requests.hpp) is given in to by whoever takes the signals; where nobody does, or that one stands
/// still itself, for example on a disk that does not answer, the process ends with exit status 75, and its ranks too.
class stop_signals {
public:
  stop_signals();
  ~stop_signals();
  stop_signals(const stop_signals&) = delete;
  stop_signals& operator=(const stop_signals&) = delete;

  using receiver = std::function<void(int signal)>;
  /// Who takes them from now on, those that have come already first; called on the thread that listens. None: nobody.
  void send_to(receiver to);

  /// Waits; false: a signal has come, before or meanwhile.
  bool sleep(std::chrono::milliseconds time);

private:
  void listen();
  void hear(int signal);

  sigset_t set_{}, before_{};
  std::mutex mutex_;
  std::condition_variable heard_;
  receiver to_;
  std::vector<int> waiting_;  ///< that nobody has taken yet
  stop_requests requests_;
  std::optional<std::chrono::steady_clock::time_point> at_once_;  ///< since when the end is due
  bool over_ = false;
  std::thread thread_;
};

}  // namespace troupe::actors
