/// The batch script of a job, as `troupe submit` writes it.
#pragma once

#include "io/job/job.hpp"
#include "jobs/submit_request.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// The memory that a node needs when all ranks run on the nodes that are left.
struct memory_step {
  int64_t nodes_left = 1;
  int64_t memory_gib = 1;
};

/// What is asked of Slurm, and why.
struct batch_job {
  int64_t ranks = 1;
  int64_t nodes_least = 1, nodes_most = 1;
  int64_t ranks_per_node = 1;  ///< at full strength
  int64_t ranks_packed = 1;    ///< on a node when as few are left as the job goes on with
  int64_t gpus_per_node = 0;   ///< cards, of which a node has no fewer than ranks; 0: the job runs on CPUs
  int64_t cpus_per_rank = 8;
  int64_t memory_gib = 1;  ///< of a node
  std::string memory_reason;
  std::vector<memory_step> memory_steps;  ///< from all nodes down to one, each where it changes; empty: says nothing
  int64_t open_files = 0;                 ///< of a process; 0: as many as every process has
  double time_s = 0;                      ///< 0: as asked for, or a guess
  std::string time;
  std::string time_reason;
  std::string partition, account;
  int64_t signal_lead_s = 120;
  std::vector<std::string> sbatch;
  std::string setup;
};

/// Where the script comes from, and what it runs.
struct script_origin {
  std::string name;                  ///< of the job in Slurm's lists
  std::string run_dir, program;      ///< absolute
  std::string folder;                ///< that the command is run in
  std::vector<std::string> command;  ///< the arguments of `troupe run`
  int64_t array = 0;  ///< above 0: so many tasks, and the command is a folder with jobs 0.ini, 1.ini, ...
  std::string by = "troupe submit";    ///< whose script it is
  std::string file = "submit.sbatch";  ///< its name in run_dir
};

/// How many files the supervisor's process must be allowed to have open: three for each rank and for the guard of each
/// node, its own, and a quarter of the limit for handshakes under way (docs/security.md).
int64_t open_files_for(int64_t ranks, int64_t nodes);

/// What to ask of Slurm for a job, whose place.ranks is ranks_for and place.min-nodes least_nodes_for.
///   memory  of a node: that of the rank which holds the most, by plan_job, times the ranks of a node when only
///           place.min-nodes are left, and a tenth. With place.shrink ranks are not packed but become fewer, and
///           each holds a larger shard.
///   time    as asked for; else what the plan's operations take at the best pace that is known (pace.hpp), a quarter
///           more and ten minutes; else, where a phase goes by epochs of data that are not here, four hours.
/// Errors  bad_argument: fewer nodes than place.min-nodes; those of plan_job.
batch_job plan_batch_job(const io::job& job, const submit_request& request);

/// What serves any of several jobs: the memory, cores, files and time of the one that needs most of it. There is at
/// least one.
/// Errors  those of plan_batch_job.
batch_job plan_batch_array(const std::vector<io::job>& jobs, const submit_request& request);

/// The whole script: what is asked of Slurm and why, the user's set-up, the command, and how signals are handled (the
/// functions of slurm/troupe.sh, word for word).
/// Errors  bad_argument: the path of the job file or of the run directory has a control character.
std::string batch_script(const batch_job& job, const script_origin& origin);

}  // namespace troupe
