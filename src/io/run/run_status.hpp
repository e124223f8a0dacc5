/// How a run stands, from what lies in its directory: job.ini, ledger.jsonl, metrics.jsonl, checkpoints and the lock.
/// May be called while the run goes on: it writes nothing, hinders no supervisor, and leaves out a line that is not
/// complete yet.
#pragma once

#include "io/run/run_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe::io {

enum class run_state {
  running,      ///< a supervisor holds the lock
  finished,     ///< every phase
  stopped,      ///< on request; the same command line goes on
  failed,       ///< with an error of its own
  interrupted,  ///< the supervisor ended without a word; the same command line goes on
  not_started,
};
const char* to_string(run_state state);

struct run_failure {
  double time = 0;  ///< Unix time in seconds
  int64_t attempt = 0;
  std::string kind;         ///< the ledger's event: "worker_failed", "card_suspected", "checkpoint_damaged", ...
  int64_t rank = -1;        ///< negative: not of one rank, or not known
  std::string host;         ///< empty: not known
  int64_t card = -1;        ///< of that host; negative: not of a card
  std::string actor;        ///< of the rank that was at work; empty: not known, or none was
  std::string operation;    ///< what it was in; empty: not known
  std::string reason;       ///< empty: not known
  double recovered_s = -1;  ///< until ranks worked again; negative: they have not, or it needed none
};

struct standing_checkpoint {
  std::string folder;  ///< relative to the run: "checkpoints/ppo/iteration-000020"
  std::string phase, unit;
  int64_t counter = 0;
  double time = 0;  ///< Unix time of its manifest
};

/// The best checkpoint so far of the phase that the newest checkpoint belongs to, by the run's own evaluations.
struct best_checkpoint {
  std::string folder;  ///< relative to the run
  std::string metric;  ///< as in metrics.jsonl
  double value = 0;
};

struct run_status {
  std::filesystem::path root;
  run_state state = run_state::not_started;
  std::string reason;                       ///< of a failed run, or why it stopped
  std::string holder;                       ///< who holds the lock: "pid 7 on node1"; empty: nobody
  std::string slurm_job;                    ///< its number; empty: none, or the run was started without
  std::vector<std::filesystem::path> logs;  ///< what it has said: its own, then the batch job's; those that there are

  std::vector<std::string> phases, finished_phases;  ///< in the job's order
  std::string phase;                                 ///< the one under way, or the last one; empty: none has begun
  std::string unit;                                  ///< what it counts: "update" or "iteration"
  int64_t counter = 0;                               ///< done in it, by the last record
  std::optional<int64_t> total;                      ///< absent: as many as its epochs give
  std::optional<double> per_second;                  ///< of this attempt's last records; absent before the second one
  std::optional<double> seconds_left;                ///< of the phase, at that rate
  std::optional<double> last_record;                 ///< Unix time

  int64_t attempt = 0;
  int64_t ranks = 0;     ///< of the last attempt; 0: none yet
  std::string hosts;     ///< as the ledger names them; empty: this one
  std::string launcher;  ///< empty: not told
  std::optional<standing_checkpoint> checkpoint;
  std::optional<best_checkpoint> best;     ///< absent: no evaluation yet, or run.keep-best is off
  int64_t failures = 0, recoveries = 0;    ///< in all
  std::vector<run_failure> last_failures;  ///< oldest first, and hosts that were suspected for them
};

/// `most_failures`: of last_failures.
/// Errors  not_found, bad_argument (not a run), bad_file: a complete line, or the job, that cannot be read.
run_status read_run_status(const std::filesystem::path& root, size_t most_failures = 5);

/// What a supervisor has written into the lock ("pid 7 on node1") if one holds it now; empty: none does.
/// Takes the lock in shared mode for an instant.
std::string lock_holder(const run_directory& run);

}  // namespace troupe::io
