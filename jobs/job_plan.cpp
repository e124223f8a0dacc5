#include "jobs/job_plan.hpp"

#include "actors/models/model_files.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/models/rollout_lengths.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"
#include "engine/card_plan.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/plan.hpp"
#include "engine/tensor_parallel/columns.hpp"
#include "io/run/starting_folders.hpp"
#include "io/weights/missing_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

namespace troupe {

namespace {

namespace eng = troupe::engine;

constexpr int64_t mib = int64_t{1} << 20;
/// What does not depend on the job, measured: program, libraries and buffers; MPI's own, with more than one rank.
constexpr int64_t process_bytes = 32 * mib;
constexpr int64_t mpi_bytes = 10 * mib;
constexpr int64_t tokenizer_bytes_per_id = 560;  // SmolLM2's, measured
constexpr int64_t text_bytes_per_token = 5;      // English

eng::model_description description_of(const std::filesystem::path& folder, bool scalar_head) {
  eng::model_description description = actors::shape_of(folder);
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
  std::vector<std::string> problems;
  for (const auto& [key, folder] : named) {
    const auto config = std::filesystem::path(folder) / "config.json";
    if (!folder.empty() && !std::filesystem::exists(config)) {
      problems.push_back(fmt::format("{} = {}: {}", key, folder, io::missing_model(folder)));
    }
  }
  if (!problems.empty()) {
    throw error(errc::not_found, "{}", fmt::join(problems, "\n"));
  }
}

/// The models of a job, by the folders that give them their shapes.
struct cast_of_models {
  explicit cast_of_models(const io::starting_folders& from)
      : policy(description_of(from.policy, false)), reference(description_of(from.reference, false)),
        reward(description_of(from.reward, true)), critic(description_of(from.critic, true)) {}
  eng::model_description policy, reference, reward, critic;
};

/// What a rank holds, item by item.
class held {
public:
  void add(const std::string& name, int64_t bytes, held_in when = held_in::always) {
    if (bytes > 0) {
      items_.push_back({name, bytes, when});
    }
  }
  /// In the line of what the host holds under the same name at the same time, if it does.
  void add_to_card(const std::string& name, int64_t bytes, held_in when = held_in::always) {
    if (bytes <= 0) {
      return;
    }
    const auto same = std::find_if(items_.begin(), items_.end(),
                                   [&](const auto& item) { return item.name == name && item.when == when; });
    if (same != items_.end()) {
      same->card_bytes = bytes;
    } else {
      items_.push_back({name, 0, when, bytes});
    }
  }
  int64_t operator[](std::string_view name) const { return found(name).bytes; }
  int64_t on_card(std::string_view name) const { return found(name).card_bytes; }

  eng::card_scratch& scratch() { return scratch_; }  ///< of all models on the card

  std::vector<planned_memory> items() && {
    add_to_card("scratch of passes", scratch_.bytes());
    return std::move(items_);
  }

private:
  planned_memory found(std::string_view name) const {
    const auto at = std::find_if(items_.begin(), items_.end(), [&](const auto& item) { return item.name == name; });
    return at != items_.end() ? *at : planned_memory{};
  }

  std::vector<planned_memory> items_;
  eng::card_scratch scratch_;
};

bool runs_on_cards(const io::job& job) { return job.place.device == io::device_choice::cuda; }

/// Where a model that learns has what it learns with.
enum class learning_place { host, host_beside_card, card };

learning_place learning_place_of(const io::job& job) {
  if (!runs_on_cards(job)) {
    return learning_place::host;
  }
  return job.place.optimizer == io::memory_place::card ? learning_place::card : learning_place::host_beside_card;
}

/// A model that learns, and the ranks that it is divided among.
struct trained {
  std::string name;
  const eng::model_description& model;
  eng::division_of_training division;
  dtype type;  ///< of the weights that passes read
  learning_place place;
  io::card_exchange exchange;  ///< of what lies on cards

