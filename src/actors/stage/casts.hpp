/// The cast of each phase on this rank: loads what the phase needs, and spawns its actors. Collective: all ranks make
/// the same cast at the same time. Handles of parts that are on other ranks, or that the phase does not have, are
/// null.
/// Errors  those of phase_loading and model_fit.hpp; lost_peer.
#pragma once

#include "actors/protocol/messages.hpp"
#include "actors/stage/cast_builder.hpp"

namespace troupe::actors {

/// Preference pairs from the policy's own samples: a policy that generates, one reward source that judges, replay.
cast make_pairs_cast(cast_builder& build);

/// Supervised fine-tuning: a policy that learns from text.
cast make_sft_cast(cast_builder& build);

/// Reward model: it learns from preference pairs.
cast make_reward_cast(cast_builder& build);

/// PPO: policy, critic, reference and reward, each on the ranks that the job gives it; replay on all.
cast make_ppo_cast(cast_builder& build);

/// Replay: policy and critic, which learn from the experience that another run's ppo phase has stored.
/// Errors  those of io::replayed_run.
cast make_replay_cast(cast_builder& build);

}  // namespace troupe::actors
