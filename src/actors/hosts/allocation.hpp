/// What Slurm gave to this job: which hosts, with how many cores, and how to ask it about them. Nothing is run here.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::actors {

using environment = std::map<std::string, std::string>;

/// This process's own.
environment current_environment();

/// Slurm's notation of node names: "node[1-3,7],gpu[008-011]-ib,rack[0-1]n[1-2],login". Order is kept, leading zeros
/// too; several brackets in a name vary like digits, the last fastest.
/// Errors  bad_argument with the position: empty names, open or nested brackets, falling ranges, numbers of more than 9
///         digits, more than 65,536 names in all.
std::vector<std::string> expand_hosts(std::string_view list);

/// Slurm's notation of counts per node: "2(x3),1" is 2, 2, 2, 1. Counts and repeats are from 1 to 1,000,000.
/// Errors  bad_argument with the position, also for more than 65,536 counts.
std::vector<int64_t> expand_counts(std::string_view list);

/// Slurm's notation of --gpus-per-node: "4", "h100:4", "h100:2,a100:1" is 3 in all; a type without a number is 1.
/// Errors  bad_argument with the position.
int64_t sum_of_cards(std::string_view list);

/// What Slurm gave to this job.
struct allocation {
  std::string job_id;
  std::vector<std::string> hosts;  ///< never empty, each once
  std::vector<int64_t> cpus;       ///< of each host, at least 1
  int64_t cpus_per_task = 0;       ///< the user's --cpus-per-task; 0: not given
  std::string batch_host;          ///< where the batch script, and so the supervisor, runs; empty: not on one of hosts
  int64_t restarts = 0;            ///< how often the job was requeued
  int64_t cards_per_host = 0;      ///< the user's --gpus-per-node; 0: not given
  bool has_cards = false;          ///< cards were given, however they were asked for
  bool cards_per_rank = false;     ///< --gpus-per-task: each rank is shown cards of its own, counted from 0
};

/// None outside of Slurm: no SLURM_JOB_ID, or this alone, as some shells inherit it or people set it to name a job.
/// Reads SLURM_JOB_NODELIST, SLURM_JOB_CPUS_PER_NODE or else SLURM_CPUS_ON_NODE, SLURM_CPUS_PER_TASK, SLURMD_NODENAME,
/// SLURM_RESTART_COUNT, SLURM_GPUS_PER_NODE, SLURM_GPUS_PER_TASK, SLURM_GPUS_ON_NODE, SLURM_JOB_GPUS.
/// Errors  bad_argument naming the variable: counts that do not match the nodes, not a number.
std::optional<allocation> read_allocation(const environment& variables);

/// Prints the job's state, or why Slurm cannot tell it.
std::vector<std::string> state_command(const allocation& given);

/// Whether `said`, what state_command prints, tells that the job is over. Then this process only has its environment: a
/// shell, or a terminal of tmux, that was begun within the job has outlived it.
bool is_over(std::string_view said);

/// Prints the hosts that the job still has: Slurm takes one that it finds DOWN away for good.
std::vector<std::string> hosts_command(const allocation& given);

/// Prints Slurm's configuration, the port of its daemons among it (host_probe.hpp).
std::vector<std::string> config_command(std::chrono::seconds patience);

/// Puts the job back into the queue: same id, same command, SLURM_RESTART_COUNT one higher. This ends the step and the
/// batch script that it is called from. May fail for a moment ("try again"): retry.
std::vector<std::string> requeue_command(const allocation& given);

}  // namespace troupe::actors
