// A rank's share of a rollout, with a tiny model: what is sent to replay, and what ranks give each other.
#include "actors/cast/rollout_generation.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/refusal.hpp"
#include "support/stepped_actors.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace troupe::actors {
namespace {

constexpr int64_t new_tokens = 5;
constexpr size_t prompt_count = 6;

using answers = std::map<uint64_t, sequence_handle>;

/// Prompt i of a batch has 2 + i tokens, so the later ones weigh more.
batch_handle prompts(uint64_t id, serving what = serving::prompts, uint64_t draw = 3) {
  auto batch = std::make_shared<example_batch>();
  batch->id = id;
  batch->what = what;
  batch->draw = draw;
  for (size_t i = 0; i < prompt_count; ++i) {
    std::vector<int32_t> tokens;
    for (size_t t = 0; t < 2 + i; ++t) {
      tokens.push_back(static_cast<int32_t>(10 + 3 * i + t));
    }
    batch->prompts.push_back({.tokens = tokens, .prompt_id = 70 + i, .source = 1, .reference = "no"});
  }
  return {std::move(batch)};
}

rollout_options options() {
  return {.sampling = {.temperature = 1.0F},
          .training_samples = 2,
          .evaluation_samples = 1,
          .new_tokens = new_tokens,
          .training_seed = 11,
          .evaluation_seed = 12,
          .stop = {},
          .cache_mib = 1,
          .step_tokens = 64};
}

class RolloutGeneration : public ::testing::Test {
protected:
  RolloutGeneration() {
    replay_ = actors_.system().spawn([this](caf::event_based_actor*) {
      return caf::behavior{[this](const sequence_handle& sequence) { received_[sequence->sequence_id] = sequence; }};
    });
  }
  ~RolloutGeneration() override { actors_.end(replay_); }

  rollout_settings settings(int rank = 0, int ranks = 1) {
    return {.on = on_,
            .of = model_,
            .tokens = std::make_shared<test::piece_tokenizer>(std::vector<std::string>{"a"}),
            .options = options(),
            .rank = rank,
            .ranks = ranks,
            .columns = nullptr,
            .replay = replay_,
            .turn_ends = {},
            .journal = std::nullopt};
  }

  generate_reply advance(rollout_generation& of, const generate_command& command) {
    const operation_scope scope(on_->pulse_of(role::policy), "generate");
    generate_reply reply = of.advance(command, scope);
    actors_.run();
    return reply;
  }
  /// Generates until nothing is left; what replay was sent.
  answers finish(rollout_generation& of) {
    while (advance(of, {.steps = 4}).unfinished > 0) {
    }
    return std::exchange(received_, {});
  }
  answers roll_out(const batch_handle& batch) {
    rollout_generation alone(settings());
    alone.begin(batch);
    return finish(alone);
  }

  static std::set<uint64_t> prompts_of(const answers& all) {
    std::set<uint64_t> places;
    for (const auto& [id, sequence] : all) {
      places.insert(sequence->prompt.prompt_id - 70);
    }
    return places;
  }
  static void expect_equal(const answers& one, const answers& other) {
    ASSERT_EQ(one.size(), other.size());
    for (const auto& [id, sequence] : one) {
      EXPECT_EQ(sequence->answer, other.at(id)->answer);
      EXPECT_EQ(sequence->logprob, other.at(id)->logprob);
    }
  }

