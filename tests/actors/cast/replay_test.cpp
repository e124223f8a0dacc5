// Replay: the experience is joined by id in whatever order its parts come, written, and served in minibatches.
#include "actors/cast/replay.hpp"
#include "actors/models/options.hpp"
#include "io/experience/pairs_file.hpp"
#include "support/damage.hpp"
#include "support/local_ranks.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/stepped_actors.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace troupe::actors {
namespace {

using ids = std::vector<uint64_t>;

/// Sequence n: prompt n / 2, sample n % 2; an answer of 1 + n tokens.
uint64_t id_of(uint64_t n) { return make_sequence_id(4, n / 2, n % 2); }

sequence_handle sequence_of(uint64_t n) {
  auto one = std::make_shared<finished_sequence>();
  one->sequence_id = id_of(n);
  one->prompt = {.tokens = {0, 1}, .prompt_id = 70 + n / 2, .source = 0, .reference = ""};
  one->answer = std::vector<int32_t>(1 + n, static_cast<int32_t>(n % 3));
  one->logprob = std::vector<float>(1 + n, -0.5F);
  one->finished = n != 1;
  return {std::move(one)};
}

scores_handle scores_of(uint64_t n, scorer by, std::vector<float> values) {
  auto scores = std::make_shared<sequence_scores>();
  scores->sequence_id = id_of(n);
  scores->by = by;
  scores->values = std::move(values);
  return {std::move(scores)};
}

/// Two sources, of which the second weighs -2: in all 0.1 n.
scores_handle reward_of(uint64_t n) { return scores_of(n, scorer::reward, {0.1F * static_cast<float>(n), 0.0F}); }

constexpr uint64_t sequences = 6;

class Replay : public ::testing::Test {
protected:
  Replay() {
    const io::run_lock lock(run_);
    attempt_ = run_.begin_attempt();
    ppo_ = {.minibatches = 3, .micro_batch_tokens = 12, .log_rollouts = 2};
  }

  replay_settings settings() {
    return {.on = std::make_shared<device>(1),
            .ppo = ppo_,
            .minibatches = {.minibatches = ppo_.minibatches,
                            .micro_batches = {.token_budget = ppo_.micro_batch_tokens},
                            .mean = loss_mean_of(ppo_)},
            .pair_margin = pair_margin_,
            .scorers = {{scorer::reference, {0}}, {scorer::reward, {0}}, {scorer::critic, {0}}},
            .reward_sources = sources_,
            .tokens = std::make_shared<test::piece_tokenizer>(std::vector<std::string>{"a", "b", "c"}),
            .origin = {.generation = {.stop = {}},
                       .source_names = {"openings"},
                       .job_digest = "job",
                       .policy_digest = "policy"},
            .run = run_,
            .attempt = static_cast<uint64_t>(attempt_),
            .group = engine::solo_world()->open("work")};
  }
  replay_state& open() {
    replay_.open(settings());
    return replay_;
  }

  /// All parts of sequence n but those left out.
  void add(replay_state& to, uint64_t n, const std::set<scorer>& without = {}) {
    to.add(sequence_of(n));
    to.hand_over();
    const size_t length = 1 + n;
    for (const scores_handle& part : {scores_of(n, scorer::reference, std::vector<float>(length, -0.75F)),
                                      scores_of(n, scorer::critic, std::vector<float>(length, 0.25F)), reward_of(n)}) {
      if (!without.contains(part->by)) {
        to.add(part);
      }
    }
  }
  void add_all(replay_state& to) {
    for (uint64_t n = 0; n < sequences; ++n) {
      add(to, n);
    }
  }
  assemble_reply assemble(replay_state& from, const std::string& keep = "experience/iteration-000005.h5") {
    return from.assemble({.iteration = 5, .policy_version = 9, .kl_coefficient = 0.1, .keep = keep});
  }

