/// Where a run's processes meet: the name by which ranks and guards reach the supervisor, and what it listens on.
#pragma once

#include "io/job/job.hpp"

#include <cstdint>
#include <string>

namespace troupe::actors {

struct control_place {
  std::string host;     ///< that ranks connect to
  std::string address;  ///< that the supervisor listens on: a name or address of this host, or every one
  uint16_t port = 0;    ///< 0: one that the system chooses
};

/// `on_nodes`: ranks may be on other hosts; else they are on this one, and no other host need reach it. `here`: this
/// host's own name, which stands for each %h in recovery.control-host. Where the job names a host so, the supervisor
/// listens on the network of that name alone.
control_place control_place_of(const io::recovery_section& options, bool on_nodes, const std::string& here);

}  // namespace troupe::actors
