#include "actors/cast/rollout_journal.hpp"

#include "actors/cast/rollout.hpp"

#include <spdlog/spdlog.h>

namespace troupe::actors {

std::map<uint64_t, sequence_handle> rollout_journal::begin(const example_batch& prompts, uint64_t rollbacks) {
  key_ = {.job_digest = settings_.job_digest, .draw = prompts.draw, .rollbacks = rollbacks};
  parts_ = 0;
  unsaved_.clear();
  since_last_ = stopwatch();
  const io::sampled_parts parts = io::read_sampled_parts(settings_.run, key_, static_cast<int64_t>(settings_.attempt));
  for (const std::string& problem : parts.damaged) {
    spdlog::warn("what a part of a rollout held is sampled again: {}", problem);
  }
  std::map<uint64_t, sequence_handle> finished;
  for (const std::vector<std::byte>& part : parts.sequences) {
    for (const sequence_handle& sequence : sequences_of(part)) {
      finished[sequence->sequence_id] = sequence;
    }
  }
  return finished;
}

void rollout_journal::save(bool ended) {
  const bool due = ended || since_last_.seconds() >= settings_.every_s;
  if (settings_.every_s <= 0 || unsaved_.empty() || !due) {
    return;
  }
  const auto attempt = static_cast<int64_t>(settings_.attempt);
  io::write_sampled_part(settings_.run, key_, {.attempt = attempt, .rank = settings_.rank, .number = parts_++},
                         to_bytes(unsaved_), settings_.run.fence(attempt));
  unsaved_.clear();
  since_last_ = stopwatch();
}

}  // namespace troupe::actors
