// troupe plan JOB.ini: memory, disk and FLOPs that a job will need, before anything runs.
#include "engine/plan.hpp"

#include "io/job.hpp"
#include "io/json_keys.hpp"
#include "io/mapped_file.hpp"
#include "jobs/commands.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

namespace {

namespace eng = troupe::engine;

constexpr const char* usage =
    "troupe plan JOB.ini [--gflops N] [--section.key value ...]\n\n"
    "For each phase of a job: parameters, memory by item, the size of a checkpoint, and floating-point operations; "
    "with\n"
    "--gflops, what the machine sustains, also the time. Needs the models' config.json only, no weights and no data.\n";

/// Program, libraries and buffers that do not depend on the job: measured.
constexpr int64_t process_bytes = int64_t{90} << 20;
constexpr int64_t logit_chunk_bytes = int64_t{16} << 20;     // kernels/log_prob.hpp
constexpr int64_t product_scratch_bytes = int64_t{4} << 20;  // kernels/matrix.hpp, for each calling thread

struct item {
  std::string name;
  int64_t bytes = 0;
};

struct phase_plan {
  std::string phase, unit;
  std::vector<item> memory;
  int64_t checkpoint_bytes = 0;
  double flops_each = 0;  ///< per update or iteration
  int64_t count = 0;      ///< updates or iterations; 0: as the data say
  std::vector<std::string> models;

