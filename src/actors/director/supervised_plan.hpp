/// The plan of supervised learning: batches, gradients, steps. The sft phase teaches the policy so, the reward phase
/// the reward model.
#pragma once

#include "actors/director/checkpointing.hpp"
#include "actors/director/context.hpp"
#include "actors/director/phase_plan.hpp"
#include "actors/director/update.hpp"
#include "io/job/job.hpp"

#include <utility>

namespace troupe::actors {

/// What a supervised phase does differently from the others.
struct supervised_lesson {
  io::training_options training;
  learning_model model;
  evaluation_measure measure;
};

supervised_lesson sft_lesson(const io::job& job);
supervised_lesson reward_lesson(const io::job& job);

/// The updates of a supervised phase. `epoch_size`: examples of a pass over the data.
int64_t updates_of(const io::training_options& training, int64_t epoch_size);

class supervised_plan : public phase_plan {
public:
  supervised_plan(director_context& on, checkpointing& checkpoints, supervised_lesson lesson)
      : on_(on), checkpoints_(checkpoints), lesson_(std::move(lesson)) {}

  task<> perform() override;

private:
  /// How good the model is before its first update.
  task<> evaluate_start();
  /// One update, and what it was like.
  task<statistics> update();

  director_context& on_;
  checkpointing& checkpoints_;
  supervised_lesson lesson_;
  uint64_t total_ = 0;  ///< updates
};

}  // namespace troupe::actors