  test::stepped_actors actors_;
  caf::actor replay_;
  answers received_;
  device_ptr on_ = std::make_shared<device>(1);
  model_ptr model_ = load_model(test_data() + "/tiny/gpt2", head_kind::language_model);
};

TEST_F(RolloutGeneration, EverySampleOfEveryPromptReachesReplay) {
  const answers all = roll_out(prompts(9));
  ASSERT_EQ(all.size(), 2 * prompt_count);
  for (uint64_t p = 0; p < prompt_count; ++p) {
    for (uint64_t sample = 0; sample < 2; ++sample) {
      const finished_sequence& sequence = *all.at(make_sequence_id(3, p, sample));
      EXPECT_EQ(sequence.batch_id, 9U);
      EXPECT_EQ(sequence.prompt.prompt_id, 70 + p);
      EXPECT_EQ(sequence.prompt.tokens, prompts(9)->prompts[p].tokens);
      EXPECT_EQ(sequence.prompt.reference, "no");
      EXPECT_GE(sequence.answer.size(), 1U);
      EXPECT_LE(sequence.answer.size(), static_cast<size_t>(new_tokens));
      EXPECT_EQ(sequence.logprob.size(), sequence.answer.size());
      EXPECT_TRUE(sequence.finished || sequence.answer.size() == static_cast<size_t>(new_tokens));
    }
  }
}

TEST_F(RolloutGeneration, AnswersAreThoseOfTheGeneratorWithTheJobsSettings) {
  const answers all = roll_out(prompts(9));
  engine::generator direct(model_->net, model_->weights.data(), {.cache_pages = 64, .step_tokens = 7});
  const auto expected = engine::generate_all(on_->ctx, direct,
                                             {{.sequence_ids = {make_sequence_id(3, 4, 0), make_sequence_id(3, 4, 1)},
                                               .prompt = prompts(9)->prompts[4].tokens,
                                               .max_new_tokens = new_tokens,
                                               .sampling = {.temperature = 1.0F},
                                               .seed = 11,
                                               .stop_tokens = {511}}});
  for (const engine::generated_sequence& one : expected) {
    EXPECT_EQ(all.at(one.sequence_id)->answer, one.ids);
    EXPECT_EQ(all.at(one.sequence_id)->logprob, one.logprobs);
  }
}

TEST_F(RolloutGeneration, EvaluationsDrawOtherSamplesWithTheirOwnSeed) {
  const answers evaluated = roll_out(prompts(9, serving::held_out_prompts));
  EXPECT_EQ(evaluated.size(), prompt_count);
  const answers rolled_out = roll_out(prompts(9));
  const bool all_equal = std::all_of(evaluated.begin(), evaluated.end(), [&](const auto& one) {
    return one.second->answer == rolled_out.at(one.first)->answer;
  });
  EXPECT_FALSE(all_equal);
}

TEST_F(RolloutGeneration, RanksShareThePromptsAndAnswerThemToTheSameBits) {
  const answers expected = roll_out(prompts(9));
  answers joined;
  std::vector<std::set<uint64_t>> shares;
  for (int rank = 0; rank < 2; ++rank) {
    rollout_generation one(settings(rank, 2));
    one.begin(prompts(9));
    answers own = finish(one);
    shares.push_back(prompts_of(own));
    joined.merge(own);
  }
  EXPECT_EQ(shares[0].size() + shares[1].size(), prompt_count);
  EXPECT_FALSE(shares[0].empty());
  EXPECT_FALSE(shares[1].empty());
  expect_equal(joined, expected);
}

TEST_F(RolloutGeneration, PromptThatIsGivenAwayIsAnsweredByWhoTakesIt) {
  const answers expected = roll_out(prompts(9));
  rollout_generation giver(settings(0, 2));
  rollout_generation taker(settings(1, 2));
  giver.begin(prompts(9));
  taker.begin(prompts(9));
  const generate_reply first = advance(giver, {.steps = 0});
  ASSERT_FALSE(first.waiting.empty());
  const uint64_t moved = first.waiting.back();
  advance(giver, {.steps = 0, .give = {moved}, .take = {}});
  advance(taker, {.steps = 0, .give = {}, .take = {moved}});
  answers given = finish(giver);
  answers taken = finish(taker);
  EXPECT_FALSE(prompts_of(given).contains(moved));
  EXPECT_TRUE(prompts_of(taken).contains(moved));
  given.merge(taken);
  expect_equal(given, expected);
}

TEST_F(RolloutGeneration, ReportSaysWhatIsLeft) {
  rollout_generation alone(settings());
  EXPECT_FALSE(alone.has_begun(9));
  alone.begin(prompts(9));
  EXPECT_TRUE(alone.has_begun(9));
  EXPECT_FALSE(alone.has_begun(8));
  const generate_reply before = advance(alone, {.steps = 0});
  EXPECT_EQ(before.unfinished, static_cast<int64_t>(2 * prompt_count));
  EXPECT_EQ(before.answer_tokens, 0);
  EXPECT_EQ(before.waiting, (std::vector<uint64_t>{0, 1, 2, 3, 4, 5}));
  int64_t answer_tokens = 0;
  generate_reply reply;
  do {
    reply = advance(alone, {.steps = 3});
    answer_tokens += reply.answer_tokens;
  } while (reply.unfinished > 0);
  int64_t received = 0;
  for (const auto& [id, sequence] : received_) {
    received += static_cast<int64_t>(sequence->answer.size());
  }
  EXPECT_EQ(answer_tokens, received);
  EXPECT_TRUE(reply.waiting.empty());
}

TEST_F(RolloutGeneration, NewRolloutGivesUpWhatIsUnfinishedAndReadsTheWeightsAnew) {
  const answers expected = roll_out(prompts(9));
  rollout_generation alone(settings());
  alone.begin(prompts(8));
  advance(alone, {.steps = 1});
  received_.clear();
  alone.begin(prompts(9));
  answers all = finish(alone);
  for (const auto& [id, sequence] : all) {
    EXPECT_EQ(sequence->batch_id, 9U);
  }
  expect_equal(all, expected);

  for (float& weight : model_->weights) {
    weight = -weight;
  }
  alone.begin(prompts(9));
  all = finish(alone);
  const bool all_equal = std::all_of(
      all.begin(), all.end(), [&](const auto& one) { return one.second->answer == expected.at(one.first)->answer; });
  EXPECT_FALSE(all_equal);
}

TEST_F(RolloutGeneration, EndGivesTheMemoryBackAndTheNextRolloutIsTheSame) {
  const answers expected = roll_out(prompts(9));
  rollout_generation alone(settings());
  alone.begin(prompts(9));
  finish(alone);
  EXPECT_EQ(advance(alone, {.ends = true}).unfinished, 0);
  alone.begin(prompts(9));
  expect_equal(finish(alone), expected);
}

class RolloutThatWasCut : public RolloutGeneration {
protected:
  /// Of the next attempt, which shuts the one before out.
  rollout_settings next_attempt(int rank = 0, int ranks = 1) {
    rollout_settings with = settings(rank, ranks);
    with.options.step_tokens = 6;  // so that sequences finish one after the other
    with.journal =
        journal_settings{.run = run_, .job_digest = "0123", .attempt = attempt_, .rank = rank, .every_s = 1e-9};
    return with;
  }
  void begin_attempt() { attempt_ = static_cast<uint64_t>(run_.begin_attempt()); }