  int64_t peak() const {
    int64_t total = 0;
    for (const item& one : memory) {
      total += one.bytes;
    }
    return total;
  }
};

eng::model_description description_of(const std::string& folder, bool scalar_head) {
  const auto config = std::filesystem::path(folder) / "config.json";
  eng::model_description description = eng::describe(io::read_json_keys(config));
  description.scalar_head = scalar_head;
  return description;
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

void add_trained(phase_plan& plan, const std::string& name, const eng::model_description& model, int64_t lanes) {
  const eng::model_size size = eng::size_of(model);
  int64_t extra_lanes = 0;
  for (int64_t l = lanes; l > 1; l /= 2) {
    ++extra_lanes;
  }
  plan.models.push_back(fmt::format("{}: {} parameters", name, size.parameters));
  plan.memory.push_back({name + " weights", size.arena_bytes});
  plan.memory.push_back({name + " gradients", size.arena_bytes * (1 + extra_lanes)});
  plan.memory.push_back({name + " moments", 2 * size.arena_bytes});
  plan.checkpoint_bytes += 3 * size.parameters * static_cast<int64_t>(sizeof(float));
}

void add_training_buffers(phase_plan& plan, const std::string& name, const eng::model_description& model,
                          int64_t tokens, bool checkpointing) {
  plan.memory.push_back({name + " activations", eng::saved_activation_bytes(model, tokens, checkpointing)});
  plan.memory.push_back({name + " scratch", eng::training_scratch_bytes(model, tokens) + product_scratch_bytes +
                                                (model.scalar_head ? 0 : logit_chunk_bytes)});
}

void add_common(phase_plan& plan) {
  plan.memory.push_back({"checkpoint copy", plan.checkpoint_bytes});
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
  add_trained(plan, name, model, job.run.lanes);
  add_training_buffers(plan, name, model, micro, job.run.activation_checkpointing);
  add_common(plan);
  plan.flops_each =
      (job.run.activation_checkpointing ? 4 : 3) * eng::forward_flops(model, sequences * length, length / 2);
  return plan;
}

int64_t cache_budget(const io::job& job, const eng::model_description& model, int64_t sequences, int64_t new_tokens) {
  const int64_t needed = eng::cache_bytes(model, sequences, job.length.max_prompt_tokens + new_tokens);
  return std::min(needed, job.generation.cache_mib << 20);
}

phase_plan plan_pairs(const io::job& job, const cast_of_models& models) {
  const eng::model_size size = eng::size_of(models.policy);
  const int64_t new_tokens = job.pairs.max_new_tokens > 0 ? job.pairs.max_new_tokens : job.generation.max_new_tokens;
  const int64_t sequences = job.pairs.prompts_per_iteration * job.pairs.samples_per_prompt;
  phase_plan plan{.phase = "pairs", .unit = "iteration"};
  plan.count = (job.pairs.prompts + job.pairs.prompts_per_iteration - 1) / job.pairs.prompts_per_iteration;
  plan.models.push_back(fmt::format("policy: {} parameters", size.parameters));
  plan.memory = {{"policy weights", size.arena_bytes},
                 {"keys and values", cache_budget(job, models.policy, sequences, new_tokens)},
                 {"generation scratch", eng::forward_scratch_bytes(models.policy, job.generation.step_tokens) +
                                            job.generation.step_tokens * models.policy.vocabulary * 4},
                 {"process", process_bytes}};
  const auto length = static_cast<double>(job.length.max_prompt_tokens + new_tokens);
  plan.flops_each = eng::forward_flops(models.policy, static_cast<double>(sequences) * length, length / 2);
  return plan;
}

phase_plan plan_ppo(const io::job& job, const cast_of_models& models) {
  const io::ppo_section& ppo = job.ppo;
  const int64_t sequences = ppo.prompts * ppo.samples_per_prompt;
  const int64_t length = std::min(job.length.max_tokens, job.length.max_prompt_tokens + job.generation.max_new_tokens);
  const int64_t micro = std::min(std::max(ppo.micro_batch_tokens, length), sequences * length);
  const bool checkpointing = job.run.activation_checkpointing;
  phase_plan plan{.phase = "ppo", .unit = "iteration", .count = ppo.iterations};
  add_trained(plan, "policy", models.policy, job.run.lanes);
  add_training_buffers(plan, "policy", models.policy, micro, checkpointing);
  add_trained(plan, "critic", models.critic, job.run.lanes);
  add_training_buffers(plan, "critic", models.critic, micro, checkpointing);
  const eng::model_size policy = eng::size_of(models.policy);
  if (ppo.ema_decay > 0) {
    plan.memory.push_back({"policy average", policy.arena_bytes});
    plan.checkpoint_bytes += policy.parameters * static_cast<int64_t>(sizeof(float));
  }
  plan.memory.push_back({"reference weights", eng::size_of(models.reference).arena_bytes});
  plan.memory.push_back({"reference scratch", eng::forward_scratch_bytes(models.reference, micro) + logit_chunk_bytes +
                                                  product_scratch_bytes});
  double reward_flops = 0;
  const auto tokens = static_cast<double>(sequences * length);
  const double context = static_cast<double>(length) / 2;
  for (const io::reward_source& source : job.rewards) {
    if (source.kind == io::reward_kind::model) {
      const auto judge = source.model.empty() ? models.reward : description_of(source.model, true);
      plan.memory.push_back(
          {"reward model " + source.name, eng::size_of(judge).arena_bytes + eng::forward_scratch_bytes(judge, micro)});
      reward_flops += eng::forward_flops(judge, tokens, context);
    }
  }
  plan.memory.push_back(
      {"keys and values", cache_budget(job, models.policy, sequences, job.generation.max_new_tokens)});
  add_common(plan);

  const double policy_pass = eng::forward_flops(models.policy, tokens, context);
  const double critic_pass = eng::forward_flops(models.critic, tokens, context);
  const double training = (checkpointing ? 4.0 : 3.0) * static_cast<double>(ppo.epochs);
  plan.flops_each = policy_pass * (1 + training) + critic_pass * (1 + training) + reward_flops +
                    eng::forward_flops(models.reference, tokens, context);
  return plan;
}

std::vector<phase_plan> plan_phases(const io::job& job) {
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

std::string bytes_text(int64_t bytes) {
  const double b = static_cast<double>(bytes);
  return b < 1e9 ? fmt::format("{:.1f} MB", b / 1e6) : fmt::format("{:.2f} GB", b / 1e9);
}

std::string time_text(double seconds) {
  return seconds < 120    ? fmt::format("{:.1f} s", seconds)
         : seconds < 7200 ? fmt::format("{:.1f} min", seconds / 60)
                          : fmt::format("{:.1f} h", seconds / 3600);
}

void print(const phase_plan& plan, int64_t keep_checkpoints, double gflops) {
  fmt::print("{}\n", plan.phase);
  for (const std::string& model : plan.models) {
    fmt::print("  {}\n", model);
  }
  for (const item& one : plan.memory) {
    fmt::print("    {:<24}{:>12}\n", one.name, bytes_text(one.bytes));
  }
  fmt::print("  {:<26}{:>12}\n", "memory of a rank", bytes_text(plan.peak()));
  if (plan.checkpoint_bytes > 0) {
    fmt::print("  {:<26}{:>12}, {} kept: {}\n", "checkpoint", bytes_text(plan.checkpoint_bytes), keep_checkpoints,
               bytes_text((keep_checkpoints + 1) * plan.checkpoint_bytes));
  }
  fmt::print("  {:<26}{:>12.4g} FLOP per {}", "work", plan.flops_each, plan.unit);
  if (plan.count > 0) {
    fmt::print(", {:.4g} in {} {}s", plan.flops_each * static_cast<double>(plan.count), plan.count, plan.unit);
  }
  if (gflops > 0) {
    const double each = plan.flops_each / (gflops * 1e9);
    fmt::print("; {} each", time_text(each));
    if (plan.count > 0) {
      fmt::print(", {} in all", time_text(each * static_cast<double>(plan.count)));
    }
  }
  fmt::print("\n\n");
}

/// Takes "--gflops N" out of the arguments. Errors  bad_argument.
double take_gflops(std::vector<std::string>& arguments) {
  const auto found = std::find(arguments.begin(), arguments.end(), "--gflops");
  if (found == arguments.end()) {
    return 0;
  }
  double value = 0;
  const bool given = found + 1 != arguments.end();
  if (!given ||
      std::from_chars((found + 1)->data(), (found + 1)->data() + (found + 1)->size(), value).ec != std::errc()) {
    throw error(errc::bad_argument, "--gflops needs a number");
  }
  arguments.erase(found, found + 2);
  return value;
}

}  // namespace

int plan_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print(arguments.empty() ? stderr : stdout, "{}", usage);
    return arguments.empty() ? exit_usage : exit_ok;
  }
  const double gflops = take_gflops(arguments);
  const std::filesystem::path file = std::filesystem::absolute(arguments[0]);
  const io::job job = io::parse_job(io::read_text_file(file),
                                    {.name = arguments[0],
                                     .stem = file.stem().string(),
                                     .folder = file.parent_path().string(),
                                     .current = std::filesystem::current_path().string()},
                                    std::span(arguments).subspan(1));
  int64_t peak = 0;
  for (const phase_plan& plan : plan_phases(job)) {
    print(plan, job.run.keep_checkpoints, gflops);
    peak = std::max(peak, plan.peak());
  }
  const int64_t here = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  fmt::print("peak {}; this machine has {}\n", bytes_text(peak), bytes_text(here));
  if (peak > here) {
    fmt::print("It does not fit here: lower micro-batch-tokens, set run.activation-checkpointing = true, or take a "
               "larger machine.\n");
  }
  return exit_ok;
}

}  // namespace troupe
