/// What ranks tell each other of a rollout: the sequences that the policy has finished, and what the scorers say of them.
/// Both go to all ranks, so that each assembles the same experience.
#pragma once

#include "actors/protocol/rank_data.hpp"
#include "engine/parallel/communicator.hpp"

#include <cstddef>
#include <map>
#include <span>
#include <vector>

namespace troupe::actors {

struct scored_sequence {
  sequence_handle sequence;
  std::map<scorer, scores_handle> scores;
};

/// By sequence id.
using rollout = std::vector<scored_sequence>;

std::vector<std::byte> to_bytes(std::span<const sequence_handle> sequences);
std::vector<std::byte> to_bytes(std::span<const scores_handle> scores);

/// Errors  bad_file: the bytes are not those of sequences, or scores.
std::vector<sequence_handle> sequences_of(std::span<const std::byte> bytes);
std::vector<scores_handle> scores_of(std::span<const std::byte> bytes);

/// Those of all ranks, sequences by their ids. Collective.   Errors  lost_peer.
std::vector<sequence_handle> gather(engine::communicator& group, std::vector<sequence_handle> mine);
std::vector<scores_handle> gather(engine::communicator& group, std::vector<scores_handle> mine);

}  // namespace troupe::actors