  /// Where what other ranks send for a sum may arrive: in both memories, where it is not known yet.
  bool reduces_on_card() const { return place == learning_place::card && exchange != io::card_exchange::host; }
  bool reduces_on_host() const { return place != learning_place::card || exchange != io::card_exchange::nccl; }
  bool has_masters() const { return type != dtype::f32 && place != learning_place::host_beside_card; }
  /// A card's weights are rounded from the host's.
  dtype host_type() const { return place == learning_place::host_beside_card ? dtype::f32 : type; }
  int64_t parameters() const { return eng::size_of(model).parameters; }
  int64_t checkpoint_bytes() const { return 3 * parameters() * static_cast<int64_t>(sizeof(float)); }
};

trained trained_by(const io::job& job, const std::string& name, const eng::model_description& model,
                   const eng::division_of_training& division) {
  return {name, model, division, actors::weight_type_of(job.model), learning_place_of(job), job.place.exchange};
}

/// What lies on a card always is.
bool is_copied_for_checkpoints(const io::job& job, const trained& learner) {
  return job.run.checkpoint_copy || learner.place == learning_place::card;
}

/// In ZeRO stage 3 passes fetch each segment's weights from the ranks that hold them.
bool are_weights_fetched(int64_t zero, int64_t ranks) { return zero == 3 && ranks > 1; }

void add_trained(held& memory, const trained& learner, eng::planned_batch micro, bool checkpointing) {
  micro.weights_fetched = are_weights_fetched(learner.division.zero, learner.division.ranks);
  const eng::training_memory parts = eng::training_memory_of(learner.model, learner.division);
  const auto add = [&](const char* what, int64_t bytes, held_in when = held_in::always) {
    learner.place == learning_place::card ? memory.add_to_card(learner.name + what, bytes, when)
                                          : memory.add(learner.name + what, bytes, when);
  };
  add(" weights",
      eng::pass_weight_bytes(learner.model, learner.division.ranks, learner.division.zero, learner.host_type()));
  add(" masters", learner.has_masters() ? parts.master_bytes : 0);
  const held_in update = learner.name == "critic" ? held_in::critic_update : held_in::policy_update;
  add(" gradients", parts.gradient_bytes, learner.place == learning_place::card ? update : held_in::always);
  add(" moments", parts.moment_bytes);
  add(" gradients of a lane", parts.transient_bytes, update);
  memory.add(learner.name + " reductions", learner.reduces_on_host() ? parts.collective_bytes : 0, update);
  memory.add_to_card(learner.name + " arriving pieces", learner.reduces_on_card() ? parts.collective_bytes : 0);
  if (learner.place == learning_place::host_beside_card) {
    memory.add_to_card(learner.name + " weights",
                       eng::card_weight_bytes(learner.model, micro.weights_fetched, learner.type));
    memory.add_to_card(learner.name + " gradients in flight", eng::card_gradient_bytes(learner.model), update);
    memory.add(learner.name + " gradients on their way", eng::pinned_gradient_bytes(learner.model));
  }
  if (learner.place != learning_place::host) {
    memory.add_to_card(learner.name + " activations",
                       eng::card_activation_bytes(learner.model, micro.tokens, checkpointing, learner.type), update);
    memory.scratch().add_training(learner.model, micro, learner.type);
    return;
  }
  memory.add(learner.name + " activations", eng::saved_activation_bytes(learner.model, micro.tokens, checkpointing));
  memory.add(learner.name + " scratch", eng::training_scratch_bytes(learner.model, micro) +
                                            eng::product_scratch_bytes() + eng::head_scratch_bytes(learner.model));
}

/// A parameter's rows and a tensor of the file, beside `others`: what comes from other ranks.
void add_saving(held& memory, const eng::model_description& model, int64_t others) {
  memory.add("model that is saved", others + 2 * eng::size_of(model).largest_bytes, held_in::saving);
}

/// Of masters that are cut among ranks, or are on a card, beside what a rank has of its own: the two segments that are
/// the most.
int64_t gathered_to_save(const trained& learner) {
  const eng::division_of_training& division = learner.division;
  if (learner.place == learning_place::card) {
    return eng::card_weight_bytes(learner.model, true, dtype::f32);
  }
  if (!learner.has_masters() || division.zero == 0) {
    return 0;
  }
  return eng::pass_weight_bytes(learner.model, division.ranks, 3) -
         eng::training_memory_of(learner.model, division).shard_bytes;
}

void add_process(held& memory, const io::job& job, const eng::model_description& model) {
  memory.add("tokenizer", tokenizer_bytes_per_id * model.vocabulary);
  memory.add("process", process_bytes + (job.place.ranks > 1 ? mpi_bytes : 0));
}

/// The ranks of a model, 0 to `all` - 1 where none are named.
std::vector<int64_t> ranks_of(const io::rank_list& named, int64_t all) {
  std::vector<int64_t> ranks = named.ranks;
  if (ranks.empty()) {
    ranks.resize(static_cast<size_t>(all));
    std::iota(ranks.begin(), ranks.end(), int64_t{0});
  }
  return ranks;
}

eng::division_of_training division_of(const io::job& job, int64_t zero, const io::rank_list& named = {}) {
  const size_t ranks = ranks_of(named, job.place.ranks).size();
  return {.ranks = static_cast<int>(ranks), .zero = static_cast<int>(zero), .lanes = job.run.lanes};
}

/// The best is another one only where the phase is evaluated on its way.
int64_t checkpoints_of(const io::job& job, int64_t evaluate_every) {
  return job.run.keep_checkpoints + 1 + (job.run.keep_best && evaluate_every > 0 ? 1 : 0);
}

/// Forward and backward passes cost three forward ones, and one more where activations are computed anew.
double training_passes(const io::job& job) { return job.run.activation_checkpointing ? 4 : 3; }

/// The largest micro-batch of `items` items of so many sequences, none longer than `longest`. An item that is longer
/// than the budget is a micro-batch of its own.
eng::planned_batch largest_micro_batch(int64_t token_budget, int64_t items, int64_t sequences_each, int64_t longest) {
  const int64_t item = sequences_each * longest;
  return {.tokens = std::min(std::max(token_budget, item), items * item), .longest = longest};
}

phase_plan plan_supervised(const io::job& job, io::phase phase, const eng::model_description& model) {
  const bool pairs = phase == io::phase::reward;
  const io::training_options& training = pairs ? job.reward.training : job.sft.training;
  const double sequences = static_cast<double>(training.batch) * (pairs ? 2 : 1);
  const auto length = static_cast<double>(job.length.max_tokens);
  const bool checkpointing = job.run.activation_checkpointing;
  const eng::planned_batch micro =
      largest_micro_batch(training.micro_batch_tokens, training.batch, pairs ? 2 : 1, job.length.max_tokens);
  const trained learner = trained_by(job, pairs ? "reward model" : "policy", model,
                                     division_of(job, pairs ? job.place.reward_zero : job.place.policy_zero));
  held memory;
  add_trained(memory, learner, micro, checkpointing);
  memory.add("checkpoint copy",
             is_copied_for_checkpoints(job, learner) ? learner.checkpoint_bytes() / job.place.ranks : 0);
  add_saving(memory, model, gathered_to_save(learner));
  add_process(memory, job, model);
  phase_plan plan{.phase = std::string(io::to_string(phase)),
                  .unit = "update",
                  .on_cards = runs_on_cards(job),
                  .count = training.updates};
  plan.models.push_back({learner.name, learner.parameters()});
  plan.checkpoint_bytes = learner.checkpoint_bytes();
  plan.checkpoints = checkpoints_of(job, training.evaluate_every);
  plan.ranks.push_back({ranks_of({}, job.place.ranks), std::move(memory).items()});
  plan.flops_each = training_passes(job) * eng::forward_flops(model, sequences * length, length / 2);
  return plan;
}

/// Prompts to be answered, by so many ranks.
struct rollout_plan {
  int64_t prompts = 0, samples = 1;
  int64_t positions = 0;  ///< of the longest sequence
  int ranks = 1;
  std::optional<dtype> host_type;  ///< of the policy's weights in host memory, where it is not the passes'
  bool lies_on_card = false;       ///< the policy, with all that it learns with
};

/// What a rollout needs of a rank beside the policy's own weights: of ranks
/// that generate together, the one with the most.
void add_generation(held& memory, const io::job& job, const eng::model_description& policy,
                    const rollout_plan& wanted) {
  const int together = actors::tensor_parallel_of(job.place, wanted.ranks);
  const int64_t groups = wanted.ranks / together;
  const int64_t sequences = (wanted.prompts + groups - 1) / groups * wanted.samples;
  const auto part = eng::description_of(policy, eng::split_columns(policy, 0, together));
  const dtype type = actors::weight_type_of(job.model);
  const dtype host_type = wanted.host_type.value_or(type);
  const std::string weights = "policy weights to generate";
  if (together > 1 && !wanted.lies_on_card) {
    memory.add(weights, eng::column_weight_bytes(policy, together, host_type), held_in::rollout);
  }
  if (!runs_on_cards(job)) {  // a card's are sent segment by segment, and each goes from host memory then
    if (together > 1) {
      memory.add("logits gathered", eng::sampling_scratch_bytes(policy), held_in::rollout);
    } else {
      memory.add(weights, eng::pass_weight_bytes(policy, 1, 0, host_type) - memory["policy weights"], held_in::rollout);
    }
    memory.add("keys and values",
               std::min(eng::cache_bytes(part, sequences, wanted.positions), job.generation.cache_mib * mib),
               held_in::rollout);
    return;
  }
  memory.add_to_card("keys and values", eng::card_cache_bytes(part, job.generation.cache_mib, type), held_in::rollout);
  if (together > 1) {
    memory.add_to_card(weights, eng::column_weight_bytes(policy, together, type), held_in::rollout);
    memory.add_to_card("columns gathered", eng::card_columns_bytes(policy, job.generation.step_tokens, type));
  } else {
    memory.add_to_card(weights, eng::card_weight_bytes(policy, false, type) - memory.on_card("policy weights"),
                       held_in::rollout);
    memory.add_to_card("decoding", eng::card_decoding_bytes(policy, sequences, type));
  }
  memory.scratch().add_generation(policy, job.generation.step_tokens, type);
}

phase_plan plan_pairs(const io::job& job, const cast_of_models& models) {
  const eng::model_size size = eng::size_of(models.policy);
  const int64_t length = actors::longest_rollout(job, io::phase::pairs, models.policy.max_positions);
  const dtype type = actors::weight_type_of(job.model);
  held memory;
  memory.add("policy weights", eng::pass_weight_bytes(models.policy, 1, 0, type));
  if (runs_on_cards(job)) {
    memory.add_to_card("policy weights", eng::card_weight_bytes(models.policy, false, type));
  }
  add_generation(memory, job, models.policy,
                 {.prompts = job.pairs.prompts_per_iteration,
                  .samples = job.pairs.samples_per_prompt,
                  .positions = length,
                  .ranks = static_cast<int>(job.place.ranks)});
  if (!runs_on_cards(job)) {
    memory.add("generation scratch", eng::generation_scratch_bytes(models.policy, job.generation.step_tokens) +
                                         eng::sampling_scratch_bytes(models.policy));
  }
  add_process(memory, job, models.policy);
  phase_plan plan{.phase = "pairs", .unit = "iteration", .on_cards = runs_on_cards(job)};
  plan.count = (job.pairs.prompts + job.pairs.prompts_per_iteration - 1) / job.pairs.prompts_per_iteration;
  plan.models.push_back({"policy", size.parameters});
  plan.ranks.push_back({ranks_of({}, job.place.ranks), std::move(memory).items()});
  const int64_t sequences = job.pairs.prompts_per_iteration * job.pairs.samples_per_prompt;
  plan.flops_each =
      eng::forward_flops(models.policy, static_cast<double>(sequences * length), static_cast<double>(length) / 2);
  return plan;
}

/// Evaluations of a ppo phase: before it, every few iterations, and at its end.
int64_t evaluations_of(const io::ppo_section& ppo) {
  const int64_t every = ppo.evaluate_every > 0 ? ppo.evaluate_every : ppo.iterations;
  return 1 + (ppo.iterations + every - 1) / every;
}

/// How many iterations' files there are at most at once.
int64_t kept_rollouts(const io::experience_section& experience, int64_t iterations) {
  if (experience.keep == 0) {
    return iterations;
  }
  const int64_t every = experience.keep_every > 0 ? iterations / experience.keep_every : 0;
  return std::min(iterations, experience.keep + every + experience.keep_best);
}

/// Files of rollouts that are kept and of all evaluations: five floats and an id per answer token, an id per prompt
/// token, and the text.
int64_t experience_bytes(const io::job& job, int64_t sequences, int64_t length) {
  const int64_t answer = std::min(job.generation.max_new_tokens, length);
  int64_t sequence = 24 * answer + 4 * (length - answer);
  sequence += job.experience.text ? text_bytes_per_token * length : 0;
  const int64_t held_out = job.evaluation.prompts * job.evaluation.samples_per_prompt;
  return (kept_rollouts(job.experience, job.ppo.iterations) * sequences + evaluations_of(job.ppo) * held_out) *
         sequence;
}

/// The ppo phase, or its replay: which rank holds what, and what it does.
class ppo_plan {
public:
  ppo_plan(const io::job& job, const cast_of_models& models);
  phase_plan plan() const;

private:
  struct roles {
    bool policy = false, critic = false, reference = false, reward = false;
    auto operator<=>(const roles&) const = default;
  };

