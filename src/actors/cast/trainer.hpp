/// Training, as the policy, the critic and the reward model share it: one model's weights, its learner and the buffers
/// of its passes. The objective is the caller's: a function of a micro-batch.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/protocol/messages.hpp"
#include "base/stopwatch.hpp"
#include "engine/train/accumulate.hpp"
#include "engine/train/evaluate.hpp"
#include "engine/train/micro_batch.hpp"

#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace troupe::actors {

struct trainer_settings {
  device_ptr on;
  role as = role::policy;  ///< whose sign of life its work is
  trained_model_ptr trained;
  bool activation_checkpointing = false;
};

/// What an update's micro-batches came to.
template <class Statistics> struct training_result {
  Statistics sums;     ///< of the micro-batches of all ranks: the same on every rank
  int64_t tokens = 0;  ///< that this rank has computed
  double seconds = 0;

  train_reply reply(statistics named) const {
    return {.statistics = std::move(named), .tokens = tokens, .seconds = seconds};
  }
};

/// What was found of held-out batches.
template <class Value> struct evaluation_result {
  std::vector<std::vector<Value>> by_batch;  ///< of all ranks: the same on every rank
  double seconds = 0;
};

using micro_batch_list = std::vector<const engine::packed_batch*>;

/// Pointers to `batches`, which outlive the list.
inline micro_batch_list list_of(const std::vector<engine::packed_batch>& batches) {
  micro_batch_list list;
  for (const engine::packed_batch& batch : batches) {
    list.push_back(&batch);
  }
  return list;
}

class trainer {
public:
  explicit trainer(trainer_settings settings) : settings_(std::move(settings)) {}

  /// Accumulates the gradients of an update's micro-batches in the learner, for the optimizer to step with.
  /// Collective: all ranks of the model have the same list, and each computes its share of it.
  ///   operation    what a hang is called: "critic gradients"
  ///   objective    (context&, const engine::trainee&, size_t index) -> Statistics, of one micro-batch of the list
  /// Statistics are added in the order of the list, so they are the same bits for any number of ranks and lanes.
  /// Errors  lost_peer; those of `objective`; bad_argument: another actor is using the model.
  template <class Statistics, class Objective>
  training_result<Statistics> accumulate(const char* operation, const micro_batch_list& micro_batches,
                                         const Objective& objective) {
    const operation_scope scope(pulse_of_model(), operation);
    const turn mine(settings_.trained->turns, operation);
    const stopwatch watch;
    training_result<Statistics> result;
    const engine::weights_in_use weights(ctx(), model_of().weights, model_of().on_card.get());
    engine::train_workspace& workspace = workspace_ ? *workspace_ : workspace_.emplace(checkpointing());
    const auto by_micro_batch = engine::accumulate<Statistics>(
        ctx(), *settings_.trained->learner, static_cast<int64_t>(micro_batches.size()),
        {.net = model_of().net, .weights = weights.view(), .gradients = nullptr, .workspace = workspace},
        [&](int64_t j, const engine::trainee& to) {
          const auto index = static_cast<size_t>(j);
          result.tokens += micro_batches[index]->tokens();
          return objective(ctx(), to, index);
        },
        [&scope] { scope.touch(); });
    for (const Statistics& micro_batch : by_micro_batch) {
      result.sums.add(micro_batch);
    }
    if (ctx().on != nullptr) {
      workspace.give_back();
    }
    result.seconds = watch.seconds();
    return result;
  }

  /// Forward passes over held-out batches, without gradients. Collective: each rank computes its share of the batches.
  ///   score    (context&, const engine::transformer&, const engine::weights_view&, const engine::packed_batch&)
  ///            -> std::vector<Value>
  /// Errors  lost_peer; those of `score`; bad_argument: another actor is using the model.
  template <class Value, class Score>
  evaluation_result<Value> evaluate(const char* operation, std::span<const engine::packed_batch> batches,
                                    const Score& score) {
    const operation_scope scope(pulse_of_model(), operation);
    const turn mine(settings_.trained->turns, operation);
    const stopwatch watch;
    const engine::weights_in_use weights(ctx(), model_of().weights, model_of().on_card.get());
    evaluation_result<Value> result;
    result.by_batch = engine::evaluate<Value>(settings_.trained->learner->group().get(), batches,
                                              [&](const engine::packed_batch& batch) {
                                                scope.touch();
                                                return score(ctx(), model_of().net, weights.view(), batch);
                                              });
    result.seconds = watch.seconds();
    return result;
  }

private:
  context& ctx() { return settings_.on->ctx; }
  bool checkpointing() const { return settings_.activation_checkpointing; }
  model& model_of() { return *settings_.trained->of; }
  pulse& pulse_of_model() { return settings_.on->pulse_of(settings_.as); }

  trainer_settings settings_;
  std::optional<engine::train_workspace> workspace_;
};

}  // namespace troupe::actors
