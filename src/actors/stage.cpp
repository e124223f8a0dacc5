#include "actors/stage.hpp"

#include "actors/checkpointer.hpp"
#include "actors/critic.hpp"
#include "actors/ema.hpp"
#include "actors/guarded.hpp"
#include "actors/loader.hpp"
#include "actors/optimizer.hpp"
#include "actors/options.hpp"
#include "actors/policy.hpp"
#include "actors/reference.hpp"
#include "actors/replay.hpp"
#include "io/pairs_file.hpp"
#include "kernels/base/digest.hpp"

#include <filesystem>
#include <numeric>

namespace troupe::actors {

namespace {

caf::strong_actor_ptr pointer(const auto& handle) { return caf::actor_cast<caf::strong_actor_ptr>(handle); }

caf::actor untyped(const auto& handle) { return caf::actor_cast<caf::actor>(handle); }

/// A model's files as far as they make its numbers: enough to tell models apart.
std::string weights_digest(context& ctx, model& m) {
  engine::gathered_weights weights(m.weights);
  const engine::weights_view view = weights.view();
  digest_stream stream;
  const std::vector<engine::arena_range> segments = m.net.segments();
  for (size_t s = 0; s < segments.size(); ++s) {
    const engine::held_segment held(ctx, view.access, static_cast<int64_t>(s));
    stream.update(std::as_bytes(std::span(view.data + segments[s].first, static_cast<size_t>(segments[s].size()))));
  }
  return digest_text(stream.value());
}

/// Batches are packed, so nothing here needs a pad; `transformers` wants one for scalar heads.
int64_t pad_token_of(const io::tokenizer& tokens) { return tokens.pad_id().value_or(tokens.eos_id().value_or(0)); }

void require_lengths(const io::job& job, const model& m) {
  const int64_t positions = m.net.description().max_positions;
  if (job.length.max_tokens > positions) {
    throw error(errc::bad_argument,
                "length.max-tokens is {}, but {} has {} positions: set length.max-tokens to at most {}",
                job.length.max_tokens, m.folder.string(), positions, positions);
  }
}

}  // namespace

// Models compute in handlers that block for long, so every actor of the cast has a thread of its own.
template <class Handle, class... Arguments> Handle stage_state::spawn(Arguments&&... arguments) {
  auto handle = self_->spawn<caf::detached>(std::forward<Arguments>(arguments)...);
  spawned_.push_back(pointer(handle));
  return handle;
}

cast stage_state::set(const std::string& phase) {
  if (!ranks_) {
    const operation_scope scope(settings_->on->pulse, "join the other ranks");
    ranks_ = settings_->join();
  }
  const operation_scope scope(settings_->on->pulse, "load models and data");
  clear();
  work_ = ranks_->open("work");
  if (phase == io::to_string(io::phase::pairs)) {
    return set_pairs();
  }
  if (phase == io::to_string(io::phase::sft)) {
    return set_sft();
  }
  if (phase == io::to_string(io::phase::reward)) {
    return set_reward();
  }
  if (phase == io::to_string(io::phase::ppo)) {
    return set_ppo();
  }
  throw error(errc::bad_argument, "there is no phase \"{}\"", phase);
}

void stage_state::clear() {
  for (const caf::strong_actor_ptr& actor : spawned_) {
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  }
  spawned_.clear();
}

/// The launcher takes a rank that ends without leaving the others for a failure.
void stage_state::leave() {
  clear();
  work_.reset();
  ranks_.reset();
}

std::filesystem::path stage_state::policy_start() const {
  const auto tuned = settings_->run.model("sft");
  return settings_->job.has(io::phase::sft) && std::filesystem::exists(tuned)
             ? tuned
             : std::filesystem::path(settings_->job.model.policy);
}

engine::communicator_ptr stage_state::open_weights(const std::string& name, int64_t zero) const {
  const bool shared = zero == 3 && ranks_->size() > 1;
  return shared ? ranks_->open(name + " weights") : nullptr;
}

model_ptr stage_state::load_policy(const std::filesystem::path& folder, engine::communicator_ptr shared) const {
  const io::job& job = settings_->job;
  const bool random = job.model.initial == io::initial_weights::random && folder == job.model.policy;
  model_ptr m = random ? random_model(folder, head_kind::language_model, job.run.seed, shared)
                       : load_model(folder, head_kind::language_model, shared);
  require_lengths(job, *m);
  settings_->on->pulse.touch();
  return m;
}

model_ptr stage_state::load_critic(const std::filesystem::path& policy_folder) const {
  const io::job& job = settings_->job;
  std::filesystem::path folder = job.model.critic;
  if (folder.empty() && job.has(io::phase::reward)) {
    folder = settings_->run.model("reward");
  }
  if (folder.empty()) {
    folder = job.model.reward.empty() ? policy_folder : std::filesystem::path(job.model.reward);
  }
  model_ptr m = load_model(folder, head_kind::scalar, open_weights("critic", job.place.critic_zero));
  settings_->on->pulse.touch();
  return m;
}

trained_model_ptr stage_state::with_learner(model_ptr of, const io::optimizer_options& options, int64_t zero,
                                            const std::string& name) const {
  auto trained = std::make_shared<trained_model>();
  trained->learner = std::make_unique<engine::learner>(of->net,
                                                       engine::learner_settings{.adamw = adamw_of(options),
                                                                                .lanes = settings_->job.run.lanes,
                                                                                .zero = static_cast<int>(zero)},
                                                       ranks_->open(name + " gradients"));
  trained->of = std::move(of);
  return trained;
}

engine::communicator_ptr stage_state::open_columns() const {
  const int together = tensor_parallel_of(settings_->job.place, ranks_->size());
  if (together == 1) {
    return nullptr;
  }
  std::vector<int> members(static_cast<size_t>(together));
  std::iota(members.begin(), members.end(), ranks_->rank() / together * together);
  return ranks_->open("generation", members);
}

std::shared_ptr<const io::tokenizer> stage_state::load_tokens(const std::filesystem::path& folder,
                                                              const model& m) const {
  std::shared_ptr<const io::tokenizer> tokens = io::load_tokenizer(folder);
  if (tokens->vocabulary_size() > m.net.description().vocabulary) {
    throw error(errc::bad_argument, "{}: the tokenizer has {} ids, the model only {}", folder.string(),
                tokens->vocabulary_size(), m.net.description().vocabulary);
  }
  return tokens;
}

io::phase_data stage_state::load_data(io::phase phase, std::shared_ptr<const io::tokenizer> tokens) const {
  const auto made = io::pairs_file(settings_->run);
  io::phase_data data = io::load_phase_data(settings_->job, phase, example_rules_of(settings_->job, tokens),
                                            std::filesystem::exists(made) ? made.string() : "");
  settings_->on->pulse.touch();
  return data;
}

std::vector<reward_judge> stage_state::load_judges(const std::vector<io::reward_source>& sources) const {
  std::vector<reward_judge> judges;
  for (const io::reward_source& source : sources) {
    reward_judge judge{.source = source, .of = nullptr, .words = {}};
    if (source.kind == io::reward_kind::model) {
      const std::filesystem::path own = settings_->job.has(io::phase::reward)
                                            ? settings_->run.model("reward")
                                            : std::filesystem::path(settings_->job.model.reward);
      judge.of = load_model(source.model.empty() ? own : std::filesystem::path(source.model), head_kind::scalar,
                            open_weights("reward " + source.name, settings_->job.place.frozen_zero));
    } else if (source.kind == io::reward_kind::lexicon) {
      judge.words = io::lexicon::load(source.lexicon);
    }
    judges.push_back(std::move(judge));
    settings_->on->pulse.touch();
  }
  return judges;
}

void stage_state::describe(const io::phase_data& data, cast& parts) const {
  for (size_t s = 0; s < data.training.size(); ++s) {
    parts.examples += static_cast<int64_t>(data.training[s].size());
    parts.held_out += static_cast<int64_t>(data.held_out[s].size());
  }
  for (const io::source_report& report : data.reports) {
    if (report.records > 0) {
      parts.notes.push_back(io::describe(report));
    }
  }
}

std::map<std::string, std::string> stage_state::digests(const io::phase_data& data) const {
  return {{"job", digest_text(io::job_digest(settings_->job))}, {"data", digest_text(data.digest)}};
}

cast stage_state::set_pairs() {
  const io::job& job = settings_->job;
  const model_ptr m = load_policy(job.model.policy);
  const auto tokens = load_tokens(m->folder, *m);
  io::phase_data data = load_data(io::phase::pairs, tokens);
  io::reward_source labeller = *job.reward_named(job.pairs.reward);
  labeller.weight = 1;  // here it alone judges, whatever it weighs in PPO
  const std::vector<io::reward_source> sources = {labeller};

  cast parts;
  describe(data, parts);
  const auto replay_handle = spawn<replay_actor>(replay, replay_settings{.job = job,
                                                                         .phase = io::phase::pairs,
                                                                         .run = settings_->run,
                                                                         .tokens = tokens,
                                                                         .reward_sources = sources,
                                                                         .source_names = data.source_names,
                                                                         .job_digest = {},
                                                                         .policy_digest = {},
                                                                         .attempt = settings_->attempt,
                                                                         .scorers = 1,
                                                                         .group = work_});
  const auto reward_handle = spawn<reward_actor>(reward, reward_settings{.job = job,
                                                                         .on = settings_->on,
                                                                         .tokens = tokens,
                                                                         .judges = load_judges(sources),
                                                                         .trained = nullptr,
                                                                         .source_names = {},
                                                                         .replay = untyped(replay_handle)});
  auto holder = std::make_shared<trained_model>();
  holder->of = m;
  const auto policy_handle =
      spawn<policy_actor>(policy, policy_settings{.job = job,
                                                  .phase = io::phase::pairs,
                                                  .on = settings_->on,
                                                  .trained = holder,
                                                  .tokens = tokens,
                                                  .group = work_,
                                                  .columns = open_columns(),
                                                  .receivers = {untyped(reward_handle), untyped(replay_handle)}});
  const auto loader_handle = spawn<loader_actor>(loader, loader_settings{.job = job,
                                                                         .phase = io::phase::pairs,
                                                                         .data = std::move(data),
                                                                         .mixture = {},
                                                                         .trainee = untyped(policy_handle)});
  parts.loader = pointer(loader_handle);
  parts.policy = pointer(policy_handle);
  parts.reward = pointer(reward_handle);
  parts.replay = pointer(replay_handle);
  return parts;
}

cast stage_state::set_sft() {
  const io::job& job = settings_->job;
  const trained_model_ptr trained =
      with_learner(load_policy(job.model.policy, open_weights("policy", job.place.policy_zero)),
                   job.sft.training.optimizer, job.place.policy_zero, "policy");
  const auto tokens = load_tokens(trained->of->folder, *trained->of);
  io::phase_data data = load_data(io::phase::sft, tokens);

  cast parts;
  describe(data, parts);
  parts.checkpointer = pointer(
      spawn<checkpointer_actor>(checkpointer, checkpointer_settings{.run = settings_->run,
                                                                    .group = ranks_->open("checkpoints"),
                                                                    .attempt = settings_->attempt,
                                                                    .phase = "sft",
                                                                    .unit = "update",
                                                                    .keep = job.run.keep_checkpoints,
                                                                    .digests = digests(data),
                                                                    .on = settings_->on,
                                                                    .models = {{"policy", trained}},
                                                                    .average = nullptr,
                                                                    .saved = {{"sft", trained->of, nullptr, 0}}}));
  const auto policy_handle = spawn<policy_actor>(policy, policy_settings{.job = job,
                                                                         .phase = io::phase::sft,
                                                                         .on = settings_->on,
                                                                         .trained = trained,
                                                                         .tokens = tokens,
                                                                         .group = work_,
                                                                         .columns = nullptr,
                                                                         .receivers = {}});
  parts.policy = pointer(policy_handle);
  parts.policy_optimizer = pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, trained}));
  parts.loader = pointer(spawn<loader_actor>(loader, loader_settings{.job = job,
                                                                     .phase = io::phase::sft,
                                                                     .data = std::move(data),
                                                                     .mixture = {},
                                                                     .trainee = untyped(policy_handle)}));
  return parts;
}