  std::vector<rank_plan> ranks() const;
  held memory_of(const roles& of) const;
  void add_policy(held& memory) const;
  void add_rollout(held& memory) const;
  void add_frozen(held& memory, const std::string& name, const eng::model_description& model,
                  const io::rank_list& on) const;
  double flops() const;
  double mixture_flops() const;
  int64_t mixture_batch() const;

  const io::job& job_;
  const cast_of_models& models_;
  bool replayed_;  ///< nothing is generated, and only the policy scores
  trained policy_, critic_;
  std::vector<std::pair<std::string, eng::model_description>> judges_;  ///< reward models that score
  int64_t sequences_, length_;
  eng::planned_batch scored_, learned_;  ///< micro-batches: of rollouts, and what the policy learns, mixture included
  int64_t average_bytes_ = 0;            ///< on disk
};

ppo_plan::ppo_plan(const io::job& job, const cast_of_models& models)
    : job_(job), models_(models), replayed_(job.has(io::phase::replay)),
      policy_(
          trained_by(job, "policy", models.policy, division_of(job, job.place.policy_zero, job.place.policy_ranks))),
      critic_(
          trained_by(job, "critic", models.critic, division_of(job, job.place.critic_zero, job.place.critic_ranks))),
      sequences_(job.ppo.prompts * job.ppo.samples_per_prompt),
      length_(actors::longest_rollout(job, io::phase::ppo, models.policy.max_positions)),
      scored_(largest_micro_batch(job.ppo.micro_batch_tokens, sequences_, 1, length_)), learned_(scored_) {
  if (job.ppo.ptx_coef > 0) {
    const eng::planned_batch mixed =
        largest_micro_batch(job.ppo.micro_batch_tokens, mixture_batch(), 1, job.length.max_tokens);
    learned_ = {.tokens = std::max(scored_.tokens, mixed.tokens), .longest = std::max(scored_.longest, mixed.longest)};
  }
  if (job.ppo.ema_decay > 0) {
    average_bytes_ = policy_.parameters() * static_cast<int64_t>(sizeof(float));
  }
  for (const io::reward_source& source : job.rewards) {
    if (source.kind == io::reward_kind::model && !replayed_) {
      judges_.emplace_back(source.name, source.model.empty() ? models.reward : description_of(source.model, true));
    }
  }
}

void ppo_plan::add_policy(held& memory) const {
  add_trained(memory, policy_, learned_, job_.run.activation_checkpointing);
  const int64_t shard = eng::training_memory_of(policy_.model, policy_.division).shard_bytes;
  const int64_t average = average_bytes_ > 0 ? shard : 0;
  policy_.place == learning_place::card ? memory.add_to_card("policy average", average)
                                        : memory.add("policy average", average);
  if (!replayed_) {
    add_rollout(memory);
  }
  const int64_t others =
      average_bytes_ > 0 ? eng::pass_weight_bytes(policy_.model, policy_.division.ranks, 3) - shard : 0;
  add_saving(memory, policy_.model, std::max(others, gathered_to_save(policy_)));
}

void ppo_plan::add_rollout(held& memory) const {
  const bool more_held_out = job_.evaluation.prompts * job_.evaluation.samples_per_prompt > sequences_;
  add_generation(memory, job_, policy_.model,
                 {.prompts = more_held_out ? job_.evaluation.prompts : job_.ppo.prompts,
                  .samples = more_held_out ? job_.evaluation.samples_per_prompt : job_.ppo.samples_per_prompt,
                  .positions = length_,
                  .ranks = policy_.division.ranks,
                  .host_type = policy_.host_type(),
                  .lies_on_card = learning_place_of(job_) == learning_place::card});
}

void ppo_plan::add_frozen(held& memory, const std::string& name, const eng::model_description& model,
                          const io::rank_list& on) const {
  const auto ranks = static_cast<int>(ranks_of(on, job_.place.ranks).size());
  eng::planned_batch batch = scored_;
  batch.weights_fetched = are_weights_fetched(job_.place.frozen_zero, ranks) ||
                          (runs_on_cards(job_) && job_.place.frozen == io::memory_place::host);
  const dtype type = actors::weight_type_of(job_.model);
  memory.add(name + " weights", eng::pass_weight_bytes(model, ranks, static_cast<int>(job_.place.frozen_zero), type));
  if (runs_on_cards(job_)) {
    const int64_t weights = eng::card_weight_bytes(model, batch.weights_fetched, type);
    if (batch.weights_fetched) {
      memory.add_to_card(name + " weights in flight", weights, held_in::rollout);  // answers are scored then
    } else {
      memory.add_to_card(name + " weights", weights);
    }
    memory.scratch().add_forward(model, batch, type);
    return;
  }
  memory.add(name + " scratch",
             eng::forward_scratch_bytes(model, batch) + eng::product_scratch_bytes() + eng::head_scratch_bytes(model));
}

held ppo_plan::memory_of(const roles& of) const {
  held memory;
  int64_t copy = 0;
  if (of.policy) {
    add_policy(memory);
    copy += (policy_.checkpoint_bytes() + average_bytes_) / policy_.division.ranks;
  }
  if (of.critic) {
    add_trained(memory, critic_, scored_, job_.run.activation_checkpointing);
    copy += critic_.checkpoint_bytes() / critic_.division.ranks;
  }
  if (of.critic && !of.policy) {
    add_saving(memory, critic_.model, gathered_to_save(critic_));
  }
  if (of.reference) {
    add_frozen(memory, "reference", models_.reference, job_.place.reference_ranks);
  }
  for (const auto& [name, judge] : judges_) {
    if (of.reward) {
      add_frozen(memory, "reward model " + name, judge, job_.place.reward_ranks);
    }
  }
  memory.add("checkpoint copy", is_copied_for_checkpoints(job_, policy_) ? copy : 0);
  add_process(memory, job_, policy_.model);
  return memory;
}

std::vector<rank_plan> ppo_plan::ranks() const {
  const io::place_section& place = job_.place;
  std::vector<roles> of(static_cast<size_t>(place.ranks));
  const auto give = [&](const io::rank_list& named, bool roles::*role) {
    for (const int64_t rank : ranks_of(named, place.ranks)) {
      of[static_cast<size_t>(rank)].*role = true;
    }
  };
  give(place.policy_ranks, &roles::policy);
  give(place.critic_ranks, &roles::critic);
  if (!replayed_) {
    give(place.reference_ranks, &roles::reference);
    give(place.reward_ranks, &roles::reward);
  }
  std::map<roles, rank_plan> alike;
  for (size_t rank = 0; rank < of.size(); ++rank) {
    alike[of[rank]].ranks.push_back(static_cast<int64_t>(rank));
  }
  std::vector<rank_plan> plans;
  for (auto& [role, plan] : alike) {
    plan.memory = memory_of(role).items();
    plans.push_back(std::move(plan));
  }
  std::stable_sort(plans.begin(), plans.end(), [](const auto& a, const auto& b) { return a.bytes() > b.bytes(); });
  return plans;
}

/// Records that are mixed into an update.
int64_t ppo_plan::mixture_batch() const {
  return job_.ppo.ptx_batch > 0 ? job_.ppo.ptx_batch : sequences_ / job_.ppo.minibatches;
}

/// What the policy learns of sft data beside the rollout, in each update of an iteration.
double ppo_plan::mixture_flops() const {
  const io::ppo_section& ppo = job_.ppo;
  if (ppo.ptx_coef <= 0) {
    return 0;
  }
  const auto tokens = static_cast<double>(ppo.epochs * ppo.minibatches * mixture_batch() * job_.length.max_tokens);
  const double context = static_cast<double>(job_.length.max_tokens) / 2;
  return training_passes(job_) * eng::forward_flops(models_.policy, tokens, context);
}

double ppo_plan::flops() const {
  const auto tokens = static_cast<double>(sequences_ * length_);
  const double context = static_cast<double>(length_) / 2;
  const double training = training_passes(job_) * static_cast<double>(job_.ppo.epochs);
  const double policy = eng::forward_flops(models_.policy, tokens, context);
  const double critic = eng::forward_flops(models_.critic, tokens, context);
  if (replayed_) {
    return (policy + critic) * training + (job_.replay.verify ? 0 : policy) + mixture_flops();
  }
  double sum = (policy + critic) * (1 + training);
  for (const auto& [name, judge] : judges_) {
    sum += eng::forward_flops(judge, tokens, context);
  }
  return sum + eng::forward_flops(models_.reference, tokens, context) + mixture_flops();
}

phase_plan ppo_plan::plan() const {
  phase_plan plan{.phase = replayed_ ? "replay" : "ppo",
                  .unit = "iteration",
                  .on_cards = runs_on_cards(job_),
                  .count = replayed_ ? job_.replay.to_iteration - job_.replay.from_iteration : job_.ppo.iterations};
  plan.models = {{"policy", policy_.parameters()}, {"critic", critic_.parameters()}};
  plan.ranks = ranks();
  plan.checkpoint_bytes = policy_.checkpoint_bytes() + critic_.checkpoint_bytes() + average_bytes_;
  plan.checkpoints = checkpoints_of(job_, replayed_ ? 0 : job_.ppo.evaluate_every);
  plan.experience_bytes = replayed_ ? 0 : experience_bytes(job_, sequences_, length_);
  plan.flops_each = flops();
  return plan;
}

}  // namespace

namespace {

/// Of what is held in each part of the work.
std::map<held_in, int64_t> sums_of(const std::vector<planned_memory>& memory, memory_kind of) {
  std::map<held_in, int64_t> sum;
  for (const planned_memory& item : memory) {
    sum[item.when] += of == memory_kind::card ? item.card_bytes : item.bytes;
  }
  return sum;
}

}  // namespace

held_in rank_plan::fullest(memory_kind of) const {
  std::map<held_in, int64_t> sum = sums_of(memory, of);
  sum[held_in::always] = 0;
  const auto less = [](const auto& a, const auto& b) { return a.second < b.second; };
  return std::max_element(sum.begin(), sum.end(), less)->first;
}

int64_t rank_plan::bytes(memory_kind of) const {
  std::map<held_in, int64_t> sum = sums_of(memory, of);
  const held_in part = fullest(of);
  return sum[held_in::always] + (part == held_in::always ? 0 : sum[part]);
}

const rank_plan& phase_plan::fullest(memory_kind of) const {
  const auto less = [of](const rank_plan& a, const rank_plan& b) { return a.bytes(of) < b.bytes(of); };
  return *std::max_element(ranks.begin(), ranks.end(), less);
}

std::vector<phase_plan> plan_job(const io::job& job) {
  require_configs(job);
  const cast_of_models models(io::starting_folders_of(job, nullptr));
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
    case io::phase::replay:
      plans.push_back(ppo_plan(job, models).plan());
      break;
    }
  }
  return plans;
}

