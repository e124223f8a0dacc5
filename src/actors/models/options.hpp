/// From the job's options to the engine's settings: the one place where the two vocabularies meet. Settings that need no
/// model are in plan_options.hpp.
#pragma once

#include "engine/generate/generator.hpp"
#include "engine/objectives/pairwise.hpp"
#include "engine/optim/learner.hpp"
#include "engine/train/experience.hpp"
#include "io/job/job.hpp"

#include <cstdint>

namespace troupe::actors {

/// Evaluations draw with a seed of their own, so that they are independent of the rollouts that were learned from, and
/// the same before and after training.
inline constexpr uint64_t evaluation_seed_offset = 0x5EED'0000'0000ULL;

engine::sampling_settings sampling_of(const io::generation_section& generation);

/// The temperature that training's log-probabilities use: the rollout's; greedy has 1.
float training_temperature(const engine::sampling_settings& sampling);

/// `shape`: of the model whose keys and values the cache holds.
engine::generator_settings generator_settings_of(const io::generation_section& generation,
                                                 const engine::model_description& shape);

engine::adamw_settings adamw_of(const io::optimizer_options& options);
engine::pair_settings pair_loss_of(const io::reward_section& reward);
engine::policy_settings policy_loss_of(const io::ppo_section& ppo, double kl_coefficient);
engine::value_settings value_loss_of(const io::ppo_section& ppo);
engine::loss_mean loss_mean_of(const io::ppo_section& ppo);
engine::experience_settings experience_of(const io::ppo_section& ppo, double kl_coefficient);

}  // namespace troupe::actors
