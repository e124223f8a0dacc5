/// What a job will take: models, memory, disk and work of each phase, from the models' config.json alone.
#pragma once

#include "io/job/job.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

struct planned_model {
  std::string name;  ///< "policy", "critic", ...
  int64_t parameters = 0;
};

/// When memory is held: always, or in one part of the work only. One part
/// has given its memory back when the next begins.
enum class held_in { always, rollout, policy_update, critic_update, saving };

struct planned_memory {
  std::string name;   ///< "policy gradients", "keys and values", ...
  int64_t bytes = 0;  ///< of the host
  held_in when = held_in::always;
  int64_t card_bytes = 0;  ///< where the job runs on cards
};

/// Of a rank: the host's memory, and that of its card.
enum class memory_kind { host, card };

/// Ranks that hold the same things: all of them, unless [place] gives models ranks of their own.
struct rank_plan {
  std::vector<int64_t> ranks;
  std::vector<planned_memory> memory;  ///< of each

  /// What is always held, and the most that a part of the work needs besides.
  int64_t bytes(memory_kind of = memory_kind::host) const;
  /// That part of the work; `always`: none needs anything besides.
  held_in fullest(memory_kind of) const;
};

struct phase_plan {
  std::string phase;
  std::string unit;  ///< "update" or "iteration"
  std::vector<planned_model> models;
  bool on_cards = false;
  std::vector<rank_plan> ranks;  ///< those that hold the most of the host first
  int64_t checkpoint_bytes = 0;  ///< one checkpoint on disk; ranks' copies in memory together
  int64_t checkpoints = 0;       ///< on disk at most: those kept, the best and the one being written
  int64_t experience_bytes = 0;  ///< files of experience that the phase leaves, at most
  double flops_each = 0;         ///< per update or iteration, of all ranks together
  int64_t count = 0;             ///< updates or iterations; 0: as many as the data say

  int64_t peak_bytes() const { return fullest(memory_kind::host).bytes(); }  ///< of a rank that holds the most
  int64_t card_peak_bytes() const { return fullest(memory_kind::card).bytes(memory_kind::card); }
  const rank_plan& fullest(memory_kind of) const;  ///< the ranks that do
};

/// The phases in the job's order, on place.ranks ranks. Allocates nothing that grows with a model.
/// Errors  not_found: a model without config.json, all of them named; bad_file, unsupported: from a config.json.
std::vector<phase_plan> plan_job(const io::job& job);

/// The least generation.cache-mib that holds the longest sequence which the policy writes in any phase, on a card; 0:
/// it writes none.
int64_t least_cache_mib(const io::job& job);

/// Disk that the run directory takes at most while all phases run: the checkpoints kept and the one being written of
/// the phase that has the largest, the finished models and the experience.
int64_t run_directory_bytes(const io::job& job, const std::vector<phase_plan>& plans);

}  // namespace troupe
