#include "actors/director/assembly.hpp"

#include "actors/director/ppo_state.hpp"

#include <utility>
#include <vector>

namespace troupe::actors {

task<assemble_reply> assemble(director_context& on, uint64_t iteration, assembled_for purpose, std::string file) {
  assemble_command command;
  command.iteration = iteration;
  command.policy_version = updates_done(on.state());
  command.kl_coefficient = kl_coefficient(on.state());
  command.training = purpose == assembled_for::training;
  command.keep = std::move(file);
  command.reward_scale = reward_scale(on.state());
  command.rollbacks = static_cast<uint64_t>(rollbacks(on.state()));
  std::vector<assemble_reply> replies =
      co_await on.ask_all<replay_actor, assemble_reply>(&cast::replay, assemble_atom_v, command);
  assemble_reply& reply = replies.front();  // every rank has assembled the whole rollout
  if (command.training) {
    set_reward_scale(on.state(), reply.reward_scale);
  }
  co_return std::move(reply);
}

}  // namespace troupe::actors
