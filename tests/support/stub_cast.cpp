#include "support/stub_cast.hpp"

#include "actors/protocol/error_replies.hpp"
#include "actors/protocol/rank_data.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::test {

template <class Actor, class Handlers> Actor stub_cast::spawn(Handlers handlers) {
  const Actor one =
      on_.system().spawn([handlers](typename Actor::pointer) -> typename Actor::behavior_type { return handlers(); });
  spawned_.push_back(caf::actor_cast<caf::actor>(one));
  return one;
}

template <class Actor, class Handlers> caf::strong_actor_ptr stub_cast::part(Handlers handlers) {
  return caf::actor_cast<caf::strong_actor_ptr>(spawn<Actor>(handlers));
}

stub_cast::stub_cast(stepped_actors& on, size_t ranks) : told(ranks), saved(ranks), on_(on) {
  for (size_t rank = 0; rank < ranks; ++rank) {
    stages.push_back(spawn_stage(rank));
  }
  metrics = spawn_metrics();
  supervisor = spawn_supervisor();
}

void stub_cast::end() {
  for (const caf::actor& one : spawned_) {
    on_.end(one);
  }
}

void stub_cast::hear(std::vector<std::string>& list, size_t rank, const std::string& what) {
  list.push_back(what);
  if (hook) {
    hook(rank, what);
  }
}

void stub_cast::hear(size_t rank, const std::string& what) { hear(told[rank], rank, what); }

actors::stage_actor stub_cast::spawn_stage(size_t rank) {
  return spawn<actors::stage_actor>([=, this] {
    return actors::stage_actor::behavior_type{actors::replying_errors([=, this](actors::stage_atom, io::phase phase) {
                                                hear(rank, fmt::format("stage {}", io::to_string(phase)));
                                                commands_.assign(told.size(), 0);
                                                return make_cast(rank, phase);
                                              }),
                                              [](actors::quit_atom) {}};
  });
}

actors::metrics_actor stub_cast::spawn_metrics() {
  using namespace actors;  // NOLINT(google-build-using-namespace): of this function
  return spawn<metrics_actor>([this] {
    return metrics_actor::behavior_type{
        replying_errors([this](record_atom, const metrics_record& record) {
          hear(0, fmt::format("metrics record {} {}", io::to_string(record.phase),
                              record.counts_iterations ? record.iteration : record.update));
          records.push_back(record);
          return true;
        }),
        replying_errors([this](truncate_atom, const std::vector<stale_records>& stale) {
          std::string later;
          for (size_t i = 1; i < stale.size(); ++i) {
            later += fmt::format("{}{}", i > 1 ? " " : "", io::to_string(stale[i].phase));
          }
          hear(0, fmt::format("metrics cut {} {} {}", io::to_string(stale[0].phase), stale[0].beyond, later));
          return true;
        }),
        [this](progress_atom, const progress_note& note) { shown.push_back(note.summary); }};
  });
}

caf::actor stub_cast::spawn_supervisor() {
  spawned_.push_back(on_.system().spawn([this](caf::event_based_actor*) {
    return caf::behavior{[this](const actors::ledger_note& event) {
                           notes.push_back(fmt::format("{} {} {}{}{}", io::to_string(event.kind),
                                                       io::to_string(event.phase), event.counter,
                                                       event.text.empty() ? "" : ": ", event.text));
                         },
                         [](actors::reached_atom, io::phase, uint64_t) {},
                         [this](const actors::attempt_result& ended) { result = ended; }};
  }));
  return spawned_.back();
}

actors::cast stub_cast::make_cast(size_t rank, io::phase phase) {
  actors::cast parts;
  parts.epoch_size = 18;  // by weights
  parts.held_out = held_out;
  parts.loader = make_loader(rank);
  if (phase != io::phase::reward) {
    parts.policy = make_policy(rank);
    parts.policy_optimizer = make_optimizer(rank, "policy_optimizer");
  }
  if (phase == io::phase::reward || phase == io::phase::ppo || phase == io::phase::pairs) {
    parts.reward = make_reward(rank);
  }
  if (phase == io::phase::reward) {
    parts.reward_optimizer = make_optimizer(rank, "reward_optimizer");
  }
  if (phase == io::phase::ppo || phase == io::phase::pairs || phase == io::phase::replay) {
    parts.replay = make_replay(rank);
  }
  if (phase == io::phase::ppo || phase == io::phase::replay) {
    (phase == io::phase::ppo ? parts.reference : parts.policy_scorer) =
        make_scorer(rank, phase == io::phase::ppo ? "reference" : "policy_scorer");
    parts.critic = make_critic(rank);
    parts.critic_optimizer = make_optimizer(rank, "critic_optimizer");
    parts.ema = has_ema ? make_ema(rank) : nullptr;
  }
  parts.checkpointer = make_checkpointer(rank, phase);
  place(rank, parts);
  return parts;
}

