#include "actors/cast/input_change.hpp"
#include "actors/models/options.hpp"
#include "actors/stage/casts.hpp"
#include "actors/stage/ppo_learners.hpp"
#include "io/run/replayed_run.hpp"

#include <map>
#include <string>
#include <utility>

namespace troupe::actors {

namespace {

/// What the cast is made of, and the cast: the models that learn, and files in the place of all others.
class replay_cast {
public:
  explicit replay_cast(cast_builder& build)
      : build_(build), job_(build.job()), source_(checked(job_)), at_(build.ranks().seats(job_.place)),
        learners_(build, at_) {}

  cast make();

private:
  static io::replayed_run checked(const io::job& job) {
    io::replayed_run source(job.replay.of);
    source.require_replayable(job);
    return source;
  }
  /// Whether the policy is asked what it says of an iteration's own answers: for their weights; or to be sure of
  /// numbers that nothing else is made of.
  bool asks_policy() const;
  checkpointer_settings checkpointing() const;
  /// That an exact replay starts from what the run started from.
  void require_same_inputs(const std::map<std::string, std::string>& now) const;
  expected_experience expected() const;
  replay_settings replaying() const;

  cast_builder& build_;
  const io::job& job_;
  io::replayed_run source_;
  seating at_;
  ppo_learners learners_;
  std::map<std::string, std::string> model_digests_;  ///< as the replayed phase started
};

bool replay_cast::asks_policy() const {
  if (!job_.replay.verify) {
    return true;
  }
  const bool in_reward = job_.ppo.kl_in == io::kl_place::reward && job_.ppo.kl_coef > 0;
  return job_.run.exact && !in_reward;
}

checkpointer_settings replay_cast::checkpointing() const {
  checkpointer_settings keeps = build_.checkpointing(io::phase::replay, "iteration", {});
  keeps.digests.erase("data");  // prompts: it draws none
  keeps.digests.insert(model_digests_.begin(), model_digests_.end());
  learners_.add_to(keeps);
  require_same_inputs(keeps.digests);
  return keeps;
}

void replay_cast::require_same_inputs(const std::map<std::string, std::string>& now) const {
  if (!job_.replay.verify) {
    return;
  }
  if (const auto change = find_input_change(source_.input_digests(), now)) {
    throw error(errc::bad_argument,
                "{}: {} since the run learned (digest {} then, {} now): its updates cannot come out the same. Put the "
                "former {} back",
                source_.run().root().string(), change->what, change->then, change->now, change->former);
  }
}

expected_experience replay_cast::expected() const {
  expected_experience expected = expected_of(job_, *learners_.tokens(), model_digests_.at("policy"));
  expected.job_digests = source_.job_digests();
  return expected;
}

replay_settings replay_cast::replaying() const {
  replay_settings collects = build_.replaying(io::phase::replay, learners_.tokens());
  if (asks_policy()) {
    collects.scorers = {{scorer::policy, at_.policy.members}};
  }
  collects.reward_sources = job_.rewards;
  collects.stored = expected();
  collects.importance = importance_of(job_.replay);
  collects.mixing = learners_.mixing(expected());
  return collects;
}

cast replay_cast::make() {
  learners_.load_mixture();
  model_digests_ = learners_.digests();
  cast parts;
  parts.checkpointer = pointer(build_.spawn<checkpointer_actor>(checkpointer, checkpointing()));
  const auto handle = build_.spawn<replay_actor>(replay, replaying());
  parts.replay = pointer(handle);
  if (asks_policy() || job_.mixing_window() > 0) {
    learners_.spawn_policy_scorer(parts, untyped(handle));
  }
  learners_.spawn_critic(parts, untyped(handle));
  learners_.spawn_policy(parts, io::phase::replay, std::nullopt, {});
  caf::anon_send(handle, introduce_atom_v, parts);
  return parts;
}

}  // namespace

cast make_replay_cast(cast_builder& build) { return replay_cast(build).make(); }

}  // namespace troupe::actors
