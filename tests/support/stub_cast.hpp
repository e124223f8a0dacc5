/// A cast that computes nothing: it answers at once and remembers what it was told, so that a test sees the director's
/// commands in their order.
#pragma once

#include "actors/cast/checkpointer.hpp"
#include "actors/cast/critic.hpp"
#include "actors/cast/ema.hpp"
#include "actors/cast/loader.hpp"
#include "actors/cast/optimizer.hpp"
#include "actors/cast/policy.hpp"
#include "actors/cast/reference.hpp"
#include "actors/cast/replay.hpp"
#include "actors/cast/reward.hpp"
#include "actors/director/director.hpp"
#include "actors/protocol/error_replies.hpp"
#include "support/stepped_actors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

/// Lives as long as its actors: end() them before it goes.
class stub_cast {
public:
  stub_cast(stepped_actors& on, size_t ranks) : told(ranks), saved(ranks), on_(on) {
    for (size_t rank = 0; rank < ranks; ++rank) {
      stages.push_back(spawn_stage(rank));
    }
    metrics = spawn_metrics();
    supervisor = spawn_supervisor();
  }

  // What each rank's cast was told, and rank 0's list also what metrics was; checkpointers have a list of
  // their own, since training does not wait for them.
  std::vector<std::vector<std::string>> told, saved;
  std::vector<std::string> notes;                ///< to the supervisor: "phase_started sft 2"
  std::vector<actors::metrics_record> records;   ///< of metrics
  std::optional<actors::attempt_result> result;  ///< how the plan ended

  /// Called with everything that is told; what it throws is the answer.
  std::function<void(size_t rank, const std::string& what)> hook;

  // What is answered.
  std::vector<actors::located_checkpoint> checkpoints;   ///< the newest first
  std::map<std::string, actors::damage_report> damaged;  ///< by "rank path"
  actors::phase_state restored;
  int64_t held_out = 4;
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

  void end() {
    for (const caf::actor& one : spawned_) {
      on_.end(one);
    }
  }

private:
  void hear(std::vector<std::string>& list, size_t rank, const std::string& what) {
    list.push_back(what);
    if (hook) {
      hook(rank, what);
    }
  }
  void hear(size_t rank, const std::string& what) { hear(told[rank], rank, what); }

  /// An actor with this typed interface.
  template <class Actor, class Handlers> Actor spawn(Handlers handlers) {
    const Actor one =
        on_.system().spawn([handlers](typename Actor::pointer) -> typename Actor::behavior_type { return handlers(); });
    spawned_.push_back(caf::actor_cast<caf::actor>(one));
    return one;
  }
  template <class Actor, class Handlers> caf::strong_actor_ptr part(Handlers handlers) {
    return caf::actor_cast<caf::strong_actor_ptr>(spawn<Actor>(handlers));
  }

  actors::stage_actor spawn_stage(size_t rank) {
    return spawn<actors::stage_actor>([=, this] {
      return actors::stage_actor::behavior_type{
          actors::replying_errors([=, this](actors::stage_atom, const std::string& phase) {
            hear(rank, "stage " + phase);
            commands_.assign(told.size(), 0);
            return make_cast(rank, phase);
          }),
          [](actors::quit_atom) {}};
    });
  }

  actors::metrics_actor spawn_metrics() {
    using namespace actors;  // NOLINT(google-build-using-namespace): of this function
    return spawn<metrics_actor>([this] {
      return metrics_actor::behavior_type{
          replying_errors([this](record_atom, const metrics_record& record) {
            hear(0, fmt::format("metrics record {} {}", record.phase,
                                record.counts_iterations ? record.iteration : record.update));
            records.push_back(record);
            return true;
          }),
          replying_errors(
              [this](truncate_atom, const std::string& phase, int64_t counter, const std::vector<std::string>& later) {
                hear(0, fmt::format("metrics cut {} {} {}", phase, counter, fmt::join(later, " ")));
                return true;
              }),
          [](progress_atom, const progress_note&) {}};
    });
  }

  caf::actor spawn_supervisor() {
    spawned_.push_back(on_.system().spawn([this](caf::event_based_actor*) {
      return caf::behavior{[this](actors::note_atom, const std::string& kind, const std::string& phase,
                                  uint64_t counter, const std::string& text) {
                             notes.push_back(
                                 fmt::format("{} {} {}{}{}", kind, phase, counter, text.empty() ? "" : ": ", text));
                           },
                           [](actors::reached_atom, const std::string&, uint64_t) {},
                           [this](const actors::attempt_result& ended) { result = ended; }};
    }));
    return spawned_.back();
  }

