#include "actors/director/update.hpp"

#include "actors/director/replies.hpp"

#include <algorithm>

namespace troupe::actors {

task<train_reply> compute_gradients(director_context& on, learning_model model, train_command batch) {
  co_return joined(co_await on.ask_all<trainee_actor, train_reply>(model.trainee, train_atom_v, batch));
}

task<step_reply> take_step(director_context& on, learning_model model, step_command step) {
  step_reply stepped = joined(co_await on.ask_all<optimizer_actor, step_reply>(model.optimizer, step_atom_v, step));
  if (model.average != nullptr && on.company().has(model.average)) {
    const auto folded = co_await on.ask_all<ema_actor, double>(model.average, fold_atom_v);
    stepped.seconds += *std::max_element(folded.begin(), folded.end());
  }
  co_return stepped;
}

task<> discard_gradients(director_context& on, learning_model model) {
  co_await on.ask_all<optimizer_actor, bool>(model.optimizer, discard_atom_v);
}

}  // namespace troupe::actors