cast stage_state::set_reward() {
  const io::job& job = settings_->job;
  const std::filesystem::path start = job.model.reward.empty() ? job.model.policy : job.model.reward;
  const model_ptr m = load_model(start, head_kind::scalar, open_weights("reward model", job.place.reward_zero));
  require_lengths(job, *m);
  const trained_model_ptr trained =
      with_learner(m, job.reward.training.optimizer, job.place.reward_zero, "reward model");
  const auto tokens = load_tokens(start, *m);
  io::phase_data data = load_data(io::phase::reward, tokens);

  cast parts;
  describe(data, parts);
  parts.checkpointer = pointer(spawn<checkpointer_actor>(
      checkpointer, checkpointer_settings{.run = settings_->run,
                                          .group = ranks_->open("checkpoints"),
                                          .attempt = settings_->attempt,
                                          .phase = "reward",
                                          .unit = "update",
                                          .keep = job.run.keep_checkpoints,
                                          .digests = digests(data),
                                          .on = settings_->on,
                                          .models = {{"reward", trained}},
                                          .average = nullptr,
                                          .saved = {{"reward", m, nullptr, pad_token_of(*tokens)}}}));
  const auto reward_handle = spawn<reward_actor>(reward, reward_settings{.job = job,
                                                                         .on = settings_->on,
                                                                         .tokens = tokens,
                                                                         .judges = {},
                                                                         .trained = trained,
                                                                         .source_names = data.source_names,
                                                                         .replay = {}});
  parts.reward = pointer(reward_handle);
  parts.reward_optimizer = pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, trained}));
  parts.loader = pointer(spawn<loader_actor>(loader, loader_settings{.job = job,
                                                                     .phase = io::phase::reward,
                                                                     .data = std::move(data),
                                                                     .mixture = {},
                                                                     .trainee = untyped(reward_handle)}));
  return parts;
}

