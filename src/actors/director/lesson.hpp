/// The second half of a PPO iteration, wherever its experience came from: policy and critic learn from it, and the KL's
/// coefficient follows what it has shown.
#pragma once

#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

#include <cstdint>
#include <string>

namespace troupe::actors {

/// Learns from what has been assembled, and fills in what the iteration's record is to say of it.
/// Errors  not_finite: the policy has gone too far from the reference (ppo.max-kl), or gradients are not finite.
task<> learn_lesson(director_context& on, uint64_t iteration, assemble_reply assembled, metrics_record& line);

/// The iteration's mean reward as progress shows it; it may be that no answer could be judged.
std::string shown_reward(const statistics& of);

}  // namespace troupe::actors
