#include "actors/director/evaluation.hpp"

#include "actors/director/assembly.hpp"
#include "actors/director/replies.hpp"
#include "actors/director/rollout.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace troupe::actors {

task<statistics> evaluate_held_out(director_context& on, cast_part trainee) {
  const serve_reply served = co_await on.serve(serving::held_out, 0);
  if (served.sequences == 0) {
    co_return statistics{};
  }
  const train_command command{.batch_id = served.batch_id};
  const auto replies = co_await on.ask_all<supervised_actor, train_reply>(trainee, evaluate_atom_v, command);
  co_return replies.front().statistics;
}

task<statistics> evaluate_policy(director_context& on, uint64_t iteration) {
  if (on.job().evaluation.prompts == 0 || on.company().held_out() == 0) {
    co_return statistics{};
  }
  on.show("evaluate", static_cast<uint64_t>(on.job().ppo.iterations), "iterations", "");
  co_await roll_out(on, serving::held_out_prompts, 0, iteration > 0 ? on_stop::go_on : on_stop::drop);
  std::string file = fmt::format("evaluations/iteration-{:06}.h5", iteration);
  const assemble_reply reply = co_await assemble(on, iteration, assembled_for::evaluation, std::move(file));
  co_return with_prefix("evaluation/", reply.statistics);
}

}  // namespace troupe::actors
