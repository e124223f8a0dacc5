#include "actors/models/options.hpp"

#include "io/json/json_keys.hpp"
#include "io/tokenizer/chat.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::actors {

kernels::sampling_settings sampling_of(const io::generation_section& generation) {
  return {.temperature = static_cast<float>(generation.temperature),
          .top_k = generation.top_k,
          .top_p = static_cast<float>(generation.top_p),
          .min_p = static_cast<float>(generation.min_p),
          .repetition_penalty = static_cast<float>(generation.repetition_penalty)};
}

float training_temperature(const kernels::sampling_settings& sampling) {
  return sampling.temperature > 0 ? sampling.temperature : 1.0F;
}

engine::generator_settings generator_settings_of(const io::generation_section& generation,
                                                 const engine::model_description& shape) {
  const int64_t pages = generation.cache_mib * 1024 * 1024 / engine::kv_cache::page_bytes(shape);
  return {.cache_pages = std::max<int64_t>(1, pages), .step_tokens = generation.step_tokens};
}

int tensor_parallel_of(const io::place_section& place, int ranks) {
  return static_cast<int>(std::gcd(place.tensor_parallel, static_cast<int64_t>(ranks)));
}

engine::adamw_settings adamw_of(const io::optimizer_options& options) {
  return {.beta1 = options.beta1,
          .beta2 = options.beta2,
          .epsilon = options.epsilon,
          .weight_decay = options.weight_decay,
          .clip_norm = options.clip_norm};
}

engine::schedule_settings schedule_of(const io::optimizer_options& options, int64_t total_updates) {
  const auto kind = options.schedule == io::schedule::linear   ? engine::schedule_kind::linear
                    : options.schedule == io::schedule::cosine ? engine::schedule_kind::cosine
                                                               : engine::schedule_kind::constant;
  return {.kind = kind,
          .peak = options.learning_rate,
          .warmup_updates = std::min(options.warm_up, total_updates),
          .total_updates = total_updates,
          .min_ratio = options.min_ratio};
}

engine::pair_settings pair_loss_of(const io::reward_section& reward) {
  return {.kind = reward.loss == io::reward_loss::span ? engine::pair_loss::span : engine::pair_loss::end_token,
          .centring = reward.centring};
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
  throw error(errc::bad_argument, "unknown KL estimator {}", static_cast<int>(kind));
}

engine::policy_settings policy_loss_of(const io::ppo_section& ppo, double kl_coefficient) {
  return {.clip_low = ppo.clip,
          .clip_high = ppo.clip,
          .entropy_coefficient = ppo.entropy_coef,
          .kl_coefficient = ppo.kl_in == io::kl_place::loss ? kl_coefficient : 0.0,
          .estimator = estimator_of(ppo.kl_estimator)};
}

engine::value_settings value_loss_of(const io::ppo_section& ppo) { return {.clip = ppo.value_clip}; }

engine::loss_mean loss_mean_of(const io::ppo_section& ppo) {
  return ppo.loss == io::loss_mean::token ? engine::loss_mean::token : engine::loss_mean::sequence;
}

engine::experience_settings experience_of(const io::ppo_section& ppo, double kl_coefficient) {
  const auto scaling = ppo.reward_scaling == io::reward_scaling::none    ? engine::reward_scaling::none
                       : ppo.reward_scaling == io::reward_scaling::batch ? engine::reward_scaling::batch
                                                                         : engine::reward_scaling::running;
  return {.scaling = {.kind = scaling, .centre = ppo.reward_centre},
          .shaping = {.kl_coefficient = ppo.kl_in == io::kl_place::reward ? kl_coefficient : 0.0,
                      .estimator = estimator_of(ppo.kl_estimator),
                      .score_clip = ppo.reward_clip,
                      .missing_end_penalty = ppo.missing_end_penalty},
          .advantages = {.gamma = ppo.gamma, .lambda = ppo.lambda},
          .whiten = ppo.whiten_advantages,
          .min_answer_tokens = ppo.min_answer_tokens};
}

engine::kl_controller_settings kl_controller_of(const io::ppo_section& ppo) {
  return {.initial = ppo.kl_coef,
          .adaptive = ppo.kl_controller == io::kl_controller::adaptive,
          .target_nats = ppo.kl_target,
          .horizon = ppo.kl_horizon};
}

/// `eos_token_id` of a config is an integer or a list of them.
static void add_end_ids(const std::string& json, const std::string& where, std::vector<int32_t>& ids) {
  if (json.empty()) {
    return;
  }
  const key_map keys = io::parse_json_keys(json, where);
  const auto found = keys.find("eos_token_id");
  if (found == keys.end()) {
    return;
  }
  if (const auto* one = std::get_if<int64_t>(&found->second)) {
    ids.push_back(static_cast<int32_t>(*one));
  } else if (const auto* list = std::get_if<std::vector<int64_t>>(&found->second)) {
    ids.insert(ids.end(), list->begin(), list->end());
  }
}

static std::vector<int32_t> known_once(std::vector<int32_t> ids, int64_t vocabulary) {
  std::erase_if(ids, [&](int32_t id) { return id < 0 || id >= vocabulary; });
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

static std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
}

std::chrono::milliseconds silence_of(const io::recovery_section& recovery) {
  return milliseconds_of(recovery.silence_deadline_s);
}

std::chrono::milliseconds patience_with_peers(const io::recovery_section& recovery) {
  constexpr std::chrono::seconds for_its_look{5};
  return milliseconds_of(recovery.worker_deadline_s) * 5 / 2 + for_its_look;
}

std::vector<int32_t> end_tokens_of(const model& m) {
  std::vector<int32_t> ids;
  add_end_ids(m.generation_config_json, "generation_config.json", ids);
  if (ids.empty()) {
    add_end_ids(m.config_json, "config.json", ids);
  }
  return known_once(std::move(ids), m.net.description().vocabulary);
}

std::vector<int32_t> stop_tokens_of(const model& m, const io::tokenizer& tokens) {
  std::vector<int32_t> ids = end_tokens_of(m);
  if (const auto eos = tokens.eos_id()) {
    ids.push_back(*eos);
  }
  return known_once(std::move(ids), m.net.description().vocabulary);
}

int64_t pad_token_of(const io::tokenizer& tokens) { return tokens.pad_id().value_or(tokens.eos_id().value_or(0)); }

io::example_rules example_rules_of(const io::job& job, std::shared_ptr<const io::tokenizer> tokens) {
  // What the tokenizer itself puts before a text (BOS, for the families that have one).
  std::vector<int32_t> start = tokens->encode("", true);
  const std::optional<int32_t> end = tokens->eos_id();
  if (end && !start.empty() && start.back() == *end && tokens->bos_id() != end) {
    start.pop_back();  // some configurations append the end token as well
  }
  io::text_encoder encode_chat = [tokens](std::string_view text, bool) { return io::encode_chat(*tokens, text); };
  return {.encode = [tokens = std::move(tokens)](std::string_view text, bool) { return tokens->encode(text, false); },
          .encode_chat = std::move(encode_chat),
          .start = std::move(start),
          .end = end,
          .length = job.length};
}

}  // namespace troupe::actors
