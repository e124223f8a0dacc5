/// Keeps a guard (guard.hpp) on each host that is fit but the first: they outlive attempts, and are started anew only when
/// the set of hosts changes.
///
/// Owns the launcher's process of the guards, and of those before them while they end; each has a thread that waits for it
/// (child_process.hpp). Called by one thread, the supervisor's.
#pragma once

#include "actors/hosts/child_process.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

class guard_keeper {
public:
  /// Starts the guards of these hosts: never none.
  using start_function = std::function<std::unique_ptr<child_process>(const std::vector<std::string>& hosts)>;

  explicit guard_keeper(start_function start) : start_(std::move(start)) {}

  /// Guards are to be on these hosts; with none, those that there are stay. With a host missing, Slurm would take long to
  /// end their step: hence new ones, before the old have ended.
  /// Errors  those of `start`.
  void keep(const std::vector<std::string>& hosts);

  /// Ends those that are kept now: the run is over.
  void dismiss() { now_.reset(); }

private:
  start_function start_;
  std::vector<std::string> hosts_;  ///< that now_ was started on
  std::unique_ptr<child_process> now_, before_;
};

}  // namespace troupe::actors