  test::temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  int64_t attempt_ = 0;
  io::ppo_section ppo_;
  std::vector<io::reward_source> sources_ = {{.name = "kind", .weight = 1}, {.name = "long", .weight = -2}};
  double pair_margin_ = 0;
  test::stepped_actors actors_;
  replay_state replay_;
};

TEST_F(Replay, FileHasEverySequenceInTheOrderOfIds) {
  add_all(open());
  assemble(replay_);
  const io::experience e = io::read_experience(run_.experience(5));
  EXPECT_EQ(e.iteration, 5);
  EXPECT_EQ(e.policy_version, 9);
  EXPECT_EQ(e.job_digest, "job");
  EXPECT_EQ(e.policy_digest, "policy");
  EXPECT_EQ(e.source_names, std::vector<std::string>{"openings"});
  EXPECT_EQ(e.reward_names, (std::vector<std::string>{"kind", "long"}));
  EXPECT_EQ(e.reward_weight_S, (std::vector<double>{1, -2}));
  EXPECT_EQ(e.shaping, (io::shaping_state{.kl_coefficient = 0.1}));
  ASSERT_EQ(e.sequences(), static_cast<int64_t>(sequences));
  for (uint64_t n = 0; n < sequences; ++n) {
    EXPECT_EQ(e.sequence_id_B[n], id_of(n));
    EXPECT_EQ(e.prompt_id_B[n], 70 + n / 2);
    EXPECT_EQ(e.group_B[n], prompt_key_of(id_of(n)));
    EXPECT_EQ(e.finished_B[n], n != 1 ? 1 : 0);
    EXPECT_EQ(e.prompt_text_B[n], "ab");
    EXPECT_EQ(e.answer_text_B[n], std::string(1 + n, static_cast<char>('a' + n % 3)));
    EXPECT_EQ(e.answer_offset_B1[n + 1] - e.answer_offset_B1[n], static_cast<int64_t>(1 + n));
    EXPECT_EQ(e.reward_raw_BS[2 * n], 0.1F * static_cast<float>(n));
  }
  EXPECT_EQ(e.logprob_old_A[0], -0.5F);
  EXPECT_EQ(e.logprob_ref_A[0], -0.75F);
  EXPECT_EQ(e.value_A[0], 0.25F);
  // The only token of answer 0: its score of 0 less 0.1 times a KL of 0.25; and that, less its value, is the advantage.
  EXPECT_NEAR(e.reward_shaped_A[0], -0.025, 1e-6);
  EXPECT_NEAR(e.advantage_A[0], -0.275, 1e-6);
}

TEST_F(Replay, OrderOfArrivalDoesNotMatter) {
  add_all(open());
  assemble(replay_);
  const test::byte_vector expected = test::read_bytes(run_.experience(5));
  replay_state other;
  other.open(settings());
  for (const scorer by : {scorer::critic, scorer::reward, scorer::reference}) {
    for (uint64_t n = sequences; n-- > 0;) {
      const auto length = 1 + n;
      other.add(by == scorer::reward
                    ? reward_of(n)
                    : scores_of(n, by, std::vector<float>(length, by == scorer::critic ? 0.25F : -0.75F)));
    }
  }
  for (const uint64_t n : {3, 0, 5}) {
    other.add(sequence_of(n));
  }
  other.hand_over();
  for (const uint64_t n : {4, 1, 2}) {
    other.add(sequence_of(n));
  }
  other.hand_over();
  assemble(other);
  EXPECT_EQ(test::read_bytes(run_.experience(5)), expected);
}

TEST_F(Replay, SequenceThatLacksAPartCannotBeAssembled) {
  add(open(), 0);
  add(replay_, 1, {scorer::critic});
  test::expect_error(errc::bad_argument, "has 2 of 3 scores", [&] { assemble(replay_); });
  EXPECT_FALSE(std::filesystem::exists(run_.experience(5)));
}

TEST_F(Replay, ReplySaysWhatSourcesGaveAndShowsAFewRollouts) {
  add_all(open());
  const assemble_reply reply = assemble(replay_);
  EXPECT_NEAR(statistic(reply.statistics, "reward/kind_mean"), 0.25, 1e-6);
  EXPECT_EQ(statistic(reply.statistics, "reward/long_mean"), 0);
  EXPECT_NEAR(statistic(reply.statistics, "kl/per_token_nats"), 0.25, 1e-6);
  EXPECT_NEAR(statistic(reply.statistics, "answer/unfinished_share"), 1.0 / 6, 1e-12);
  ASSERT_EQ(reply.rollouts.size(), 2U);
  EXPECT_EQ(reply.rollouts[1].prompt, "ab");
  EXPECT_EQ(reply.rollouts[1].answer, "bb");
  EXPECT_NEAR(reply.rollouts[1].reward, 0.1, 1e-6);
  EXPECT_EQ(reply.sequences, static_cast<int64_t>(sequences));
}

TEST_F(Replay, SourcesCountByTheirWeights) {
  open().add(sequence_of(0));
  replay_.hand_over();
  replay_.add(scores_of(0, scorer::reference, {-0.75F}));
  replay_.add(scores_of(0, scorer::critic, {0}));
  replay_.add(scores_of(0, scorer::reward, {0.5F, 0.125F}));
  const assemble_reply reply = assemble(replay_);
  ASSERT_EQ(reply.rollouts.size(), 1U);
  EXPECT_EQ(reply.rollouts[0].reward, 0.5 - 2 * 0.125);
}

TEST_F(Replay, MomentsOfRewardsGoOnFromTheCommands) {
  ppo_.reward_scaling = io::reward_scaling::running;
  add_all(open());
  const assemble_reply reply =
      replay_.assemble({.iteration = 5, .reward_scale = {{"count", 6}, {"mean", 0.75}, {"squares", 0}}, .keep = ""});
  EXPECT_EQ(statistic(reply.reward_scale, "count"), 12);
  EXPECT_NEAR(statistic(reply.reward_scale, "mean"), 0.5, 1e-6);
}

TEST_F(Replay, RewardThatIsNoNumberKeepsTheExperienceForInspection) {
  add(open(), 0);
  add(replay_, 1, {scorer::reward});
  replay_.add(scores_of(1, scorer::reward, {NAN, 0.0F}));
  test::expect_error(errc::not_finite, "kept in experience/iteration-000005.h5", [&] { assemble(replay_); });
  const io::experience e = io::read_experience_unchecked(run_.experience(5));
  EXPECT_EQ(e.sequences(), 2);
  EXPECT_TRUE(std::isnan(e.reward_raw_BS[2]));
  add_all(replay_);  // nothing of it is left
  EXPECT_EQ(assemble(replay_).sequences, static_cast<int64_t>(sequences));
}

class ReplayOfUnscorable : public Replay {
protected:
  ReplayOfUnscorable() {
    for (io::reward_source& source : sources_) {
      source.kind = io::reward_kind::command;
      source.max_unscorable = 0.5;
    }
  }

