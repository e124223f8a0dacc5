#include "actors/models/options.hpp"

#include "actors/models/plan_options.hpp"
#include "actors/models/rollout_lengths.hpp"
#include "base/assert.hpp"
#include "base/error.hpp"

#include <algorithm>

namespace troupe::actors {

engine::sampling_settings sampling_of(const io::generation_section& generation) {
  return {.temperature = static_cast<float>(generation.temperature),
          .top_k = generation.top_k,
          .top_p = static_cast<float>(generation.top_p),
          .min_p = static_cast<float>(generation.min_p),
          .repetition_penalty = static_cast<float>(generation.repetition_penalty)};
}

float training_temperature(const engine::sampling_settings& sampling) {
  return sampling.temperature > 0 ? sampling.temperature : 1.0F;
}

rollout_options rollout_of(const io::job& job, io::phase phase) {
  // Far from any seed that a job is given, and from those next to it.
  constexpr uint64_t evaluation_seed_offset = 0x5EED'0000'0000ULL;
  rollout_options rollout{.sampling = sampling_of(job.generation),
                          .training_samples = job.ppo.samples_per_prompt,
                          .evaluation_samples = job.evaluation.samples_per_prompt,
                          .new_tokens = new_tokens_of(job, phase),
                          .training_seed = job.run.seed,
                          .evaluation_seed = job.run.seed + evaluation_seed_offset,
                          .stop = job.generation.stop,
                          .cache_mib = job.generation.cache_mib,
                          .step_tokens = job.generation.step_tokens};
  if (phase == io::phase::pairs) {
    rollout.sampling.temperature = static_cast<float>(job.pairs.temperature);
    rollout.training_samples = job.pairs.samples_per_prompt;
  }
  return rollout;
}

engine::generator_settings generator_settings_of(const rollout_options& rollout, const engine::model_description& shape,
                                                 dtype cached) {
  const int64_t pages = rollout.cache_mib * 1024 * 1024 / engine::kv_cache::page_bytes(shape, cached);
  return {.cache_pages = std::max<int64_t>(1, pages), .step_tokens = rollout.step_tokens};
}

static int64_t mixture_size(const io::ppo_section& ppo) {
  const int64_t training_batch = ppo.prompts * ppo.samples_per_prompt / ppo.minibatches;
  return ppo.ptx_batch > 0 ? ppo.ptx_batch : training_batch;
}

batch_options batches_of(const io::job& job, io::phase phase) {
  const bool pairs = phase == io::phase::reward;
  const io::training_options& training = pairs ? job.reward.training : job.sft.training;
  return {.seed = job.run.seed,
          .pairs = pairs,
          .all_tokens = job.sft.loss == io::sft_loss::all,
          .training = training.batch,
          .micro_batch_tokens = training.micro_batch_tokens,
          .held_out = job.evaluation.records,
          .prompts = phase == io::phase::pairs ? job.pairs.prompts_per_iteration : job.ppo.prompts,
          .held_out_prompts = job.evaluation.prompts,
          .mixture = mixture_size(job.ppo),
          .mixture_micro_batch_tokens = job.ppo.micro_batch_tokens};
}

engine::adamw_settings adamw_of(const io::optimizer_options& options) {
  return {.beta1 = options.beta1,
          .beta2 = options.beta2,
          .epsilon = options.epsilon,
          .weight_decay = options.weight_decay,
          .clip_norm = options.clip_norm};
}

static engine::card_exchange exchange_kind_of(io::card_exchange kind) {
  switch (kind) {
  case io::card_exchange::automatic:
    return engine::card_exchange::automatic;
  case io::card_exchange::nccl:
    return engine::card_exchange::wires;
  case io::card_exchange::host:
    return engine::card_exchange::host;
  }
  assertion_failed("an exchange between cards without a name", __FILE__, __LINE__);
}

engine::exchange_settings exchange_of(const io::job& job) {
  return {.wanted = exchange_kind_of(job.place.exchange),
          .deadline = patience_with_peers(job.recovery),
          .join_deadline = patience_with_joining(job.recovery),
          .tell = {}};
}

static engine::pair_loss pair_loss_kind_of(io::reward_loss kind) {
  switch (kind) {
  case io::reward_loss::end:
    return engine::pair_loss::end_token;
  case io::reward_loss::span:
    return engine::pair_loss::span;
  }
  throw error(errc::bad_argument, "there is no loss of pairs {}", static_cast<int>(kind));
}

engine::pair_settings pair_loss_of(const io::reward_section& reward) {
  return {.kind = pair_loss_kind_of(reward.loss), .centring = reward.centring};
}

static engine::kl_estimator estimator_of(io::kl_estimator kind) {
  switch (kind) {
  case io::kl_estimator::k1:
    return engine::kl_estimator::k1;
  case io::kl_estimator::k2:
    return engine::kl_estimator::k2;
  case io::kl_estimator::k3:
    return engine::kl_estimator::k3;
  case io::kl_estimator::k3_plus:
    return engine::kl_estimator::k3_plus;
  }
  throw error(errc::bad_argument, "there is no KL estimator {}", static_cast<int>(kind));
}

/// The KL coefficient of one of its two places: the other place has 0.
static double coefficient_in(io::kl_place place, const io::ppo_section& ppo, double kl_coefficient) {
  return ppo.kl_in == place ? kl_coefficient : 0.0;
}

engine::policy_settings policy_loss_of(const io::ppo_section& ppo, double kl_coefficient) {
  return {.clip_low = ppo.clip,
          .clip_high = ppo.clip,
          .entropy_coefficient = ppo.entropy_coef,
          .kl_coefficient = coefficient_in(io::kl_place::loss, ppo, kl_coefficient),
          .estimator = estimator_of(ppo.kl_estimator)};
}

engine::value_settings value_loss_of(const io::ppo_section& ppo) { return {.clip = ppo.value_clip}; }

engine::loss_mean loss_mean_of(const io::ppo_section& ppo) {
  switch (ppo.loss) {
  case io::loss_mean::token:
    return engine::loss_mean::token;
  case io::loss_mean::sequence:
    return engine::loss_mean::sequence;
  }
  throw error(errc::bad_argument, "there is no mean of losses {}", static_cast<int>(ppo.loss));
}

static engine::reward_scaling scaling_of(io::reward_scaling kind) {
  switch (kind) {
  case io::reward_scaling::none:
    return engine::reward_scaling::none;
  case io::reward_scaling::running:
    return engine::reward_scaling::running;
  case io::reward_scaling::batch:
    return engine::reward_scaling::batch;
  }
  throw error(errc::bad_argument, "there is no scaling of rewards {}", static_cast<int>(kind));
}

static engine::importance_rule rule_of(io::importance_rule kind) {
  switch (kind) {
  case io::importance_rule::none:
    return engine::importance_rule::none;
  case io::importance_rule::truncated:
    return engine::importance_rule::truncated;
  case io::importance_rule::masked:
    return engine::importance_rule::masked;
  case io::importance_rule::sequence_mask:
    return engine::importance_rule::sequence_mask;
  case io::importance_rule::geometric_mask:
    return engine::importance_rule::geometric_mask;
  }
  throw error(errc::bad_argument, "there is no rule of importance {}", static_cast<int>(kind));
}

engine::importance_settings importance_of(const io::replay_section& replay) {
  return engine::importance_of(rule_of(replay.weights), replay.low, replay.high);
}

engine::experience_settings experience_of(const io::ppo_section& ppo, double kl_coefficient) {
  return {.scaling = {.kind = scaling_of(ppo.reward_scaling), .centre = ppo.reward_centre},
          .shaping = {.kl_coefficient = coefficient_in(io::kl_place::reward, ppo, kl_coefficient),
                      .estimator = estimator_of(ppo.kl_estimator),
                      .score_clip = ppo.reward_clip,
                      .missing_end_penalty = ppo.missing_end_penalty},
          .advantages = {.gamma = ppo.gamma, .lambda = ppo.lambda},
          .whiten = ppo.whiten_advantages,
          .min_answer_tokens = ppo.min_answer_tokens};
}

}  // namespace troupe::actors
