/// From the job's options to the engine's settings: the one place where the two vocabularies meet.
#pragma once

#include "actors/models/model_files.hpp"
#include "engine/generate/generator.hpp"
#include "engine/objectives/pairwise.hpp"
#include "engine/optim/learner.hpp"
#include "engine/optim/schedule.hpp"
#include "engine/train/experience.hpp"
#include "io/datasets/examples.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace troupe::actors {

/// Evaluations draw with a seed of their own, so that they are independent of the rollouts that were learned from, and
/// the same before and after training.
inline constexpr uint64_t evaluation_seed_offset = 0x5EED'0000'0000ULL;

engine::sampling_settings sampling_of(const io::generation_section& generation);

/// The temperature that training's log-probabilities use: the rollout's; greedy has 1.
float training_temperature(const engine::sampling_settings& sampling);

engine::generator_settings generator_settings_of(const io::generation_section& generation,
                                                 const engine::model_description& shape);

/// How many of so many ranks generate together: what the job says; or, on fewer ranks than it says, the largest number that
/// divides both.
int tensor_parallel_of(const io::place_section& place, int ranks);

engine::adamw_settings adamw_of(const io::optimizer_options& options);
engine::schedule_settings schedule_of(const io::optimizer_options& options, int64_t total_updates);
engine::pair_settings pair_loss_of(const io::reward_section& reward);
engine::policy_settings policy_loss_of(const io::ppo_section& ppo, double kl_coefficient);
engine::value_settings value_loss_of(const io::ppo_section& ppo);
engine::loss_mean loss_mean_of(const io::ppo_section& ppo);
engine::experience_settings experience_of(const io::ppo_section& ppo, double kl_coefficient);
engine::kl_controller_settings kl_controller_of(const io::ppo_section& ppo);

/// Without a sign of life for so long, a peer counts as gone.
std::chrono::milliseconds silence_of(const io::recovery_section& recovery);

/// After so long in one operation of a communicator a rank ends by itself. Well beyond what the supervisor waits for, who
/// sees all ranks and names the one for which the others wait, where a rank could only say that it waits: this is for a
/// supervisor that cannot act.
std::chrono::milliseconds patience_with_peers(const io::recovery_section& recovery);

/// Ids that end an answer by the model's generation_config.json, or, where that names none, its config.json.
std::vector<int32_t> end_tokens_of(const model& m);

/// These, and the tokenizer's own end token.
std::vector<int32_t> stop_tokens_of(const model& m, const io::tokenizer& tokens);

/// Batches are packed, so nothing here needs a pad; `transformers` wants one for scalar heads.
int64_t pad_token_of(const io::tokenizer& tokens);

/// How records become examples: the tokenizer's own start and end tokens, the job's lengths.
io::example_rules example_rules_of(const io::job& job, std::shared_ptr<const io::tokenizer> tokens);

}  // namespace troupe::actors