  /// All sequences; `missing` of them, from the second on, are without the reward of this source.
  void add_without(uint64_t missing, size_t source) {
    add(open(), 0);
    for (uint64_t n = 1; n < sequences; ++n) {
      add(replay_, n, {scorer::reward});
      std::vector<float> rewards = {0.1F * static_cast<float>(n), 0.0F};
      rewards[source] = n <= missing ? NAN : rewards[source];
      replay_.add(scores_of(n, scorer::reward, rewards));
    }
  }
};

TEST_F(ReplayOfUnscorable, AnswersWithoutARewardAreKeptAndNotLearnedFrom) {
  add_without(2, 0);
  const assemble_reply reply = assemble(replay_);
  EXPECT_NEAR(statistic(reply.statistics, "reward/unscorable_share"), 2.0 / 6, 1e-12);
  EXPECT_NEAR(statistic(reply.statistics, "reward/kind_mean"), (0 + 0.3 + 0.4 + 0.5) / 4, 1e-6);
  const io::experience e = io::read_experience(run_.experience(5));
  EXPECT_TRUE(std::isnan(e.reward_raw_BS[2]));
  EXPECT_TRUE(std::isnan(e.reward_raw_BS[4]));
  EXPECT_FALSE(std::isnan(e.reward_raw_BS[6]));
  int64_t terms = 0;
  for (uint64_t index = 0; index < 3; ++index) {
    terms += replay_.serve({5, 0, index}).loss_terms;
  }
  EXPECT_EQ(terms, 1 + 4 + 5 + 6);  // tokens of answers 0, 3, 4 and 5
}

TEST_F(ReplayOfUnscorable, ASourceThatWeighsNothingKeepsNoAnswerFromLearning) {
  sources_[1].weight = 0;
  add_without(2, 1);
  EXPECT_EQ(statistic(assemble(replay_).statistics, "reward/unscorable_share"), 0);
}

TEST_F(ReplayOfUnscorable, MoreThanTheJobAllowsEndTheRun) {
  add_without(4, 0);
  test::expect_error(errc::bad_argument, "rewards.kind: 4 of 6 answers could not be scored",
                     [&] { assemble(replay_); });
  EXPECT_EQ(io::read_experience_unchecked(run_.experience(5)).sequences(), 6);
}

TEST_F(ReplayOfUnscorable, NoRewardAtAllEndsTheRunWhateverTheJobAllows) {
  sources_[0].max_unscorable = 0.99;
  add(open(), 0, {scorer::reward});
  replay_.add(scores_of(0, scorer::reward, {NAN, 0}));
  test::expect_error(errc::bad_argument, "1 of 1 answers could not be scored", [&] { assemble(replay_); });
}

TEST_F(ReplayOfUnscorable, TheyMakeNoPairs) {
  add_without(1, 0);  // of prompt 0, whose other sample is left alone
  const train_reply reply = replay_.make_pairs();
  EXPECT_EQ(statistic(reply.statistics, "pairs/made"), 2);
  EXPECT_EQ(statistic(reply.statistics, "pairs/samples"), 6);
  EXPECT_NEAR(statistic(reply.statistics, "pairs/unscorable_share"), 1.0 / 6, 1e-12);
}

TEST_F(Replay, LateWriterOfAnOldAttemptWritesNothing) {
  add_all(open());
  {
    const io::run_lock lock(run_);
    run_.begin_attempt();
  }
  test::expect_error(errc::interrupted, "", [&] { assemble(replay_); });
  EXPECT_FALSE(std::filesystem::exists(run_.experience(5)));
}

/// A rank's cast that remembers what it gets.
class Receivers {
public:
  explicit Receivers(test::stepped_actors& on) : on_(on) {
    company_.reference = receive(&scored_[0]);
    company_.reward = receive(&scored_[1]);
    company_.critic = receive(&scored_[2]);
    company_.policy = receive(&unused_);
    company_.policy_scorer = receive(&asked_);
  }
  ~Receivers() {
    for (const auto& one :
         {company_.reference, company_.reward, company_.critic, company_.policy, company_.policy_scorer}) {
      on_.end(caf::actor_cast<caf::actor>(one));
    }
  }
  const cast& company() const { return company_; }

