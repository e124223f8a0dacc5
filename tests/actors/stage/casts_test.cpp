// The cast of each phase, with tiny models: which parts are where, and that they answer.
#include "actors/protocol/type_ids.hpp"
#include "actors/stage/casts.hpp"
#include "support/local_rank_groups.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe::actors {
namespace {

using names = std::set<std::string>;
using words = std::vector<std::string>;

names parts_of(const cast& made) {
  names parts;
  const auto add = [&](const char* name, const caf::strong_actor_ptr& part) {
    if (part) {
      parts.insert(name);
    }
  };
  add("loader", made.loader);
  add("policy", made.policy);
  add("reference", made.reference);
  add("reward", made.reward);
  add("critic", made.critic);
  add("policy optimizer", made.policy_optimizer);
  add("reward optimizer", made.reward_optimizer);
  add("critic optimizer", made.critic_optimizer);
  add("ema", made.ema);
  add("replay", made.replay);
  add("checkpointer", made.checkpointer);
  add("policy scorer", made.policy_scorer);
  return parts;
}

/// An actor system in which casts are spawned as in a rank; what is spawned ends with it.
class rank_system {
public:
  rank_system() : system_(config_) {}
  ~rank_system() { actors.end_all(); }

  template <class Reply, class Actor, class... Message> Reply ask(const caf::strong_actor_ptr& of, Message... message) {
    std::optional<Reply> answer;
    caf::scoped_actor self(system_);
    self->request(caf::actor_cast<Actor>(of), std::chrono::minutes(1), std::move(message)...)
        .receive([&](Reply& reply) { answer = std::move(reply); },
                 [](const caf::error& reason) { ADD_FAILURE() << caf::to_string(reason); });
    return answer.value_or(Reply{});
  }

private:
  struct config : caf::actor_system_config {
    config() { add_message_types<caf::id_block::troupe>(); }
  };
  config config_;
  caf::actor_system system_;
  caf::scoped_actor owner_{system_};

public:
  spawned_actors actors{*owner_.ptr()};
};

class Casts : public ::testing::Test {
protected:
  /// tests/data/jobs/tiny.ini, in which only lexicons judge: so that no phase needs another's results.
  static io::job job_with(const std::string& phase, const io::run_directory& run, words overrides = {}) {
    overrides.insert(overrides.end(), {"--run.phases", phase, "--run.dir", run.root().string(), "--model.critic",
                                       test_data() + "/stories260k", "--rewards.learned.kind", "lexicon",
                                       "--rewards.learned.lexicon", test_data() + "/vader/vader_lexicon.txt"});
    return io::load_job(test_data() + "/jobs/tiny.ini", overrides);
  }

  Casts() {
    const io::run_lock lock(run_);
    attempt_ = run_.begin_attempt();
  }

  stage_settings settings(const io::job& job) const {
    return {.job = job,
            .run = run_,
            .attempt = static_cast<uint64_t>(attempt_),
            .on = std::make_shared<device>(1),
            .join = {}};
  }

