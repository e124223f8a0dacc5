/// What Slurm's queue says of a run's job, and its partitions of themselves.
#pragma once

#include <string>

namespace troupe {

struct queued_job {
  std::string id;
  bool asked = false;  ///< Slurm has answered
  std::string state;   ///< "PENDING"; empty: it is not in the queue any more, or Slurm was not asked
  std::string detail;  ///< "Priority", or where it runs
  bool waits_or_runs() const { return !state.empty() && state != "COMPLETING"; }
};

/// Asks squeue. Where there is none, or it has no answer, nothing but the number is known.
queued_job ask_queue(const std::string& id);

/// Reads what squeue printed (queue_command): the job's line, or nothing.
queued_job parse_queue(const std::string& id, const std::string& line);

/// "4711, PENDING (Priority)".
std::string describe(const queued_job& job);

/// A line for each partition: its nodes, and what each has. Empty: sinfo does not tell.
std::string partitions_text();

}  // namespace troupe
