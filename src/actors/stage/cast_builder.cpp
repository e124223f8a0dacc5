#include "actors/stage/cast_builder.hpp"

#include "actors/models/options.hpp"
#include "actors/models/special_tokens.hpp"
#include "actors/models/weights_digest.hpp"
#include "base/digest.hpp"
#include "engine/parallel/between_cards.hpp"

namespace troupe::actors {

void spawned_actors::end_all() {
  for (const caf::strong_actor_ptr& actor : spawned_) {
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  }
  spawned_.clear();
}

int64_t cast_builder::shares() const {
  const int64_t lanes = job().run.lanes;
  return lanes > 1 ? lanes : ranks_.size();
}

cast cast_builder::with_data(const io::phase_data& data) const {
  cast parts;
  for (const auto& source : data.held_out) {
    parts.held_out += static_cast<int64_t>(source.size());
  }
  parts.epoch_size = io::epoch_size_of(sources_of(data, job()));
  for (const io::source_report& report : data.reports) {
    if (report.records > 0) {
      parts.notes.push_back(io::describe(report));
    }
  }
  return parts;
}

loader_data cast_builder::drawn_from(io::phase_data data) const {
  std::vector<io::blend_source> sources = sources_of(data, job());
  return {.examples = std::move(data), .sources = std::move(sources)};
}

caf::strong_actor_ptr cast_builder::spawn_loader(io::phase phase, io::phase_data data, const caf::actor& trainee,
                                                 std::optional<io::phase_data> mixture) {
  loader_settings settings{.on = on(),
                           .phase = phase,
                           .batches = batches_of(job(), phase),
                           .shares = shares(),
                           .data = drawn_from(std::move(data)),
                           .mixture = std::nullopt,
                           .trainee = trainee};
  if (mixture) {
    settings.mixture = drawn_from(std::move(*mixture));
  }
  return pointer(spawn<loader_actor>(loader, std::move(settings)));
}

caf::strong_actor_ptr cast_builder::spawn_optimizer(role as, const trained_model_ptr& trained) {
  return pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{.on = on(), .as = as, .trained = trained}));
}

std::string cast_builder::job_digest(io::phase phase) const { return digest_text(io::job_digest(job(), phase)); }

std::string cast_builder::digest_on_all(const model_ptr& of, const seat& at) const {
  const bool takes_part = of && (at.first() || of->learned().sharded());  // shards are gathered by all
  const std::string digest = takes_part ? digest_of(*of) : "";
  on()->pulse_of(role::stage).touch();
  return told_by_one(*work_, at.first() ? digest : "");
}

std::string cast_builder::digest_of(model& m) const { return weights_digest(on()->host, m); }

checkpointer_settings cast_builder::checkpointing(io::phase phase, const std::string& unit,
                                                  const io::phase_data& data) const {
  return {.run = settings_.run,
          .group = ranks_.open("checkpoints"),
          .attempt = settings_.attempt,
          .phase = phase,
          .unit = unit,
          .keep = job().run.keep_checkpoints,
          .copies = job().run.checkpoint_copy,
          .digests = {{"job", job_digest(phase)}, {"data", digest_text(data.digest)}},
          .on = on(),
          .models = {},
          .average = nullptr,
          .saved = {},
          .turns = learned_turns_of(job())};
}

replay_settings cast_builder::replaying(io::phase phase, std::shared_ptr<const io::tokenizer> tokens) const {
  return {.on = on(),
          .ppo = job().ppo,
          .minibatches = {.seed = job().run.seed,
                          .minibatches = job().ppo.minibatches,
                          .micro_batches = {.token_budget = job().ppo.micro_batch_tokens, .shares = shares()},
                          .mean = loss_mean_of(job().ppo)},
          .pair_margin = job().pairs.margin,
          .scorers = {},
          .reward_sources = {},
          .tokens = std::move(tokens),
          .origin = {.seed = job().run.seed,
                     .generation = job().generation,
                     .source_names = {},
                     .job_digest = job_digest(phase),
                     .policy_digest = {},
                     .reference_digest = {},
                     .critic_digest = {},
                     .text = job().experience.text},
          .run = settings_.run,
          .attempt = settings_.attempt,
          .group = work_};
}

engine::communicator_ptr cast_builder::open_generation(const seat& policy) const {
  return engine::between_cards(ranks().open_generation(job().place, policy), on()->card.get());
}

rollout_settings cast_builder::rolling_out(io::phase phase, const model_ptr& of,
                                           std::shared_ptr<const io::tokenizer> tokens, const seat& at,
                                           engine::communicator_ptr columns, const caf::actor& replay) const {
  std::vector<int32_t> turn_ends = learned_turns_of(job(), tokens.get()).ends;
  return {.on = on(),
          .of = of,
          .tokens = std::move(tokens),
          .options = rollout_of(job(), phase),
          .rank = at.place,
          .ranks = at.ranks(),
          .columns = std::move(columns),
          .replay = replay,
          .turn_ends = std::move(turn_ends),
          .journal = std::nullopt};
}

journal_settings cast_builder::journal(io::phase phase, const seat& at) const {
  return {.run = settings_.run,
          .job_digest = job_digest(phase),
          .attempt = settings_.attempt,
          .rank = at.place,
          .every_s = job().experience.save_rollout_s};
}

}  // namespace troupe::actors
