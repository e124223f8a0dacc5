/// Everything that a phase reads before its cast is spawned: models, tokenizers, data sets, judges. Each piece read is
/// a sign of life of the stage.
#pragma once

#include "actors/cast/judging.hpp"
#include "actors/models/model_files.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/stage/rank_groups.hpp"
#include "actors/stage/stage_settings.hpp"
#include "engine/parallel/communicator.hpp"
#include "io/datasets/examples.hpp"
#include "io/run/starting_folders.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

namespace troupe::actors {

class phase_loading {
public:
  /// Both outlive it.
  phase_loading(const stage_settings& settings, const rank_groups& ranks) : settings_(settings), ranks_(ranks) {}

  /// The folders that models start from, of the run as it is now.
  io::starting_folders starts() const { return io::starting_folders_of(settings_.job, &settings_.run); }

  /// Of the weights that passes read, in every model of the job.
  dtype type() const;
  /// Whether passes compute on a card.
  bool is_on_card() const { return settings_.on->card != nullptr; }
  /// Whether what learns lies there too.
  bool learns_on_card() const { return is_on_card() && settings_.job.place.optimizer == io::memory_place::card; }
  /// A model that learns; its groups are opened by rank_groups::open_learning, which names it.
  model_loading learned() const {
    return {.type = type(),
            .learns = true,
            .on_card = is_on_card() && !learns_on_card(),
            .lies_on = learns_on_card() ? &settings_.on->ctx : nullptr};
  }
  /// One that only computes, on the ranks of a seat. `shared`: those that share the weights; null: all are here.
  model_loading frozen(std::string name, engine::communicator_ptr shared, const seat& of) const {
    return {.type = type(),
            .on_card = is_on_card(),
            .name = std::move(name),
            .tells = of.first(),
            .group = std::move(shared)};
  }
  /// And of that nothing but scores is asked.
  model_loading scoring(std::string name, engine::communicator_ptr shared, const seat& of) const {
    model_loading how = frozen(std::move(name), std::move(shared), of);
    how.streamed = settings_.job.place.frozen == io::memory_place::host;
    return how;
  }

  /// Errors  those of load_model; bad_argument: the job's sequences are longer than the model's positions.
  model_ptr policy(const std::filesystem::path& folder, const model_loading& how) const;
  model_ptr any(const std::filesystem::path& folder, head_kind head, const model_loading& how) const;

  /// `of` with a learner, which lies where its weights do.   `name`: where a card's memory runs out; `zero_stage`: of
  /// the model; `gradients`: of its ranks.
  trained_model_ptr learning(const char* name, model_ptr of, const io::optimizer_options& options, int64_t zero_stage,
                             engine::communicator_ptr gradients) const;

  /// `reader`: the model that is to read the tokens; null: it is on other ranks.
  /// Errors  those of io::load_tokenizer; bad_argument: it has more ids than the model.
  std::shared_ptr<const io::tokenizer> tokens(const std::filesystem::path& folder, const model* reader) const;

  io::phase_data data(io::phase phase, std::shared_ptr<const io::tokenizer> tokens) const;

  /// One for each source, or none where the reward is on other ranks. Collective.
  std::vector<reward_judge> judges(const std::vector<io::reward_source>& sources, const seat& of) const;

private:
  void touch() const { settings_.on->pulse_of(role::stage).touch(); }

  const stage_settings& settings_;
  const rank_groups& ranks_;
};

}  // namespace troupe::actors