caf::strong_actor_ptr stub_cast::make_loader(size_t rank) {
  return part<actors::loader_actor>([=, this] {
    return actors::loader_actor::behavior_type{
        actors::replying_errors([=, this](actors::serve_atom, const actors::serve_command& command) {
          static constexpr const char* names[] = {"training", "held_out", "prompts", "held_out_prompts", "mixture"};
          hear(rank, fmt::format("loader {} {}", names[static_cast<size_t>(command.what)], command.counter));
          commands_[rank] = 0;
          return actors::serve_reply{.batch_id = actors::make_batch_id(command.what, command.counter),
                                     .sequences = served_sequences,
                                     .tokens = 40,
                                     .loss_terms = loss_terms};
        })};
  });
}

actors::train_reply stub_cast::learn(size_t rank, const std::string& who, const actors::train_command& command) {
  hear(rank, fmt::format("{} {:x} of {}", who, command.batch_id, command.loss_terms));
  return {.statistics = learned, .tokens = 40, .seconds = 0.5};
}

actors::score_reply stub_cast::score(size_t rank, const std::string& who) {
  hear(rank, who + " score");
  return {.tokens = 40, .seconds = 0.25};
}

caf::strong_actor_ptr stub_cast::make_policy(size_t rank) {
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

caf::strong_actor_ptr stub_cast::make_reward(size_t rank) {
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

caf::strong_actor_ptr stub_cast::make_scorer(size_t rank, const std::string& name) {
  return part<actors::reference_actor>([=, this] {
    return actors::reference_actor::behavior_type{
        [](const actors::sequence_handle&) {},
        actors::replying_errors([=, this](actors::score_atom) { return score(rank, name); })};
  });
}

caf::strong_actor_ptr stub_cast::make_critic(size_t rank) {
  using namespace actors;  // NOLINT(google-build-using-namespace): of this function
  return part<critic_actor>([=, this] {
    return critic_actor::behavior_type{[](const sequence_handle&) {}, [](const minibatch_handle&) {},
                                       replying_errors([=, this](score_atom) { return score(rank, "critic"); }),
                                       replying_errors([=, this](train_atom, const train_command& command) {
                                         return learn(rank, "critic train", command);
                                       })};
  });
}

caf::strong_actor_ptr stub_cast::make_optimizer(size_t rank, const std::string& name) {
  using namespace actors;  // NOLINT(google-build-using-namespace): of this function
  return part<optimizer_actor>([=, this] {
    return optimizer_actor::behavior_type{
        replying_errors([=, this](step_atom, const step_command& command) {
          hear(rank, fmt::format("{} step {} at {:.4g}", name, command.update, command.learning_rate));
          return step_reply{.gradient_norm = 3, .seconds = 0.125};
        }),
        replying_errors([=, this](discard_atom) {
          hear(rank, name + " cut");
          return true;
        })};
  });
}

caf::strong_actor_ptr stub_cast::make_ema(size_t rank) {
  return part<actors::ema_actor>([=, this] {
    return actors::ema_actor::behavior_type{actors::replying_errors([=, this](actors::fold_atom) {
      hear(rank, "ema fold");
      return 0.0;
    })};
  });
}

caf::strong_actor_ptr stub_cast::make_replay(size_t rank) {
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
        replying_errors([=, this](recall_atom, const recall_command& command) {
          hear(rank, fmt::format("replay recall {}", command.iteration));
          return recall_reply{};
        }),
        replying_errors([=, this](mix_atom, const mix_command& command) {
          hear(rank, fmt::format("replay mix {} of {} files", command.iteration, command.files.size()));
          return statistics{{"mix/share", 0.25}};
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

caf::strong_actor_ptr stub_cast::make_checkpointer(size_t rank, io::phase phase) {
  using namespace actors;  // NOLINT(google-build-using-namespace): of this function
  return part<checkpointer_actor>([=, this] {
    return checkpointer_actor::behavior_type{
        replying_errors([=, this](snapshot_atom, const phase_state& state) {
          hear(saved[rank], rank, fmt::format("snapshot {} {}", io::to_string(state.phase), state.counter));
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
          return std::vector<std::string>{fmt::format("models/{}", io::to_string(phase))};
        })};
  });
}

}  // namespace troupe::test