int64_t least_cache_mib(const io::job& job) {
  const eng::model_description policy = actors::shape_of(io::starting_folders_of(job, nullptr).policy);
  int64_t longest = 0;
  for (const io::phase phase : {io::phase::pairs, io::phase::ppo}) {
    longest = std::max(longest, job.has(phase) ? actors::longest_rollout(job, phase, policy.max_positions) : 0);
  }
  const auto ranks = static_cast<int>(ranks_of(job.place.policy_ranks, job.place.ranks).size());
  const eng::model_description part =
      eng::description_of(policy, eng::split_columns(policy, 0, actors::tensor_parallel_of(job.place, ranks)));
  const int64_t page = eng::kv_cache::page_bytes(part, actors::weight_type_of(job.model));
  return divide_up(eng::kv_cache::pages_for(longest) * page, mib);
}

int64_t run_directory_bytes(const io::job& job, const std::vector<phase_plan>& plans) {
  int64_t bytes = 0;
  int64_t being_written = 0;  // of one phase at a time
  for (const phase_plan& plan : plans) {
    being_written = std::max(being_written, plan.checkpoint_bytes);
    bytes += std::max<int64_t>(plan.checkpoints - 1, 0) * plan.checkpoint_bytes + plan.experience_bytes;
    if (plan.phase == "pairs") {
      continue;  // text only
    }
    for (const planned_model& model : plan.models) {
      const bool averaged = plan.phase == "ppo" && model.name == "policy" && job.ppo.ema_decay > 0;
      bytes += (averaged ? 2 : 1) * model.parameters * static_cast<int64_t>(sizeof(float));
    }
  }
  return bytes + being_written;
}

}  // namespace troupe