  actors::cast make_cast(size_t rank, const std::string& phase) {
    actors::cast parts;
    parts.epoch_size = 18;  // by weights
    parts.held_out = held_out;
    parts.loader = make_loader(rank);
    if (phase != "reward") {
      parts.policy = make_policy(rank);
      parts.policy_optimizer = make_optimizer(rank, "policy_optimizer");
    }
    if (phase == "reward" || phase == "ppo" || phase == "pairs") {
      parts.reward = make_reward(rank);
    }
    if (phase == "reward") {
      parts.reward_optimizer = make_optimizer(rank, "reward_optimizer");
    }
    if (phase == "ppo" || phase == "pairs") {
      parts.replay = make_replay(rank);
    }
    if (phase == "ppo") {
      parts.reference = make_reference(rank);
      parts.critic = make_critic(rank);
      parts.critic_optimizer = make_optimizer(rank, "critic_optimizer");
      parts.ema = has_ema ? make_ema(rank) : nullptr;
    }
    parts.checkpointer = make_checkpointer(rank, phase);
    return parts;
  }

  caf::strong_actor_ptr make_loader(size_t rank) {
    return part<actors::loader_actor>([=, this] {
      return actors::loader_actor::behavior_type{
          actors::replying_errors([=, this](actors::serve_atom, const actors::serve_command& command) {
            static constexpr const char* names[] = {"training", "held_out", "prompts", "held_out_prompts", "mixture"};
            hear(rank, fmt::format("loader {} {}", names[static_cast<size_t>(command.what)], command.counter));
            commands_[rank] = 0;
            return actors::serve_reply{.batch_id = actors::make_batch_id(command.what, command.counter),
                                       .sequences = 4,
                                       .tokens = 40,
                                       .loss_terms = loss_terms};
          })};
    });
  }

  actors::train_reply learn(size_t rank, const std::string& who, const actors::train_command& command) {
    hear(rank, fmt::format("{} {:x} of {}", who, command.batch_id, command.loss_terms));
    return {.statistics = learned, .tokens = 40, .seconds = 0.5};
  }
  actors::score_reply score(size_t rank, const std::string& who) {
    hear(rank, who + " score");
    return {.sequences = 4, .tokens = 40, .seconds = 0.25};
  }

  caf::strong_actor_ptr make_policy(size_t rank) {
    using namespace actors;  // NOLINT(google-build-using-namespace): of this function
    return part<policy_actor>([=, this] {
      return policy_actor::behavior_type{
          [](const batch_handle&) {}, [](const minibatch_handle&) {},
          replying_errors([=, this](generate_atom, const generate_command& command) {
            hear(rank, command.ends ? "policy generate ends"
                                    : fmt::format("policy generate {} give [{}] take [{}]", command.steps,
                                                  fmt::join(command.give, " "), fmt::join(command.take, " ")));
            return command.ends ? generate_reply{} : generated(rank, commands_[rank]++);
          }),
          replying_errors(
              [=, this](train_atom, const train_command& command) { return learn(rank, "policy train", command); }),
          replying_errors([=, this](evaluate_atom, const train_command&) {
            hear(rank, "policy evaluate");
            return train_reply{.statistics = {{"held_out/perplexity", 7.0}}};
          })};
    });
  }

  caf::strong_actor_ptr make_reward(size_t rank) {
    using namespace actors;  // NOLINT(google-build-using-namespace): of this function
    return part<reward_actor>([=, this] {
      return reward_actor::behavior_type{[](const batch_handle&) {}, [](const sequence_handle&) {},
                                         replying_errors([=, this](score_atom) { return score(rank, "reward"); }),
                                         replying_errors([=, this](train_atom, const train_command& command) {
                                           return learn(rank, "reward train", command);
                                         }),
                                         replying_errors([=, this](evaluate_atom, const train_command&) {
                                           hear(rank, "reward evaluate");
                                           return train_reply{.statistics = {{"held_out/accuracy", 0.75}}};
                                         })};
    });
  }

  caf::strong_actor_ptr make_reference(size_t rank) {
    return part<actors::reference_actor>([=, this] {
      return actors::reference_actor::behavior_type{
          [](const actors::sequence_handle&) {},
          actors::replying_errors([=, this](actors::score_atom) { return score(rank, "reference"); })};
    });
  }

  caf::strong_actor_ptr make_critic(size_t rank) {
    using namespace actors;  // NOLINT(google-build-using-namespace): of this function
    return part<critic_actor>([=, this] {
      return critic_actor::behavior_type{[](const sequence_handle&) {}, [](const minibatch_handle&) {},
                                         replying_errors([=, this](score_atom) { return score(rank, "critic"); }),
                                         replying_errors([=, this](train_atom, const train_command& command) {
                                           return learn(rank, "critic train", command);
                                         })};
    });
  }

