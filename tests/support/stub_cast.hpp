/// A cast that computes nothing: it answers at once and remembers what it was told, so that a test sees the director's
/// commands in their order.
#pragma once

#include "actors/protocol/interfaces.hpp"
#include "support/stepped_actors.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

/// Lives as long as its actors: end() them before it goes.
class stub_cast {
public:
  stub_cast(stepped_actors& on, size_t ranks);

  // What each rank's cast was told, and rank 0's list also what metrics was; checkpointers have a list of
  // their own, since training does not wait for them.
  std::vector<std::vector<std::string>> told, saved;
  std::vector<std::string> notes;                ///< to the supervisor: "phase_started sft 2"
  std::vector<actors::metrics_record> records;   ///< of metrics
  std::vector<std::string> shown;                ///< of each iteration or update, while it goes on
  std::optional<actors::attempt_result> result;  ///< how the plan ended

  /// Called with everything that is told; what it throws is the answer.
  std::function<void(size_t rank, const std::string& what)> hook;

  // What is answered.
  std::vector<actors::located_checkpoint> checkpoints;   ///< the newest first
  std::map<std::string, actors::damage_report> damaged;  ///< by "rank path"
  actors::phase_state restored;
  int64_t held_out = 4;
  int64_t served_sequences = 4;
  /// Takes parts of a rank's cast away, as a job does that gives models ranks of their own.
  std::function<void(size_t rank, actors::cast& parts)> place = [](size_t, actors::cast&) {};
  bool has_ema = true;
  int64_t loss_terms = 10;
  actors::statistics learned = {{"policy/loss", 2.0}};
  actors::assemble_reply assembled;
  /// Of a generate command; the rank's own commands of this rollout are counted from 0.
  std::function<actors::generate_reply(size_t rank, int64_t command)> generated = [](size_t, int64_t command) {
    return actors::generate_reply{.unfinished = command == 0 ? 2 : 0, .answer_tokens = 5, .waiting = {}};
  };

  std::vector<actors::stage_actor> stages;
  actors::metrics_actor metrics;
  caf::actor supervisor;

  actors::phase_state last_state;  ///< of the newest snapshot

  void end();

private:
  /// An actor with this typed interface.
  template <class Actor, class Handlers> Actor spawn(Handlers handlers);
  template <class Actor, class Handlers> caf::strong_actor_ptr part(Handlers handlers);

  void hear(std::vector<std::string>& list, size_t rank, const std::string& what);
  void hear(size_t rank, const std::string& what);
  actors::stage_actor spawn_stage(size_t rank);
  actors::metrics_actor spawn_metrics();
  caf::actor spawn_supervisor();
  actors::cast make_cast(size_t rank, io::phase phase);
  caf::strong_actor_ptr make_loader(size_t rank);
  actors::train_reply learn(size_t rank, const std::string& who, const actors::train_command& command);
  actors::score_reply score(size_t rank, const std::string& who);
  caf::strong_actor_ptr make_policy(size_t rank);
  caf::strong_actor_ptr make_reward(size_t rank);
  caf::strong_actor_ptr make_scorer(size_t rank, const std::string& name);
  caf::strong_actor_ptr make_critic(size_t rank);
  caf::strong_actor_ptr make_optimizer(size_t rank, const std::string& name);
  caf::strong_actor_ptr make_ema(size_t rank);
  caf::strong_actor_ptr make_replay(size_t rank);
  caf::strong_actor_ptr make_checkpointer(size_t rank, io::phase phase);

  stepped_actors& on_;
  std::vector<caf::actor> spawned_;
  std::vector<int64_t> commands_ = std::vector<int64_t>(16, 0);
};

}  // namespace troupe::test
