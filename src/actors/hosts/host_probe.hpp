/// Which hosts can a process be started on? srun speaks to the daemon of each host (slurmd) before anything starts
/// there, and waits long for one that is dead. A connection to the same port tells within a millisecond that a host is
/// there.
#pragma once

#include "base/descriptor.hpp"

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::actors {

/// The port of slurmd from what `scontrol show config` prints ("SlurmdPort = 6818"); none: it does not say.
std::optional<uint16_t> slurmd_port(std::string_view config);

/// Rounds of connections to all hosts. A host that has never answered is not judged at first: its name may lead
/// elsewhere, or a firewall hide it. Nothing is sent on the connections.
class host_probe {
public:
  using clock = std::chrono::steady_clock;

  /// Looks the names up (this may wait for a name server). A host that cannot be looked up is never found silent.
  host_probe(const std::vector<std::string>& hosts, uint16_t port);

  /// Begins a new round and returns at once.
  void start();
  /// Waits until all hosts have answered or failed, or the round is `since_start` old. No round yet: begins one.
  void wait(std::chrono::milliseconds since_start);
  clock::duration age() const { return clock::now() - started_; }  ///< of the round

  bool answered(const std::string& host);  ///< in this round, so far
  /// Hosts that have answered earlier, but not in this round. With `strangers` also those that never have, where
  /// another has.
  std::set<std::string> silent(bool strangers = false);

private:
  struct target {
    sockaddr_storage address{};
    socklen_t length = 0;
    bool known = false;     ///< it answered in an earlier round
    bool answered = false;  ///< in this one
    descriptor open;        ///< under way
  };
  bool collect(std::chrono::milliseconds patience);

  std::map<std::string, target> targets_;
  clock::time_point started_{};
};

}  // namespace troupe::actors
