/// Preference pairs that a run makes of its own samples: <run>/pairs/part-NNNNNN.jsonl, one for each iteration, and
/// joined, when all are there, pairs.jsonl. A line has the ids of prompt and answers as they were sampled, the digest
/// by which the prompt was put into a phase, and the rewards; and, for people and other programs, prompt, chosen and
/// rejected as texts (data format `pairs`).
#pragma once

#include "io/run/run_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {

struct made_pair {
  uint64_t prompt_digest = 0;                                 ///< record::prompt_digest
  std::vector<int32_t> prompt_ids, chosen_ids, rejected_ids;  ///< never tokenised again
  std::string prompt, chosen, rejected;                       ///< the same as texts: prompt + chosen is a whole one
  double chosen_reward = 0, rejected_reward = 0;
  bool operator==(const made_pair&) const = default;
};

std::filesystem::path pairs_file(const run_directory& run);

/// Writes an iteration's part, complete or not at all.
/// Errors  io_failure, those of the fence.
void write_pairs_part(const run_directory& run, int64_t iteration, std::span<const made_pair> pairs,
                      const attempt_fence& fence);

/// How many parts there are, counted from the first without a gap: where to go on.
int64_t count_pairs_parts(const run_directory& run);

/// Joins the first `parts` parts.
/// Errors  not_found, io_failure, those of the fence.
void join_pairs_parts(const run_directory& run, int64_t parts, const attempt_fence& fence);

/// The pairs of a part or of the joined file.
/// Errors  not_found; bad_file, with the line, where one has no ids or no digest.
std::vector<made_pair> read_pairs(const std::filesystem::path& path);

}  // namespace troupe::io
