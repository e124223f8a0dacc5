/// What a job will take: models, memory, disk and work of each phase, from the models' config.json alone.
#pragma once

#include "io/job.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

struct planned_model {
  std::string name;  ///< "policy", "critic", ...
  int64_t parameters = 0;
};

struct planned_memory {
  std::string name;  ///< "policy gradients", "keys and values", ...
  int64_t bytes = 0;
};

struct phase_plan {
  std::string phase;
  std::string unit;  ///< "update" or "iteration"
  std::vector<planned_model> models;
  std::vector<planned_memory> memory;  ///< of a rank; what is held at the same time
  int64_t checkpoint_bytes = 0;        ///< one checkpoint on disk, and its copy in memory
  int64_t experience_bytes = 0;        ///< files of experience that the phase leaves, at most
  double flops_each = 0;               ///< per update or iteration
  int64_t count = 0;                   ///< updates or iterations; 0: as many as the data say

  int64_t peak_bytes() const;
};

/// The phases in the job's order. Allocates nothing that grows with a model.
/// Errors  not_found: a model without config.json, all of them named; bad_file, unsupported: from a config.json.
std::vector<phase_plan> plan_job(const io::job& job);

/// Disk that the run directory takes at most while all phases run: the checkpoints kept and the one being written of the
/// phase that has the largest, the finished models and the experience.
int64_t run_directory_bytes(const io::job& job, const std::vector<phase_plan>& plans);

}  // namespace troupe
