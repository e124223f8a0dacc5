/// Which hosts of the allocation are fit for ranks. Three things tell: a host's slurmd does not answer a connection
/// (host_probe.hpp), its ranks fell silent or never reported (host_records.hpp), or Slurm has taken it away from the
/// job.
///
/// Owns the probe's connections and starts Slurm's commands; no thread, no actor: one thread, the supervisor's, calls
/// it. Outside of Slurm there is nothing to watch, and nothing is ever left out. The batch host, where the supervisor
/// itself runs, is neither asked nor suspected: its network cannot have come between. (Ranks that crash are another
/// matter, crash_watch.hpp, there as elsewhere.)
#pragma once

#include "actors/hosts/allocation.hpp"
#include "actors/hosts/host_probe.hpp"
#include "actors/hosts/host_records.hpp"
#include "actors/hosts/launcher.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe::actors {

class host_watch {
public:
  using clock = std::chrono::steady_clock;
  /// What a command prints.
  /// Errors  io_failure: those of output_of (child_process.hpp).
  using ask_function = std::function<std::string(const std::vector<std::string>& command)>;

  host_watch(std::optional<allocation> given, ask_function ask);

  /// Before ranks are started: which hosts answer now? Waits for answers, but not for long. `strangers`: hosts that
  /// have never answered count as silent too, where others have. A failure to ask Slurm is logged, and asked again next
  /// time.
  void look(bool strangers);

  /// An attempt has failed: the answers are there when the next one is laid out.
  void begin_round();

  /// While ranks are being started, as often as one likes: takes the answers of a round that has had time enough, and
  /// begins another. False: it has not, or hosts are not asked.
  bool renew_round(std::chrono::milliseconds patience);

  /// Whether a host of the plan was silent when last looked at.
  bool has_silent_host(const launch_plan& plan) const;
  const std::set<std::string>& silent() const { return silent_; }
  /// Whether no other host answered when last looked at: it may be this one that has no network.
  bool alone() const;

  /// Leaves hosts out for a while, or for good (host_records.hpp). Returns what that means for each.
  std::map<std::string, std::string> suspect(const std::set<std::string>& hosts, clock::time_point now);

  /// After a launch that failed: is there a host that Slurm has taken away? A failure to ask is logged.
  void look_for_lost_hosts();

  /// Hosts that are no place for ranks.
  std::set<std::string> excluded(clock::time_point now) const;

  /// Hosts other than the batch host that are fit, in Slurm's order; none where hosts are not asked.
  std::vector<std::string> fit_others(clock::time_point now) const;

private:
  void prepare_probe();

  std::optional<allocation> given_;
  ask_function ask_;
  std::optional<host_probe> probe_;  ///< in an allocation of several hosts, once Slurm has said the port
  host_records records_;
  std::set<std::string> silent_;  ///< that did not answer when last looked at
  std::set<std::string> lost_;    ///< that the job no longer has
};

}  // namespace troupe::actors
