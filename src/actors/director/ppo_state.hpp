/// The numbers of a ppo phase, by their names in its state, which goes into every checkpoint.
#pragma once

#include "actors/protocol/messages.hpp"
#include "io/job/job.hpp"

#include <cstdint>

namespace troupe::actors {

/// The numbers that a phase begins with.
void begin_ppo(phase_state& of, double kl_coefficient);

/// Where a run or a replay goes on from a checkpoint of a job `then` with a job `now`: another ppo.kl-coef or
/// controller begins with its own coefficient, another reward scaling or other rewards with no moments, and with other
/// epochs or minibatches schedules stand at the same share.
void adopt_options(phase_state& of, const io::job& then, const io::job& now);

double kl_coefficient(const phase_state& of);
void set_kl_coefficient(phase_state& of, double coefficient);

/// Minibatches that have been learned from.
uint64_t updates_done(const phase_state& of);
void count_update(phase_state& of);

/// Of these, those that changed the policy. A phase begins with none; a checkpoint that is older than this number took
/// all updates for the policy's.
uint64_t policy_updates_done(const phase_state& of);
void count_policy_update(phase_state& of);

/// Counts the updates done in others of another size: `factor` of the new ones are one of the old.
void scale_updates(phase_state& of, double factor);

/// How often the phase has gone back to a checkpoint. Each halves the learning rates.
double rollbacks(const phase_state& of);
void set_rollbacks(phase_state& of, double number);

/// Running moments of the rewards, as assemble_command has them.
statistics reward_scale(const phase_state& of);
void set_reward_scale(phase_state& of, const statistics& moments);

}  // namespace troupe::actors
