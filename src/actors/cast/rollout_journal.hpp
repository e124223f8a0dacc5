/// A rank's journal of a rollout: the sequences that it has finished are made durable every few seconds, and those that
/// earlier attempts had finished are found again. What an attempt that ends has sampled is not lost.
#pragma once

#include "actors/protocol/rank_data.hpp"
#include "base/stopwatch.hpp"
#include "io/experience/sampled_parts.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace troupe::actors {

struct journal_settings {
  io::run_directory run;
  std::string job_digest;
  uint64_t attempt = 0;  ///< may write only while it is the run's
  int rank = 0;          ///< of those that write
  double every_s = 5;    ///< 0: nothing is written
};

class rollout_journal {
public:
  explicit rollout_journal(journal_settings settings) : settings_(std::move(settings)) {}

  /// A rollout begins. Returns what earlier attempts have finished of it, by sequence id: the same on every rank.
  /// Errors  io_failure.
  std::map<uint64_t, sequence_handle> begin(const example_batch& prompts, uint64_t rollbacks);

  void add(const sequence_handle& finished) { unsaved_.push_back(finished); }

  /// Writes what has been added since the last part, if that is long enough ago, or the rollout has ended.
  /// Errors  io_failure, interrupted.
  void save(bool ended);

private:
  journal_settings settings_;
  io::rollout_key key_;
  int64_t parts_ = 0;  ///< written of this rollout
  stopwatch since_last_;
  std::vector<sequence_handle> unsaved_;
};

}  // namespace troupe::actors
