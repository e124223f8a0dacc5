/// Is it one host that makes ranks crash (bad memory, a broken device, a full disk of its own)? When an attempt ends
/// because ranks of one host died before all others, the crash counts against that host. It is left out where it
/// crashes again and no other host does: after two crashes without a new checkpoint between them, since these cost the
/// run its restarts, and from the third on in any case, since each costs time. A crash on another host ends the series:
/// what crashes everywhere is the job's own failure, and no host's.
///
/// Fed with what comes and the time at which it came; no thread, no actor.
#pragma once

#include "actors/hosts/host_records.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace troupe::actors {

class crash_watch {
public:
  using clock = host_records::clock;

  /// The connection to a rank on this host was lost. `unforeseen`: the attempt was not being ended for another reason.
  /// The first such loss of an attempt counts. Later ones tell of ranks that died at the same time where they come at
  /// once, else of those that their launcher ended with the first, be the attempt judged by then or not.
  void note_lost(const std::string& host, bool unforeseen, clock::time_point now);

  /// There is a new checkpoint, or a phase is finished.
  void note_progress();

  struct crash {
    std::string host;
    int64_t in_a_row = 0;  ///< of this host, none of another in between; 1: the first
    std::string verdict;   ///< "left out for 60 s", "left out for good"; empty: not yet
  };
  /// The attempt has ended: what it says against a host. None: its ranks did not die, or on several hosts at once.
  std::optional<crash> conclude(clock::time_point now);

  /// Hosts that should get no ranks, as long as there are enough others (leave_out in launcher.hpp).
  std::set<std::string> doubtful(clock::time_point now) const { return records_.excluded(now); }

  /// Hosts on which ranks have crashed since the last progress.
  const std::set<std::string>& hosts() const { return hosts_; }

private:
  std::set<std::string> dead_;  ///< hosts whose ranks died first, in this attempt
  clock::time_point died_;
  std::string last_host_;
  int64_t in_a_row_ = 0, since_progress_ = 0;  ///< crashes of last_host_
  std::set<std::string> hosts_;
  host_records records_;
};

}  // namespace troupe::actors
