/// What a rank's stage is given by its worker.
#pragma once

#include "actors/cast/device.hpp"
#include "engine/parallel/communicator.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace troupe::actors {

struct stage_settings {
  io::job job;
  io::run_directory run;
  uint64_t attempt = 0;
  device_ptr on;
  std::function<std::unique_ptr<troupe::device>()> open_card;  ///< empty: it computes on the host's threads
  std::function<std::unique_ptr<engine::world>()> join;        ///< makes this process one of the job's ranks
};

}  // namespace troupe::actors