  /// Ids that reference, reward and critic got.
  std::array<ids, 3> scored_;
  ids asked_;                                  ///< that the policy is asked about
  std::vector<minibatch_handle> minibatches_;  ///< one each for policy and critic

private:
  caf::strong_actor_ptr receive(ids* into) {
    return caf::actor_cast<caf::strong_actor_ptr>(on_.system().spawn([this, into](caf::event_based_actor*) {
      return caf::behavior{[into](const sequence_handle& one) { into->push_back(one->sequence_id); },
                           [this](const minibatch_handle& one) { minibatches_.push_back(one); }};
    }));
  }
  test::stepped_actors& on_;
  cast company_;
  ids unused_;
};

TEST_F(Replay, SequencesGoToEveryScorerOnce) {
  Receivers receivers(actors_);
  open().meet(receivers.company());
  for (const uint64_t n : {2, 0}) {
    replay_.add(sequence_of(n));
  }
  EXPECT_EQ(replay_.hand_over(), 2);
  EXPECT_EQ(replay_.hand_over(), 0);
  replay_.add(sequence_of(1));
  EXPECT_EQ(replay_.hand_over(), 1);
  actors_.run();
  for (const ids& scored : receivers.scored_) {
    EXPECT_EQ(scored, (ids{id_of(0), id_of(2), id_of(1)}));
  }
}

TEST_F(Replay, RanksShareTheScoringAndAssembleTheSame) {
  std::array<std::array<ids, 3>, 2> scored;
  std::array<assemble_reply, 2> replies;
  test::as_local_ranks(2, [&](engine::world& here) {
    const auto rank = static_cast<size_t>(here.rank());
    test::stepped_actors actors;
    Receivers receivers(actors);
    replay_settings own = settings();
    own.group = here.open("work");
    own.scorers = {{scorer::reference, {0, 1}}, {scorer::reward, {0}}, {scorer::critic, {1}}};
    replay_state replay;
    replay.open(std::move(own));
    replay.meet(receivers.company());
    for (uint64_t n = rank; n < sequences; n += 2) {
      replay.add(sequence_of(n));
    }
    EXPECT_EQ(replay.hand_over(), static_cast<int64_t>(sequences));
    actors.run();
    scored[rank] = receivers.scored_;
    for (uint64_t n = 0; n < sequences; ++n) {
      for (const scores_handle& part : {scores_of(n, scorer::reference, std::vector<float>(1 + n, -0.75F)),
                                        reward_of(n), scores_of(n, scorer::critic, std::vector<float>(1 + n, 0.25F))}) {
        const ids& mine = scored[rank][static_cast<size_t>(part->by)];
        if (std::count(mine.begin(), mine.end(), part->sequence_id) == 1) {
          replay.add(part);
        }
      }
    }
    replies[rank] = assemble(replay);
  });
  const ids all = {id_of(0), id_of(1), id_of(2), id_of(3), id_of(4), id_of(5)};
  EXPECT_EQ(scored[0][1], all) << "reward is on rank 0 alone";
  EXPECT_EQ(scored[1][1], ids{});
  EXPECT_EQ(scored[1][2], all) << "critic on rank 1";
  ids both = scored[0][0];
  both.insert(both.end(), scored[1][0].begin(), scored[1][0].end());
  std::sort(both.begin(), both.end());
  EXPECT_EQ(both, all) << "reference on both, each sequence once";
  EXPECT_EQ(scored[0][0].size(), 3U);
  EXPECT_EQ(replies[0].statistics, replies[1].statistics);
  ASSERT_EQ(replies[0].rollouts.size(), replies[1].rollouts.size());
  for (size_t i = 0; i < replies[0].rollouts.size(); ++i) {
    EXPECT_EQ(replies[0].rollouts[i].reward, replies[1].rollouts[i].reward);
  }
  EXPECT_EQ(io::read_experience(run_.experience(5)).sequences(), static_cast<int64_t>(sequences));
}

/// Minibatches with equal log-probabilities tell their sequences by their lengths.
std::multiset<int64_t> lengths_of(const minibatch& batch) {
  std::multiset<int64_t> lengths;
  for (const minibatch::part& part : batch.parts) {
    for (size_t b = 0; b < part.packed.prompt_length_B.size(); ++b) {
      lengths.insert(part.packed.offset_B1[b + 1] - part.packed.offset_B1[b]);
    }
  }
  return lengths;
}

class Minibatches : public Replay {
protected:
  void SetUp() override {
    add_all(open());
    replay_.meet(receivers_.company());
    assemble(replay_);
  }
  const minibatch& serve(uint64_t epoch, uint64_t index) {
    receivers_.minibatches_.clear();
    reply_ = replay_.serve({.iteration = 5, .epoch = epoch, .index = index});
    actors_.run();
    EXPECT_EQ(receivers_.minibatches_.size(), 2U) << "policy and critic";
    EXPECT_EQ(receivers_.minibatches_[0].value, receivers_.minibatches_[1].value);
    return *receivers_.minibatches_[0];
  }
  Receivers receivers_{actors_};
  serve_reply reply_;
};

TEST_F(Minibatches, OfAnEpochHaveEverySequenceOnce) {
  std::vector<std::multiset<int64_t>> firsts;
  for (uint64_t epoch = 0; epoch < 4; ++epoch) {
    std::multiset<int64_t> all;
    for (uint64_t index = 0; index < 3; ++index) {
      all.merge(std::multiset<int64_t>(lengths_of(serve(epoch, index))));
    }
    EXPECT_EQ(all, (std::multiset<int64_t>{3, 4, 5, 6, 7, 8}));
    firsts.push_back(lengths_of(serve(epoch, 0)));
  }
  EXPECT_TRUE(std::any_of(firsts.begin(), firsts.end(), [&](const auto& one) { return one != firsts[0]; }))
      << "another order each epoch";
  EXPECT_EQ(lengths_of(serve(0, 0)), firsts[0]) << "a function of epoch and index";
}

TEST_F(Minibatches, SayWhatTheyHoldAndWhetherTheyAreTheFirst) {
  const minibatch& first = serve(0, 0);
  EXPECT_TRUE(first.fresh);
  EXPECT_EQ(first.id, reply_.batch_id);
  EXPECT_EQ(reply_.sequences, 2);
  int64_t tokens = 0;
  double weights = 0;
  for (const minibatch::part& part : first.parts) {
    EXPECT_LE(part.packed.tokens(), 12);
    tokens += part.packed.tokens();
    EXPECT_EQ(part.logprob_old_A.size(), part.weight_A.size());
    EXPECT_EQ(part.advantage_A.size(), part.weight_A.size());
    EXPECT_EQ(part.return_A.size(), part.weight_A.size());
    EXPECT_EQ(part.logprob_ref_A.size(), part.weight_A.size());
    EXPECT_EQ(part.value_old_A.size(), part.weight_A.size());
    weights = std::accumulate(part.weight_A.begin(), part.weight_A.end(), weights);
  }
  EXPECT_EQ(reply_.tokens, tokens);
  EXPECT_EQ(reply_.loss_terms, tokens - 2 * 2) << "answer tokens";
  EXPECT_NEAR(weights, 1, 1e-12);
  EXPECT_FALSE(serve(0, 1).fresh);
  EXPECT_FALSE(serve(1, 0).fresh);
  test::expect_error(errc::bad_argument, "iteration 6 has not been assembled",
                     [&] { replay_.serve({.iteration = 6}); });
}

/// An iteration 4 is stored, with the same answers but for their ids.
class MixingReplay : public Replay {
protected:
  void SetUp() override {
    replay_state plain;
    plain.open(settings());
    add_all(plain);
    assemble(plain);
    alone_ = test::read_bytes(run_.experience(5));
    io::experience e = io::read_experience(run_.experience(5));
    e.iteration = 4;
    e.policy_version = 5;
    for (uint64_t n = 0; n < sequences; ++n) {
      e.sequence_id_B[n] = older_id_of(n);
    }
    io::write_experience(run_.experience(4), e);

    replay_settings own = settings();
    own.mixing = mixing_rules{.share = 0.5,
                              .stored = {.job_digests = {"job"},
                                         .policy_digest = "policy",
                                         .tokenizer_digest = e.tokenizer_digest,
                                         .reward_names = e.reward_names,
                                         .prompts = 3,
                                         .samples_per_prompt = 2,
                                         .allowed = {},
                                         .mixing = true},
                              .scoring_on = {0}};
    replay_.open(std::move(own));
    replay_.meet(receivers_.company());
    add_all(replay_);
    said_ = replay_.mix({.iteration = 5, .policy_version = 9, .files = {run_.experience(4).string()}});
  }