  /// An attempt that ends when some sequences have finished and others have not; those that finished.
  answers cut_rollout() {
    begin_attempt();
    rollout_generation cut(next_attempt());
    cut.begin(prompts(9));
    while (advance(cut, {.steps = 1}).unfinished > static_cast<int64_t>(2 * prompt_count) - 4) {
    }
    return std::exchange(received_, {});
  }

  test::temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  uint64_t attempt_ = 0;
};

TEST_F(RolloutThatWasCut, GoesOnFromWhatHadFinished) {
  const answers expected = roll_out(prompts(9));
  const answers before = cut_rollout();
  ASSERT_GE(before.size(), 4U);
  ASSERT_LT(before.size(), expected.size());
  int64_t tokens_before = 0, tokens = 0;
  for (const auto& [id, sequence] : before) {
    tokens_before += static_cast<int64_t>(sequence->answer.size());
  }
  for (const auto& [id, sequence] : expected) {
    tokens += static_cast<int64_t>(sequence->answer.size());
  }
  begin_attempt();
  rollout_generation next(next_attempt());
  next.begin(prompts(9));
  const generate_reply first = advance(next, {.steps = 0});
  EXPECT_EQ(first.taken_up, static_cast<int64_t>(before.size()));
  EXPECT_EQ(first.taken_up_tokens, tokens_before);
  EXPECT_EQ(first.unfinished, static_cast<int64_t>(expected.size() - before.size()));
  int64_t sampled = 0;
  generate_reply reply;
  do {
    reply = advance(next, {.steps = 4});
    EXPECT_EQ(reply.taken_up, 0);
    sampled += reply.answer_tokens;
  } while (reply.unfinished > 0);
  EXPECT_EQ(sampled, tokens - tokens_before);
  expect_equal(received_, expected);
}

TEST_F(RolloutThatWasCut, OnOtherRanksEachSequenceReachesReplayOnce) {
  const answers expected = roll_out(prompts(9));
  const answers before = cut_rollout();
  begin_attempt();
  rollout_generation giver(next_attempt(0, 2));
  rollout_generation taker(next_attempt(1, 2));
  giver.begin(prompts(9));
  taker.begin(prompts(9));
  const generate_reply first = advance(giver, {.steps = 0});
  const generate_reply second = advance(taker, {.steps = 0});
  EXPECT_EQ(first.taken_up + second.taken_up, static_cast<int64_t>(before.size()));
  EXPECT_EQ(received_.size(), before.size());
  ASSERT_FALSE(first.waiting.empty());
  const uint64_t moved = first.waiting.back();
  advance(giver, {.steps = 0, .give = {moved}, .take = {}});
  advance(taker, {.steps = 0, .give = {}, .take = {moved}});
  answers all = finish(giver);
  answers others = finish(taker);
  all.merge(others);
  EXPECT_TRUE(others.empty()) << "a sequence came twice";
  expect_equal(all, expected);
}

TEST_F(RolloutThatWasCut, OnceFinishedNothingIsSampledAgain) {
  begin_attempt();
  rollout_generation whole(next_attempt());
  whole.begin(prompts(9));
  const answers expected = finish(whole);
  begin_attempt();
  rollout_generation next(next_attempt());
  next.begin(prompts(9));
  const generate_reply reply = advance(next, {.steps = 4});
  EXPECT_EQ(reply.unfinished, 0);
  EXPECT_EQ(reply.answer_tokens, 0);
  expect_equal(received_, expected);
}

TEST_F(RolloutThatWasCut, OtherWeightsPromptsAndEvaluationsBeginAnew) {
  cut_rollout();
  begin_attempt();
  rollout_generation next(next_attempt());
  next.begin(prompts(9), 1);  // after a rollback
  EXPECT_EQ(advance(next, {.steps = 0}).taken_up, 0);
  next.begin(prompts(9, serving::prompts, 4));
  EXPECT_EQ(advance(next, {.steps = 0}).taken_up, 0);
  next.begin(prompts(9, serving::held_out_prompts));
  EXPECT_EQ(advance(next, {.steps = 0}).taken_up, 0);
  auto changed = std::make_shared<example_batch>(*prompts(9));
  for (prompt& one : changed->prompts) {
    one.tokens.front() += 1;
  }
  next.begin({std::move(changed)});
  EXPECT_EQ(advance(next, {.steps = 0}).taken_up, 0);
}

TEST_F(RolloutGeneration, PromptsThatThereAreNotAreRefused) {
  rollout_generation alone(settings());
  alone.begin(prompts(9));
  EXPECT_EQ(test::refusal([&] { advance(alone, {.steps = 0, .give = {}, .take = {prompt_count}}); }),
            "prompt 6 of a batch of 6");
}

}  // namespace
}  // namespace troupe::actors
