#include "actors/stage/stage.hpp"

#include "actors/protocol/error_replies.hpp"
#include "actors/stage/stage_parts.hpp"
#include "base/digest.hpp"
#include "io/experience/pairs_file.hpp"

#include <filesystem>

namespace troupe::actors {

cast stage_state::set(const std::string& phase) {
  if (!ranks_) {
    const operation_scope scope(settings_->on->pulse_of(role::stage), "join the other ranks");
    ranks_ = settings_->join();
  }
  const operation_scope scope(settings_->on->pulse_of(role::stage), "load models and data");
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

int64_t stage_state::shares() const {
  const int64_t lanes = settings_->job.run.lanes;
  return lanes > 1 ? lanes : ranks_->size();  // as the learner has them
}

seat stage_state::all_ranks() const { return everywhere(ranks_->rank(), ranks_->size()); }

engine::communicator_ptr stage_state::open(const std::string& name, const seat& of) const {
  return ranks_->open(name, of.here() ? std::span<const int>(of.members) : std::span<const int>());
}

engine::communicator_ptr stage_state::open_weights(const std::string& name, int64_t zero, const seat& of) const {
  const bool shared = zero == 3 && of.ranks() > 1;
  return shared ? open(name + " weights", of) : nullptr;
}

model_ptr stage_state::load_policy(const std::filesystem::path& folder, engine::communicator_ptr shared) const {
  const io::job& job = settings_->job;
  const bool random = job.model.initial == io::initial_weights::random && folder == job.model.policy;
  model_ptr m = random ? random_model(folder, head_kind::language_model, job.run.seed, std::move(shared))
                       : load_model(folder, head_kind::language_model, std::move(shared));
  require_lengths(job, *m);
  settings_->on->pulse_of(role::stage).touch();
  return m;
}

trained_model_ptr stage_state::with_learner(model_ptr of, const io::optimizer_options& options, int64_t zero,
                                            engine::communicator_ptr gradients) const {
  auto trained = std::make_shared<trained_model>();
  trained->learner = std::make_unique<engine::learner>(of->net,
                                                       engine::learner_settings{.adamw = adamw_of(options),
                                                                                .lanes = settings_->job.run.lanes,
                                                                                .zero = static_cast<int>(zero)},
                                                       std::move(gradients));
  trained->of = std::move(of);
  return trained;
}

engine::communicator_ptr stage_state::open_columns(const seat& policy) const {
  const int together = tensor_parallel_of(settings_->job.place, policy.ranks());
  if (together == 1) {
    return nullptr;
  }
  std::vector<int> neighbours;
  if (policy.here()) {
    const auto first = policy.members.begin() + policy.place / together * together;
    neighbours.assign(first, first + together);
  }
  return ranks_->open("generation", neighbours);
}

std::shared_ptr<const io::tokenizer> stage_state::load_tokens(const std::filesystem::path& folder,
                                                              const model* m) const {
  std::shared_ptr<const io::tokenizer> tokens = io::load_tokenizer(folder);
  if (m != nullptr) {
    require_vocabulary(*tokens, folder, *m);
  }
  return tokens;
}

io::phase_data stage_state::load_data(io::phase phase, std::shared_ptr<const io::tokenizer> tokens) const {
  const auto made = io::pairs_file(settings_->run);
  io::phase_data data = io::load_phase_data(settings_->job, phase, example_rules_of(settings_->job, std::move(tokens)),
                                            std::filesystem::exists(made) ? made.string() : "");
  settings_->on->pulse_of(role::stage).touch();
  return data;
}

std::vector<reward_judge> stage_state::load_judges(const std::vector<io::reward_source>& sources,
                                                   const seat& of) const {
  std::vector<reward_judge> judges;
  for (const io::reward_source& source : sources) {
    const bool is_model = source.kind == io::reward_kind::model;
    const engine::communicator_ptr shared =
        is_model ? open_weights("reward " + source.name, settings_->job.place.frozen_zero, of) : nullptr;
    if (of.here()) {
      judges.push_back(load_judge(source, shared));
    }
  }
  return judges;
}

reward_judge stage_state::load_judge(const io::reward_source& source, engine::communicator_ptr shared) const {
  reward_judge judge{.source = source, .of = nullptr, .words = {}};
  if (source.kind == io::reward_kind::model) {
    const std::filesystem::path folder = source.model.empty() ? starts().reward : std::filesystem::path(source.model);
    judge.of = load_model(folder, head_kind::stored_scalar, std::move(shared));
  } else if (source.kind == io::reward_kind::lexicon) {
    judge.words = io::lexicon::load(source.lexicon);
  }
  settings_->on->pulse_of(role::stage).touch();
  return judge;
}

void stage_state::describe(const io::phase_data& data, cast& parts) const {
  for (const auto& source : data.held_out) {
    parts.held_out += static_cast<int64_t>(source.size());
  }
  parts.epoch_size = io::epoch_size_of(sources_of(data, settings_->job));
  for (const io::source_report& report : data.reports) {
    if (report.records > 0) {
      parts.notes.push_back(io::describe(report));
    }
  }
}

std::map<std::string, std::string> stage_state::digests(const io::phase_data& data) const {
  return {{"job", digest_text(io::job_digest(settings_->job))}, {"data", digest_text(data.digest)}};
}

checkpointer_settings stage_state::checkpointing(io::phase phase, const std::string& unit,
                                                 const io::phase_data& data) const {
  return {.run = settings_->run,
          .group = ranks_->open("checkpoints"),
          .attempt = settings_->attempt,
          .phase = std::string(io::to_string(phase)),
          .unit = unit,
          .keep = settings_->job.run.keep_checkpoints,
          .digests = digests(data),
          .on = settings_->on,
          .models = {},
          .average = nullptr,
          .saved = {}};
}

caf::strong_actor_ptr stage_state::spawn_loader(io::phase phase, io::phase_data data, const caf::actor& trainee,
                                                std::optional<io::phase_data> mixture) {
  return pointer(spawn<loader_actor>(loader, loader_settings{.job = settings_->job,
                                                             .on = settings_->on,
                                                             .shares = shares(),
                                                             .phase = phase,
                                                             .data = std::move(data),
                                                             .mixture = std::move(mixture),
                                                             .trainee = trainee}));
}

stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_state> self, stage_settings settings) {
  self->state.open(std::move(settings));
  return {
      replying_errors([self](stage_atom, const std::string& phase) { return self->state.set(phase); }),
      [self](quit_atom) {
        self->state.leave();
        self->quit();
      },
  };
}

}  // namespace troupe::actors
