/// The numbers of a phase's state (phase_state::values) in a checkpoint: reals of the first rank's file. Where the
/// checkpoint is the one that a run was forked at, its manifest has those that begin anew with the fork's job: files of
/// ranks stay as they were written.
#pragma once

#include "actors/protocol/messages.hpp"
#include "base/keys.hpp"
#include "io/checkpoint/checkpoint.hpp"

namespace troupe::actors {

void add_state(const statistics& values, io::checkpoint_content& to);

/// Errors  those of the reader.
statistics stored_state(const io::checkpoint_reader& from);

/// Counters of a manifest, by which a checkpoint that holds `then` is read as `now`.
key_map counters_of_change(const statistics& then, const statistics& now);

}  // namespace troupe::actors
