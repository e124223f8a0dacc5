#include "actors/stage/phase_loading.hpp"

#include "actors/cast/judge_loading.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/options.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/models/special_tokens.hpp"
#include "io/experience/pairs_file.hpp"

#include <utility>

namespace troupe::actors {

dtype phase_loading::type() const { return weight_type_of(settings_.job.model); }

model_ptr phase_loading::policy(const std::filesystem::path& folder, const model_loading& how) const {
  const io::job& job = settings_.job;
  const bool random = job.model.initial == io::initial_weights::random && folder == job.model.policy;
  model_ptr m = random ? random_model(folder, head_kind::language_model, job.run.seed, how)
                       : load_model(folder, head_kind::language_model, how);
  require_lengths(job, *m);
  touch();
  return m;
}

model_ptr phase_loading::any(const std::filesystem::path& folder, head_kind head, const model_loading& how) const {
  model_ptr m = load_model(folder, head, how);
  touch();
  return m;
}

trained_model_ptr phase_loading::learning(const char* name, model_ptr of, const io::optimizer_options& options,
                                          int64_t zero_stage, engine::communicator_ptr gradients) const {
  auto trained = std::make_shared<trained_model>();
  trained->learner = std::make_unique<engine::learner>(
      of->net,
      engine::learner_settings{
          .adamw = adamw_of(options), .lanes = settings_.job.run.lanes, .zero = static_cast<int>(zero_stage)},
      std::move(gradients), engine::learner_place{of->weights.on(), name});
  trained->of = std::move(of);
  return trained;
}

std::shared_ptr<const io::tokenizer> phase_loading::tokens(const std::filesystem::path& folder,
                                                           const model* reader) const {
  std::shared_ptr<const io::tokenizer> tokens = io::load_tokenizer(folder);
  if (reader != nullptr) {
    require_vocabulary(*tokens, folder, *reader);
  }
  return tokens;
}

io::phase_data phase_loading::data(io::phase phase, std::shared_ptr<const io::tokenizer> tokens) const {
  // A replay mixes in what its run had.
  const auto& replayed = settings_.job.replay.of;
  const auto made_pairs = io::pairs_file(replayed.empty() ? settings_.run : io::run_directory::open(replayed));
  io::phase_data data = io::load_phase_data(settings_.job, phase, example_rules_of(settings_.job, std::move(tokens)),
                                            std::filesystem::exists(made_pairs) ? made_pairs.string() : "");
  touch();
  return data;
}

std::vector<reward_judge> phase_loading::judges(const std::vector<io::reward_source>& sources, const seat& of) const {
  std::vector<reward_judge> judges;
  for (const io::reward_source& source : sources) {
    const bool is_model = source.kind == io::reward_kind::model;
    const engine::communicator_ptr shared =
        is_model ? ranks_.open_weights("reward " + source.name, settings_.job.place.frozen_zero, of) : nullptr;
    if (of.here()) {
      judges.push_back(load_judge(source, {.own_model = starts().reward,
                                           .loading = scoring("reward " + source.name, shared, of),
                                           .waiting = [on = settings_.on] { on->pulse_of(role::reward).touch(); }}));
      touch();
    }
  }
  return judges;
}

}  // namespace troupe::actors
