#include "jobs/job_plan.hpp"

#include "engine/parallel/columns.hpp"
#include "engine/plan.hpp"
#include "io/json_keys.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace troupe {

namespace {

namespace eng = troupe::engine;

/// Program, libraries and buffers that do not depend on the job: measured.
constexpr int64_t process_bytes = int64_t{90} << 20;
constexpr int64_t product_scratch_bytes = int64_t{4} << 20;  // kernels/matrix.hpp, for each calling thread
constexpr int64_t sampled_rows = 32;                         // whose logits exist at once
constexpr int64_t text_bytes_per_token = 5;                  // English

eng::model_description description_of(const std::string& folder, bool scalar_head) {
  const auto config = std::filesystem::path(folder) / "config.json";
  eng::model_description description = eng::describe(io::read_json_keys(config));
  description.scalar_head = scalar_head;
  return description;
}

/// Every model that the job names has a config.json: the only file that is read.
void require_configs(const io::job& job) {
  std::vector<std::pair<std::string, std::string>> named = {{"model.policy", job.model.policy},
                                                            {"model.reference", job.model.reference},
                                                            {"model.reward", job.model.reward},
                                                            {"model.critic", job.model.critic}};
  for (const io::reward_source& source : job.rewards) {
    named.emplace_back("rewards." + source.name + ".model", source.model);
  }
  std::string problems;
  for (const auto& [key, folder] : named) {
    const auto config = std::filesystem::path(folder) / "config.json";
    if (!folder.empty() && !std::filesystem::exists(config)) {
      problems += fmt::format("{}{} = {}: there is no {}; put the model's config.json there",
                              problems.empty() ? "" : "\n", key, folder, config.string());
    }
  }
  if (!problems.empty()) {
    throw error(errc::not_found, "{}", problems);
  }
}

/// A few rows of logits (kernels/log_prob.hpp): 16 MiB, but from 16 to 256 rows.
int64_t logit_bytes(const eng::model_description& model) {
  const int64_t rows = std::clamp<int64_t>((int64_t{1} << 22) / model.vocabulary / 16 * 16, 16, 256);
  return rows * model.vocabulary * static_cast<int64_t>(sizeof(float));
}

/// The models as src/actors/stage.cpp puts them on the stage.
struct cast_of_models {
  explicit cast_of_models(const io::job& job)
      : policy(description_of(job.model.policy, false)),
        reference(description_of(job.model.reference.empty() ? job.model.policy : job.model.reference, false)),
        reward(description_of(job.model.reward.empty() ? job.model.policy : job.model.reward, true)) {
    const bool own_reward = job.has(io::phase::reward) || !job.model.reward.empty();
    critic = !job.model.critic.empty() ? description_of(job.model.critic, true)
             : own_reward              ? reward
                                       : description_of(job.model.policy, true);
  }
  eng::model_description policy, reference, reward, critic;
};

eng::division_of_training division_of(const io::job& job, int64_t zero) {
  return {.ranks = static_cast<int>(job.place.ranks), .zero = static_cast<int>(zero), .lanes = job.run.lanes};
}

void add_trained(phase_plan& plan, const std::string& name, const eng::model_description& model,
                 const eng::division_of_training& division) {
  const eng::model_size size = eng::size_of(model);
  const eng::training_memory memory = eng::training_memory_of(model, division);
  plan.models.push_back({name, size.parameters});
  plan.memory.push_back({name + " weights", eng::pass_weight_bytes(model, division.ranks, division.zero)});
  plan.memory.push_back({name + " gradients", memory.gradient_bytes});
  plan.memory.push_back({name + " moments", memory.moment_bytes});
  plan.checkpoint_bytes += 3 * size.parameters * static_cast<int64_t>(sizeof(float));
}

void add_training_buffers(phase_plan& plan, const std::string& name, const eng::model_description& model,
                          int64_t tokens, bool checkpointing) {
  plan.memory.push_back({name + " activations", eng::saved_activation_bytes(model, tokens, checkpointing)});
  plan.memory.push_back({name + " scratch", eng::training_scratch_bytes(model, tokens) + product_scratch_bytes +
                                                (model.scalar_head ? 0 : logit_bytes(model))});
}

void add_common(phase_plan& plan, int64_t ranks) {
  plan.memory.push_back({"checkpoint copy", plan.checkpoint_bytes / ranks});
  plan.memory.push_back({"process", process_bytes});
}

phase_plan plan_supervised(const io::job& job, io::phase phase, const eng::model_description& model) {
  const bool pairs = phase == io::phase::reward;
  const io::training_options& training = pairs ? job.reward.training : job.sft.training;
  const double sequences = static_cast<double>(training.batch) * (pairs ? 2 : 1);
  const auto length = static_cast<double>(job.length.max_tokens);
  phase_plan plan{.phase = std::string(io::to_string(phase)), .unit = "update", .count = training.updates};
  const int64_t micro =
      std::min(std::max(training.micro_batch_tokens, job.length.max_tokens), static_cast<int64_t>(sequences * length));
  const std::string name = pairs ? "reward model" : "policy";
  add_trained(plan, name, model, division_of(job, pairs ? job.place.reward_zero : job.place.policy_zero));
  add_training_buffers(plan, name, model, micro, job.run.activation_checkpointing);
  add_common(plan, job.place.ranks);
  plan.flops_each =
      (job.run.activation_checkpointing ? 4 : 3) * eng::forward_flops(model, sequences * length, length / 2);
  return plan;
}

int64_t cache_budget(const io::job& job, const eng::model_description& model, int64_t sequences, int64_t new_tokens) {
  const int64_t needed = eng::cache_bytes(model, sequences, job.length.max_prompt_tokens + new_tokens);
  return std::min(needed, job.generation.cache_mib << 20);
}

/// What a rollout needs of a rank beside the policy's own weights: of ranks that generate together, the one with the most.
void add_generation(phase_plan& plan, const io::job& job, const eng::model_description& policy, int64_t sequences,
                    int64_t new_tokens) {
  const int together = static_cast<int>(job.place.tensor_parallel);
  if (together > 1) {
    plan.memory.push_back({"policy weights to generate", eng::column_weight_bytes(policy, together)});
  }
  const auto part = eng::description_of(policy, eng::split_columns(policy, 0, together));
  plan.memory.push_back({"keys and values", cache_budget(job, part, sequences, new_tokens)});
}

phase_plan plan_pairs(const io::job& job, const cast_of_models& models) {
  const eng::model_size size = eng::size_of(models.policy);
  const int64_t new_tokens = job.pairs.max_new_tokens > 0 ? job.pairs.max_new_tokens : job.generation.max_new_tokens;
  const int64_t sequences = job.pairs.prompts_per_iteration * job.pairs.samples_per_prompt;
  phase_plan plan{.phase = "pairs", .unit = "iteration"};
  plan.count = (job.pairs.prompts + job.pairs.prompts_per_iteration - 1) / job.pairs.prompts_per_iteration;
  plan.models.push_back({"policy", size.parameters});
  plan.memory.push_back({"policy weights", size.arena_bytes});
  add_generation(plan, job, models.policy, sequences, new_tokens);
  plan.memory.push_back({"generation scratch", eng::forward_scratch_bytes(models.policy, job.generation.step_tokens) +
                                                   sampled_rows * models.policy.vocabulary * 4});
  plan.memory.push_back({"process", process_bytes});
  const auto length = static_cast<double>(job.length.max_prompt_tokens + new_tokens);
  plan.flops_each = eng::forward_flops(models.policy, static_cast<double>(sequences) * length, length / 2);
  return plan;
}

/// Files of all iterations that are kept: five floats and an id per answer token, an id per prompt token, and the text.
int64_t experience_bytes(const io::job& job, int64_t sequences, int64_t length) {
  const int64_t answer = std::min(job.generation.max_new_tokens, length);
  int64_t sequence = 24 * answer + 4 * (length - answer);
  sequence += job.experience.text ? text_bytes_per_token * length : 0;
  const int64_t files =
      job.experience.keep > 0 ? std::min(job.experience.keep, job.ppo.iterations) : job.ppo.iterations;
  return files * sequences * sequence;
}

phase_plan plan_ppo(const io::job& job, const cast_of_models& models) {
  const io::ppo_section& ppo = job.ppo;
  const int64_t sequences = ppo.prompts * ppo.samples_per_prompt;
  const int64_t evaluated = job.evaluation.prompts * job.evaluation.samples_per_prompt;
  const int64_t length = std::min(job.length.max_tokens, job.length.max_prompt_tokens + job.generation.max_new_tokens);
  const int64_t micro = std::min(std::max(ppo.micro_batch_tokens, length), sequences * length);
  const bool checkpointing = job.run.activation_checkpointing;
  phase_plan plan{.phase = "ppo", .unit = "iteration", .count = ppo.iterations};
  add_trained(plan, "policy", models.policy, division_of(job, job.place.policy_zero));
  add_training_buffers(plan, "policy", models.policy, micro, checkpointing);
  add_trained(plan, "critic", models.critic, division_of(job, job.place.critic_zero));
  add_training_buffers(plan, "critic", models.critic, micro, checkpointing);
  const eng::model_size policy = eng::size_of(models.policy);
  if (ppo.ema_decay > 0) {
    const eng::division_of_training division = division_of(job, job.place.policy_zero);
    plan.memory.push_back({"policy average", eng::training_memory_of(models.policy, division).shard_bytes});
    plan.checkpoint_bytes += policy.parameters * static_cast<int64_t>(sizeof(float));
  }
  const auto frozen_bytes = [&job](const eng::model_description& model) {
    return eng::pass_weight_bytes(model, static_cast<int>(job.place.ranks), static_cast<int>(job.place.frozen_zero));
  };
  plan.memory.push_back({"reference weights", frozen_bytes(models.reference)});
  plan.memory.push_back({"reference scratch", eng::forward_scratch_bytes(models.reference, micro) +
                                                  logit_bytes(models.reference) + product_scratch_bytes});
  double reward_flops = 0;
  const auto tokens = static_cast<double>(sequences * length);
  const double context = static_cast<double>(length) / 2;
  for (const io::reward_source& source : job.rewards) {
    if (source.kind == io::reward_kind::model) {
      const auto judge = source.model.empty() ? models.reward : description_of(source.model, true);
      plan.memory.push_back(
          {"reward model " + source.name, frozen_bytes(judge) + eng::forward_scratch_bytes(judge, micro)});
      reward_flops += eng::forward_flops(judge, tokens, context);
    }
  }
  add_generation(plan, job, models.policy, std::max(sequences, evaluated), job.generation.max_new_tokens);
  if (job.place.policy_zero == 3 && job.place.ranks > 1 && job.place.tensor_parallel == 1) {
    plan.memory.push_back({"policy weights to generate", policy.arena_bytes - plan.memory.front().bytes});
  }
  add_common(plan, job.place.ranks);
  plan.experience_bytes = experience_bytes(job, sequences, length);

  const double policy_pass = eng::forward_flops(models.policy, tokens, context);
  const double critic_pass = eng::forward_flops(models.critic, tokens, context);
  const double training = (checkpointing ? 4.0 : 3.0) * static_cast<double>(ppo.epochs);
  plan.flops_each = policy_pass * (1 + training) + critic_pass * (1 + training) + reward_flops +
                    eng::forward_flops(models.reference, tokens, context);
  return plan;
}

}  // namespace

