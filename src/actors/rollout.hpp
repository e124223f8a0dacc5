/// A rollout as replay collects it: sequences with what the scorers say of them, on the rank that generated them; then
/// gathered, so that every rank assembles the same experience.
#pragma once

#include "actors/material.hpp"
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

std::vector<std::byte> to_bytes(const rollout& sequences);

/// Errors  bad_file: the bytes are not those of a rollout.
rollout rollout_of(std::span<const std::byte> bytes);

/// The rollouts of all ranks as one. Collective.   Errors  lost_peer.
rollout gather_rollout(engine::communicator& group, rollout mine);

}  // namespace troupe::actors
