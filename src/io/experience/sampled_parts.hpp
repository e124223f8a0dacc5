/// What a rollout has finished so far, durable while the rollout goes on: small files in <run>/rollouts, which the next
/// attempt takes up if this one ends before its iteration is in a checkpoint.
#pragma once

#include "io/files/attempt_fence.hpp"
#include "io/run/run_directory.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {

/// What the tokens of a rollout are a function of. Parts of another key are no use to it.
struct rollout_key {
  std::string job_digest;
  uint64_t draw = 0;       ///< iterations before it
  uint64_t rollbacks = 0;  ///< of the phase, so far: each changes how fast the weights move

  bool operator==(const rollout_key&) const = default;
};

/// Who wrote a part, and which of its parts of this rollout it is.
struct part_name {
  int64_t attempt = 0;
  int rank = 0;
  int64_t number = 0;

  auto operator<=>(const part_name&) const = default;
};

/// Writes a part, complete or not at all. `sequences` are bytes that the caller can read again.
/// Errors  io_failure; those of the fence.
void write_sampled_part(const run_directory& run, const rollout_key& key, const part_name& name,
                        std::span<const std::byte> sequences, const attempt_fence& fence);

struct sampled_parts {
  std::vector<std::vector<std::byte>> sequences;  ///< of each part
  std::vector<std::string> damaged;               ///< what is wrong with parts that were passed over
};

/// What attempts before this one have written of the rollout, in the order of their names: the same on every rank,
/// since attempts that are over write nothing. Parts of another key are passed over without a word.
/// Errors  io_failure: a part cannot be read.
sampled_parts read_sampled_parts(const run_directory& run, const rollout_key& key, int64_t attempt);

/// Removes the parts of the rollouts before `draw`: their iterations are in a checkpoint.
/// Errors  io_failure; those of the fence.
void remove_sampled_parts(const run_directory& run, uint64_t draw, const attempt_fence& fence);

}  // namespace troupe::io