  test::temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  int64_t attempt_ = 0;
};

TEST_F(Casts, SupervisedPhasesHaveOneModelThatLearns) {
  const rank_groups ranks(engine::solo_world());
  const stage_settings sft =
      settings(job_with("sft", run_, {"--data.openings.phases", "sft", "--data.openings.answer", "prompt"}));
  rank_system system;
  cast_builder build(sft, ranks, ranks.open("work"), system.actors);
  const cast made = make_sft_cast(build);
  EXPECT_EQ(parts_of(made), (names{"loader", "policy", "policy optimizer", "checkpointer"}));
  EXPECT_GT(made.epoch_size, 0);
  EXPECT_GT(made.held_out, 0);
  EXPECT_FALSE(made.notes.empty());

  const auto served = system.ask<serve_reply, loader_actor>(made.loader, serve_atom_v, serve_command{});
  EXPECT_EQ(served.sequences, sft.job.sft.training.batch);
  const train_command command{.batch_id = served.batch_id, .loss_terms = served.loss_terms};
  const auto learned = system.ask<train_reply, trainee_actor>(made.policy, train_atom_v, command);
  EXPECT_EQ(learned.tokens, served.tokens);
  EXPECT_GT(statistic(learned.statistics, "policy/loss"), 0);
  const auto stepped = system.ask<step_reply, optimizer_actor>(made.policy_optimizer, step_atom_v,
                                                               step_command{.update = 1, .learning_rate = 1e-4});
  EXPECT_GT(stepped.gradient_norm, 0);
}

TEST_F(Casts, PairsPhaseGeneratesAndJudges) {
  const rank_groups ranks(engine::solo_world());
  const stage_settings pairs = settings(job_with("pairs sft", run_, {"--pairs.phases", "sft"}));
  rank_system system;
  cast_builder build(pairs, ranks, ranks.open("work"), system.actors);
  const cast made = make_pairs_cast(build);
  EXPECT_EQ(parts_of(made), (names{"loader", "policy", "reward", "replay"}));

  const auto served =
      system.ask<serve_reply, loader_actor>(made.loader, serve_atom_v, serve_command{.what = serving::prompts});
  EXPECT_EQ(served.sequences, pairs.job.pairs.prompts_per_iteration);
  const auto generated = system.ask<generate_reply, policy_actor>(
      made.policy, generate_atom_v, generate_command{.batch_id = served.batch_id, .steps = 1, .give = {}, .take = {}});
  EXPECT_EQ(generated.unfinished, served.sequences * pairs.job.pairs.samples_per_prompt);
}

TEST_F(Casts, PpoHasFourModelsAndAnAverage) {
  const rank_groups ranks(engine::solo_world());
  const stage_settings ppo = settings(job_with("ppo", run_, {"--ppo.ptx-coef", "0"}));
  rank_system system;
  cast_builder build(ppo, ranks, ranks.open("work"), system.actors);
  EXPECT_EQ(parts_of(make_ppo_cast(build)),
            (names{"loader", "policy", "policy optimizer", "ema", "critic", "critic optimizer", "reference", "reward",
                   "replay", "checkpointer"}));
}

TEST_F(Casts, PpoThatMixesAsksThePolicyAboutStoredAnswers) {
  const rank_groups ranks(engine::solo_world());
  const stage_settings ppo = settings(
      job_with("ppo", run_, {"--ppo.ptx-coef", "0", "--experience.mix", "0.5", "--experience.max-staleness", "4"}));
  rank_system system;
  cast_builder build(ppo, ranks, ranks.open("work"), system.actors);
  EXPECT_TRUE(parts_of(make_ppo_cast(build)).contains("policy scorer"));
}

TEST_F(Casts, PpoWithoutDecayKeepsNoAverage) {
  const rank_groups ranks(engine::solo_world());
  const stage_settings ppo = settings(job_with("ppo", run_, {"--ppo.ptx-coef", "0", "--ppo.ema-decay", "0"}));
  rank_system system;
  cast_builder build(ppo, ranks, ranks.open("work"), system.actors);
  EXPECT_FALSE(parts_of(make_ppo_cast(build)).contains("ema"));
}

TEST_F(Casts, ModelsOnRanksOfTheirOwnAreNowhereElse) {
  const stage_settings ppo =
      settings(job_with("ppo", run_,
                        {"--ppo.ptx-coef", "0", "--place.ranks", "2", "--place.policy-ranks", "0",
                         "--place.critic-ranks", "1", "--place.reference-ranks", "1", "--place.reward-ranks", "1"}));
  test::as_rank_groups(2, [&](rank_groups& ranks) {
    stage_settings own = ppo;
    own.on = std::make_shared<device>(1);
    rank_system system;
    cast_builder build(own, ranks, ranks.open("work"), system.actors);
    const names expected = ranks.rank() == 0
                               ? names{"loader", "policy", "policy optimizer", "ema", "replay", "checkpointer"}
                               : names{"reference", "reward", "critic", "critic optimizer", "replay", "checkpointer"};
    EXPECT_EQ(parts_of(make_ppo_cast(build)), expected);
  });
}

}  // namespace
}  // namespace troupe::actors