  static uint64_t older_id_of(uint64_t n) { return make_sequence_id(3, n / 2, n % 2); }

  /// The policy gives every stored token 0.25 nats more than the one that sampled it.
  void say_now() {
    for (uint64_t n = 0; n < sequences; ++n) {
      auto scores = std::make_shared<sequence_scores>();
      scores->sequence_id = older_id_of(n);
      scores->by = scorer::policy;
      scores->values = std::vector<float>(1 + n, -0.25F);
      replay_.add(scores_handle{std::move(scores)});
    }
  }

  test::byte_vector alone_;  ///< the file of iteration 5 where nothing is mixed in
  statistics said_;
  Receivers receivers_{actors_};
};

TEST_F(MixingReplay, AsksThePolicyAboutStoredAnswersAlone) {
  actors_.run();
  ids older;
  for (uint64_t n = 0; n < sequences; ++n) {
    older.push_back(older_id_of(n));
  }
  EXPECT_EQ(receivers_.asked_, older);
  EXPECT_EQ(receivers_.scored_[0].size(), sequences) << "those of the iteration";
  EXPECT_EQ(statistic(said_, "mix/share"), 0.5);
  EXPECT_EQ(statistic(said_, "mix/staleness_mean"), 4);
  test::expect_error(errc::bad_argument, "has 3 of 4 scores", [&] { assemble(replay_); });
}

TEST_F(MixingReplay, LearnsFromThemAndStoresItsOwnAlone) {
  say_now();
  const assemble_reply reply = assemble(replay_);
  EXPECT_EQ(test::read_bytes(run_.experience(5)), alone_);
  EXPECT_EQ(reply.sequences, static_cast<int64_t>(sequences));
  EXPECT_NEAR(statistic(reply.statistics, "answer/length_mean"), 3.5, 1e-12);
  EXPECT_NEAR(statistic(reply.statistics, "mix/behaviour_kl_nats"), -0.25, 1e-6);
  EXPECT_NEAR(statistic(reply.statistics, "mix/ess_share"), 1, 1e-12);
  EXPECT_FALSE(reply.statistics.contains("replay/ess_share"));
}

TEST_F(MixingReplay, ServesThemWeighedAndItsOwnAsTheyWere) {
  say_now();
  assemble(replay_);
  std::multiset<size_t> own;
  std::multiset<size_t> older;
  for (uint64_t index = 0; index < 3; ++index) {
    receivers_.minibatches_.clear();
    EXPECT_EQ(replay_.serve({.iteration = 5, .epoch = 0, .index = index}).sequences, 4);
    actors_.run();
    EXPECT_EQ(receivers_.minibatches_.at(0)->fresh, index == 0) << "log-probabilities are those of the policy of now";
    for (const minibatch::part& part : receivers_.minibatches_.at(0)->parts) {
      size_t a = 0;
      for (size_t b = 0; b < part.packed.prompt_length_B.size(); ++b) {
        const auto answer = static_cast<size_t>(part.packed.offset_B1[b + 1] - part.packed.offset_B1[b] -
                                                part.packed.prompt_length_B[b]);
        const bool stored = part.logprob_old_A[a] == -0.25F;
        (stored ? older : own).insert(answer);
        for (size_t t = 0; t < answer; ++t, ++a) {
          EXPECT_EQ(part.logprob_old_A[a], stored ? -0.25F : -0.5F);
          const double importance = stored ? static_cast<double>(static_cast<float>(std::exp(0.25))) : 1.0;
          EXPECT_EQ(part.policy_weight_A[a], part.weight_A[a] * importance);
        }
      }
    }
  }
  EXPECT_EQ(own, (std::multiset<size_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(older, own);
}

TEST_F(MixingReplay, TheNextIterationHasNoneLeft) {
  say_now();
  assemble(replay_);
  add_all(replay_);
  EXPECT_FALSE(assemble(replay_).statistics.contains("mix/ess_share"));
}

TEST_F(Replay, AnswersThatAreTooShortAreServedButDoNotCount) {
  ppo_.minibatches = 1;
  ppo_.min_answer_tokens = 4;  // three of the six
  add_all(open());
  assemble(replay_);
  EXPECT_EQ(replay_.serve({.iteration = 5}).loss_terms, 4 + 5 + 6);
}

TEST_F(Replay, PairsAreTheBestAndTheWorstSampleOfEachPrompt) {
  pair_margin_ = 0.05;
  replay_settings own = settings();
  own.scorers = {{scorer::reward, {0}}};
  replay_.open(std::move(own));
  for (uint64_t n = 0; n < 4; ++n) {
    replay_.add(sequence_of(n));
    replay_.add(n < 3 ? reward_of(n)
                      : scores_of(n, scorer::reward, {0.21F, 0}));  // of prompt 1: too close to each other
  }
  replay_.hand_over();
  const train_reply reply = replay_.make_pairs();
  EXPECT_EQ(io::count_pairs_parts(run_), 0) << "the record comes before";
  replay_.save_pairs(0);
  EXPECT_EQ(statistic(reply.statistics, "pairs/made"), 1);
  EXPECT_EQ(statistic(reply.statistics, "pairs/samples"), 4);
  EXPECT_NEAR(statistic(reply.statistics, "pairs/margin_mean"), 0.1, 1e-6);
  EXPECT_EQ(io::count_pairs_parts(run_), 1);
  io::join_pairs_parts(run_, 1, run_.fence(attempt_));
  const auto pairs = io::read_pairs(io::pairs_file(run_));
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0].chosen, "bb");
  EXPECT_EQ(pairs[0].rejected, "a");
  EXPECT_EQ(pairs[0].prompt_digest, sequence_of(1)->prompt.prompt_id) << "by which the prompt was put into a phase";
  EXPECT_EQ(pairs[0].prompt_ids, sequence_of(1)->prompt.tokens);
  EXPECT_EQ(pairs[0].chosen_ids, sequence_of(1)->answer) << "as sampled";
  EXPECT_EQ(pairs[0].rejected_ids, sequence_of(0)->answer);
}

}  // namespace
}  // namespace troupe::actors
