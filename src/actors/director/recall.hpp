/// Stored rollouts: one that another run has stored, in the place of one that is generated and scored; and answers of
/// earlier iterations, beside either.
#pragma once

#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>

namespace troupe::actors {

/// Has replay take up the command's file on every rank. What is assembled next is this rollout. Returns the time.
/// Errors  those of recall_atom (interfaces.hpp).
task<statistics> recall(director_context& on, recall_command stored);

/// Has replay take up some answers of the iterations before this one, where the job mixes them in. `from`: the run that
/// has stored them. Returns what was taken, and the time; nothing where nothing is mixed in.
/// Errors  not_found: an iteration's file is not there; those of mix_atom.
task<statistics> mix_in(director_context& on, const io::run_directory& from, uint64_t iteration);

/// Has the policy say what it would give the answers that have been taken up, where the phase's cast has somebody who
/// asks it. Returns time and rate.
task<statistics> score_by_policy(director_context& on);

}  // namespace troupe::actors