int64_t phase_plan::peak_bytes() const {
  int64_t total = 0;
  for (const planned_memory& one : memory) {
    total += one.bytes;
  }
  return total;
}

std::vector<phase_plan> plan_job(const io::job& job) {
  require_configs(job);
  const cast_of_models models(job);
  std::vector<phase_plan> plans;
  for (const io::phase phase : job.run.phases) {
    switch (phase) {
    case io::phase::pairs:
      plans.push_back(plan_pairs(job, models));
      break;
    case io::phase::sft:
      plans.push_back(plan_supervised(job, phase, models.policy));
      break;
    case io::phase::reward:
      plans.push_back(plan_supervised(job, phase, models.reward));
      break;
    case io::phase::ppo:
      plans.push_back(plan_ppo(job, models));
      break;
    }
  }
  return plans;
}

int64_t run_directory_bytes(const io::job& job, const std::vector<phase_plan>& plans) {
  int64_t checkpoint = 0;
  int64_t rest = 0;
  for (const phase_plan& plan : plans) {
    checkpoint = std::max(checkpoint, plan.checkpoint_bytes);
    rest += plan.experience_bytes;
    if (plan.phase == "pairs") {
      continue;  // text only
    }
    for (const planned_model& model : plan.models) {
      const bool averaged = plan.phase == "ppo" && model.name == "policy" && job.ppo.ema_decay > 0;
      rest += (averaged ? 2 : 1) * model.parameters * static_cast<int64_t>(sizeof(float));
    }
  }
  return (job.run.keep_checkpoints + 1) * checkpoint + rest;
}

}  // namespace troupe
