/// Keeps a guard (guard.hpp) on each host that is fit but the first: they outlive attempts, and are started anew when
/// the set of hosts changes, and where they have ended: Slurm was away when they were to start, or this process stood
/// still for so long that they took it for dead.
///
/// Owns the launcher's process of the guards, and of those before them while they end; each has a thread that waits for
/// it (child_process.hpp). Called by one thread, the supervisor's.
#pragma once

#include "actors/hosts/child_process.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

class guard_keeper {
public:
  using clock = std::chrono::steady_clock;
  /// Starts the guards of these hosts: never none. `on_exit` is for their launcher (child_process.hpp).
  using start_function = std::function<std::unique_ptr<child_process>(const std::vector<std::string>& hosts,
                                                                      std::function<void(int wait_status)> on_exit)>;

  explicit guard_keeper(start_function start) : start_(std::move(start)) {}

  /// Guards are to be on these hosts; with none, those that there are stay. With a host missing, Slurm would take long
  /// to end their step: hence new ones, before the old have ended.
  /// Errors  those of `start`.
  void keep(const std::vector<std::string>& hosts, clock::time_point now);

  /// To be called often: starts those anew that have ended, after a pause that grows as long as they end soon.
  /// Errors  those of `start`.
  void look(clock::time_point now);

  /// Ends those that are kept now: the run is over.
  void dismiss();

private:
  void start(clock::time_point now);

  start_function start_;
  std::vector<std::string> hosts_;  ///< that now_ was started on
  std::unique_ptr<child_process> now_, before_;
  std::shared_ptr<std::atomic<bool>> ended_;  ///< now_ has; set by its thread
  clock::time_point started_;
  clock::duration pause_{};  ///< before those that have ended are started anew
};

}  // namespace troupe::actors
