/// What `troupe submit` is asked for on its command line.
#pragma once

#include "io/job/job.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// What the user asked for. Zero and empty: not said.
struct submit_request {
  int64_t nodes = 1;
  int64_t ranks_per_node = 0;
  int64_t gpus_per_node = 0;  ///< cards, each of which a rank takes
  int64_t cpus_per_rank = 0;
  int64_t memory_gib = 0;  ///< of a node
  std::string time;        ///< as Slurm writes it
  std::string partition, account;
  double gflops = 0;                ///< that a rank sustains; 0: it is to be found out
  int64_t signal_lead_s = 120;      ///< before the time is over, USR1
  std::vector<std::string> sbatch;  ///< further options, "--qos=high"
  std::string setup;                ///< lines of shell, before anything of ours: `module load` and the like
};

/// Takes the command's own options out of the arguments; what is left is the job's. Reads the file of --setup.
/// Errors  usage_error, naming the option: a value that is missing or cannot be; an option that is neither this
///         command's nor a job's.
submit_request take_request(std::vector<std::string>& arguments);

/// That cards are asked of Slurm where the job runs on them, one for each rank, and nowhere else.
/// Errors  usage_error.
void require_cards(const io::job& job, const submit_request& request);

/// The job's ranks: nodes * ranks_per_node where that is given; else place.ranks; else one for each card, or a node.
int64_t ranks_for(const io::job& job, const submit_request& request);

/// The job's place.min-nodes; where it says nothing, one node of several may be lost. Of nodes with cards as many must
/// be left as have one for each rank, but where ranks may become fewer (place.shrink).
int64_t least_nodes_for(const io::job& job, const submit_request& request);

/// The arguments of `troupe run`: the user's own, of which the first is the job file, and what is settled here: the
/// number of ranks that they come to, and how few nodes may be left, by which memory was asked for.
std::vector<std::string> run_arguments(std::vector<std::string> arguments, const io::job& job,
                                       const submit_request& request);

/// As the job file is called. What a line of the script or Slurm's lists cannot show becomes "-".
std::string job_name(const std::string& job_file);

}  // namespace troupe