cast stage_state::set_ppo() {
  const io::job& job = settings_->job;
  const auto start = policy_start();
  const trained_model_ptr trained = with_learner(load_policy(start, open_weights("policy", job.place.policy_zero)),
                                                 job.ppo.policy, job.place.policy_zero, "policy");
  const auto tokens = load_tokens(trained->of->folder, *trained->of);
  const model_ptr frozen = load_model(job.model.reference.empty() ? start : std::filesystem::path(job.model.reference),
                                      head_kind::language_model, open_weights("reference", job.place.frozen_zero));
  const trained_model_ptr trained_critic =
      with_learner(load_critic(start), job.ppo.critic, job.place.critic_zero, "critic");
  io::phase_data data = load_data(io::phase::ppo, tokens);
  std::optional<io::phase_data> mixture;
  if (job.ppo.ptx_coef > 0) {
    mixture = load_data(io::phase::sft, tokens);
  }
  std::shared_ptr<engine::weight_average> average;
  if (job.ppo.ema_decay > 0) {
    average = std::make_shared<engine::weight_average>(trained->learner->plan(), trained->learner->rank(),
                                                       trained->of->weights.data(), job.ppo.ema_decay);
  }

  cast parts;
  describe(data, parts);
  std::vector<saved_model> saved = {{"policy", trained->of, nullptr, 0},
                                    {"critic", trained_critic->of, nullptr, pad_token_of(*tokens)}};
  if (average) {
    saved.push_back({"policy-ema", trained->of, average, 0});
  }
  auto known = digests(data);
  const std::string policy_digest = weights_digest(settings_->on->ctx, *trained->of);
  known["policy"] = policy_digest;
  parts.checkpointer = pointer(spawn<checkpointer_actor>(
      checkpointer, checkpointer_settings{.run = settings_->run,
                                          .group = ranks_->open("checkpoints"),
                                          .attempt = settings_->attempt,
                                          .phase = "ppo",
                                          .unit = "iteration",
                                          .keep = job.run.keep_checkpoints,
                                          .digests = known,
                                          .on = settings_->on,
                                          .models = {{"policy", trained}, {"critic", trained_critic}},
                                          .average = average,
                                          .saved = std::move(saved)}));
  const auto replay_handle = spawn<replay_actor>(replay, replay_settings{.job = job,
                                                                         .phase = io::phase::ppo,
                                                                         .run = settings_->run,
                                                                         .tokens = tokens,
                                                                         .reward_sources = job.rewards,
                                                                         .source_names = data.source_names,
                                                                         .job_digest = known["job"],
                                                                         .policy_digest = policy_digest,
                                                                         .attempt = settings_->attempt,
                                                                         .scorers = 3,
                                                                         .group = work_});
  const auto reference_handle = spawn<reference_actor>(
      reference, reference_settings{.on = settings_->on,
                                    .of = frozen,
                                    .temperature = training_temperature(sampling_of(job.generation)),
                                    .micro_batch_tokens = job.ppo.micro_batch_tokens,
                                    .replay = untyped(replay_handle)});
  const auto reward_handle = spawn<reward_actor>(reward, reward_settings{.job = job,
                                                                         .on = settings_->on,
                                                                         .tokens = tokens,
                                                                         .judges = load_judges(job.rewards),
                                                                         .trained = nullptr,
                                                                         .source_names = {},
                                                                         .replay = untyped(replay_handle)});
  const auto critic_handle = spawn<critic_actor>(
      critic,
      critic_settings{.job = job, .on = settings_->on, .trained = trained_critic, .replay = untyped(replay_handle)});
  const auto policy_handle =
      spawn<policy_actor>(policy, policy_settings{.job = job,
                                                  .phase = io::phase::ppo,
                                                  .on = settings_->on,
                                                  .trained = trained,
                                                  .tokens = tokens,
                                                  .group = work_,
                                                  .columns = open_columns(),
                                                  .receivers = {untyped(replay_handle), untyped(reference_handle),
                                                                untyped(reward_handle), untyped(critic_handle)}});
  self_->send(replay_handle, introduce_atom_v, untyped(policy_handle), untyped(critic_handle));
  if (average) {
    parts.ema = pointer(spawn<ema_actor>(ema, ema_settings{settings_->on, trained->of, average}));
  }
  parts.loader = pointer(spawn<loader_actor>(loader, loader_settings{.job = job,
                                                                     .phase = io::phase::ppo,
                                                                     .data = std::move(data),
                                                                     .mixture = std::move(mixture),
                                                                     .trainee = untyped(policy_handle)}));
  parts.policy = pointer(policy_handle);
  parts.reference = pointer(reference_handle);
  parts.reward = pointer(reward_handle);
  parts.critic = pointer(critic_handle);
  parts.replay = pointer(replay_handle);
  parts.policy_optimizer = pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, trained}));
  parts.critic_optimizer =
      pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, trained_critic}));
  return parts;
}

stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_state> self, stage_settings settings) {
  self->state.open(std::move(settings));
  return {
      guarded([self](stage_atom, const std::string& phase) { return self->state.set(phase); }),
      [self](quit_atom) {
        self->state.leave();
        self->quit();
      },
  };
}

}  // namespace troupe::actors