  caf::strong_actor_ptr make_optimizer(size_t rank, const std::string& name) {
    using namespace actors;  // NOLINT(google-build-using-namespace): of this function
    return part<optimizer_actor>([=, this] {
      return optimizer_actor::behavior_type{
          replying_errors([=, this](step_atom, const step_command& command) {
            hear(rank, fmt::format("{} step {} at {:.4g}", name, command.update, command.learning_rate));
            return step_reply{.gradient_norm = 3, .seconds = 0.125};
          }),
          [=, this](discard_atom) { hear(rank, name + " cut"); }};
    });
  }

  caf::strong_actor_ptr make_ema(size_t rank) {
    return part<actors::ema_actor>([=, this] {
      return actors::ema_actor::behavior_type{actors::replying_errors([=, this](actors::fold_atom) {
        hear(rank, "ema fold");
        return 0.0;
      })};
    });
  }

  caf::strong_actor_ptr make_replay(size_t rank) {
    using namespace actors;  // NOLINT(google-build-using-namespace): of this function
    return part<replay_actor>([=, this] {
      return replay_actor::behavior_type{
          [](const sequence_handle&) {},
          [](const scores_handle&) {},
          [](introduce_atom, const actors::cast&) {},
          replying_errors([=, this](hand_over_atom) {
            hear(rank, "replay hand over");
            return int64_t{4};
          }),
          replying_errors([=, this](assemble_atom, const assemble_command& command) {
            hear(rank,
                 fmt::format("replay assemble {} version {} kl {:.4g}{}{}", command.iteration, command.policy_version,
                             command.kl_coefficient, command.training ? " " : " only ", command.keep));
            return assembled;
          }),
          replying_errors([=, this](assemble_atom) {
            hear(rank, "replay pairs");
            return train_reply{.statistics = {{"pairs/made", 2.0}}};
          }),
          replying_errors([=, this](save_atom, uint64_t iteration) {
            hear(rank, fmt::format("replay saves {}", iteration));
            return true;
          }),
          replying_errors([=, this](serve_atom, const minibatch_command& command) {
            hear(rank, fmt::format("replay serve {} {} {}", command.iteration, command.epoch, command.index));
            return serve_reply{.batch_id = 16 * command.epoch + command.index, .loss_terms = loss_terms};
          })};
    });
  }

  caf::strong_actor_ptr make_checkpointer(size_t rank, const std::string& phase) {
    using namespace actors;  // NOLINT(google-build-using-namespace): of this function
    return part<checkpointer_actor>([=, this] {
      return checkpointer_actor::behavior_type{
          replying_errors([=, this](snapshot_atom, const phase_state& state) {
            hear(saved[rank], rank, fmt::format("snapshot {} {}", state.phase, state.counter));
            last_state = state;
            return snapshot_reply{};
          }),
          [](run_atom) {},
          replying_errors([=, this](durable_atom) {
            hear(saved[rank], rank, "durable");
            return written_file{.name = fmt::format("rank-{}", rank)};
          }),
          replying_errors([=, this](commit_atom, const commit_command& command) {
            hear(saved[rank], rank, fmt::format("commit {} of {}", command.counter, command.files.size()));
            return durable_report{.path = "there", .counter = command.counter};
          }),
          replying_errors([=, this](locate_atom, uint64_t before) {
            hear(saved[rank], rank, "locate");
            const auto found = std::find_if(checkpoints.begin(), checkpoints.end(),
                                            [before](const located_checkpoint& one) { return one.counter < before; });
            return found != checkpoints.end() ? *found : located_checkpoint{};
          }),
          replying_errors([=, this](verify_atom, const located_checkpoint& candidate) {
            hear(saved[rank], rank, "verify " + candidate.path);
            const auto found = damaged.find(fmt::format("{} {}", rank, candidate.path));
            return found != damaged.end() ? found->second : damage_report{};
          }),
          replying_errors([=, this](restore_atom, const located_checkpoint& from) {
            hear(saved[rank], rank, "restore " + from.path);
            return from.found ? restored : phase_state{.phase = phase};
          }),
          replying_errors([=, this](save_atom) {
            hear(saved[rank], rank, "save");
            return std::vector<std::string>{"models/" + phase};
          })};
    });
  }

public:
  actors::phase_state last_state;  ///< of the newest snapshot

private:
  stepped_actors& on_;
  std::vector<caf::actor> spawned_;
  std::vector<int64_t> commands_ = std::vector<int64_t>(16, 0);
};

}  // namespace troupe::test
