/// The batch script of a job, as `troupe submit` writes it.
#pragma once

#include "io/job/job.hpp"
#include "jobs/job_plan.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What the user asked for; zero and empty: not said.
struct submit_request {
  int64_t nodes = 1;
  int64_t ranks_per_node = 0;
  int64_t cpus_per_rank = 0;
  int64_t memory_gib = 0;  ///< of a node
  std::string time;        ///< as Slurm writes it
  std::string partition, account;
  double gflops = 0;                ///< that a rank sustains; 0: it is to be found out
  int64_t signal_lead_s = 120;      ///< before the time is over, USR1
  std::vector<std::string> sbatch;  ///< further options, "--qos=high"
  std::string setup;                ///< lines of shell, before anything of ours: `module load` and the like
};

/// What a node needs with the ranks packed on those that are left.
struct memory_step {
  int64_t nodes_left = 1;
  int64_t memory_gib = 1;
};

struct batch_job {
  int64_t ranks = 1;
  int64_t nodes_least = 1, nodes_most = 1;
  int64_t ranks_per_node = 1;  ///< at full strength
  int64_t ranks_packed = 1;    ///< on a node when as few are left as the job goes on with
  int64_t cpus_per_rank = 8;
  int64_t memory_gib = 1;  ///< of a node
  std::string memory_reason;
  std::vector<memory_step> memory_steps;  ///< from all nodes down to one, each where it changes; empty: says nothing
  int64_t open_files = 0;                 ///< of a process; 0: as many as every process has
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
};

/// The job's ranks: nodes * ranks_per_node where that is given; else place.ranks; else one a node.
int64_t ranks_for(const io::job& job, const submit_request& request);

/// Files that the supervisor's process may have open: three for each rank and for the guard of each node, a quarter of
/// all for handshakes under way (docs/security.md), and its own.
int64_t open_files_for(int64_t ranks, int64_t nodes);

/// The job's place.min-nodes; where it says nothing, one node of several may be lost.
int64_t least_nodes_for(const io::job& job, const submit_request& request);

/// Resources from the plan of the job, whose place.ranks is ranks_for and place.min-nodes least_nodes_for. Memory: what
/// the plan says of a rank that holds the most, times the ranks of a node when as few nodes are left as place.min-nodes
/// allows, and a tenth; with place.shrink of as few ranks as the job goes on with (each holds a larger shard then), at
/// full strength of a node. Time: as asked for; else the plan's operations at the best pace that is known (pace.hpp), a
/// quarter more and ten minutes; four hours where the data of a phase that goes by epochs are not here.
/// Errors  bad_argument: fewer nodes than place.min-nodes; those of plan_job.
batch_job plan_batch_job(const io::job& job, const submit_request& request);

/// A word for the shell, quoted where it needs to be.
std::string shell_word(std::string_view text);

/// The whole script: resources with the reason for each, the user's set-up, the command, and the handling of signals
/// (the functions of slurm/troupe.sh, word for word).
std::string batch_script(const batch_job& job, const script_origin& origin);

}  // namespace troupe
