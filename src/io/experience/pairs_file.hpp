/// Preference pairs that a run makes of its own samples: <run>/pairs/part-NNNNNN.jsonl, one for each iteration, and
/// joined, when all are there, pairs.jsonl (data format `pairs`).
#pragma once

#include "io/run/run_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace troupe::io {

struct preference_text {
  std::string prompt, chosen, rejected;
  double chosen_reward = 0, rejected_reward = 0;
};

std::filesystem::path pairs_file(const run_directory& run);

/// Writes an iteration's part, complete or not at all.
/// Errors  io_failure, those of the fence.
void write_pairs_part(const run_directory& run, int64_t iteration, std::span<const preference_text> pairs,
                      const attempt_fence& fence);

/// How many parts there are, counted from the first without a gap: where to go on.
int64_t count_pairs_parts(const run_directory& run);

/// Joins the first `parts` parts.
/// Errors  not_found, io_failure, those of the fence.
void join_pairs_parts(const run_directory& run, int64_t parts, const attempt_fence& fence);

}  // namespace troupe::io
