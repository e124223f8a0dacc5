/// From the job's options to the engine's settings: the one place where the two vocabularies meet. Settings that need
/// no model are in plan_options.hpp.
#pragma once

#include "engine/generate/generator.hpp"
#include "engine/objectives/importance.hpp"
#include "engine/objectives/pairwise.hpp"
#include "engine/optim/learner.hpp"
#include "engine/parallel/between_cards.hpp"
#include "engine/train/experience.hpp"
#include "io/job/job.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::actors {

engine::sampling_settings sampling_of(const io::generation_section& generation);

/// The temperature that training's log-probabilities use: the rollout's; greedy has 1.
float training_temperature(const engine::sampling_settings& sampling);

/// What the rollouts of a phase draw for each prompt, and the memory that they may take. Evaluations sample held-out
/// prompts; they have a seed of their own, so that they are independent of the rollouts that were learned from, and
/// the same before and after training.
struct rollout_options {
  engine::sampling_settings sampling;
  int64_t training_samples = 1, evaluation_samples = 1;  ///< answers to each prompt
  int64_t new_tokens = 0;                                ///< of an answer, at most
  uint64_t training_seed = 0, evaluation_seed = 0;
  std::vector<std::string> stop;  ///< texts that end an answer
  int64_t cache_mib = 0, step_tokens = 0;

  int64_t samples(bool evaluation) const { return evaluation ? evaluation_samples : training_samples; }
  uint64_t seed(bool evaluation) const { return evaluation ? evaluation_seed : training_seed; }
};
rollout_options rollout_of(const io::job& job, io::phase phase);

/// `shape`: of the model whose keys and values the cache holds, `cached`: their type.
engine::generator_settings generator_settings_of(const rollout_options& rollout, const engine::model_description& shape,
                                                 dtype cached);

/// The batches that a phase's loader makes.
struct batch_options {
  uint64_t seed = 1;
  bool pairs = false;       ///< every record is a pair of sequences
  bool all_tokens = false;  ///< prompts are learned too, not answers alone
  int64_t training = 0;     ///< records of an update
  int64_t micro_batch_tokens = 1;
  int64_t held_out = 0;          ///< records of an evaluation, at most
  int64_t prompts = 0;           ///< of an iteration
  int64_t held_out_prompts = 0;  ///< of an evaluation, at most
  int64_t mixture = 0;           ///< records that are mixed into an update of PPO
  int64_t mixture_micro_batch_tokens = 1;
};
batch_options batches_of(const io::job& job, io::phase phase);

engine::adamw_settings adamw_of(const io::optimizer_options& options);
/// How arrays on cards go from rank to rank; nobody is told yet.
engine::exchange_settings exchange_of(const io::job& job);
engine::pair_settings pair_loss_of(const io::reward_section& reward);
engine::policy_settings policy_loss_of(const io::ppo_section& ppo, double kl_coefficient);
engine::value_settings value_loss_of(const io::ppo_section& ppo);
engine::loss_mean loss_mean_of(const io::ppo_section& ppo);
engine::importance_settings importance_of(const io::replay_section& replay);
engine::experience_settings experience_of(const io::ppo_section& ppo, double kl_coefficient);

}  // namespace troupe::actors
