/// The update of one model: its ranks compute gradients of a batch, and its optimizer steps with them, or drops them.
#pragma once

#include "actors/director/company.hpp"
#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

namespace troupe::actors {

/// A model that learns, as parts of the cast.
struct learning_model {
  const char* name = "";  ///< in metrics
  cast_part trainee = nullptr, optimizer = nullptr;
  cast_part average = nullptr;  ///< of its weights; null: none is kept
};

inline constexpr learning_model learning_policy{"policy", &cast::policy, &cast::policy_optimizer, &cast::ema};
inline constexpr learning_model learning_critic{"critic", &cast::critic, &cast::critic_optimizer};
inline constexpr learning_model learning_reward{"reward", &cast::reward, &cast::reward_optimizer};

/// Accumulates the gradients of a batch that was served.
task<train_reply> compute_gradients(director_context& on, learning_model model, train_command batch);

/// Steps with the accumulated gradients, and folds the new weights into the model's average.
/// Errors  not_finite: nothing has changed.
task<step_reply> take_step(director_context& on, learning_model model, step_command step);

/// Drops the accumulated gradients.
task<> discard_gradients(director_context& on, learning_model model);

}  // namespace troupe::actors
