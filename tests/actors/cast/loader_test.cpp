// The loader: batches as a function of the counter, cut into micro-batches, to the phase's trainee.
#include "actors/cast/loader.hpp"
#include "support/damage.hpp"
#include "support/stepped_actors.hpp"

#include <gtest/gtest.h>

#include <set>

namespace troupe::actors {
namespace {

using ids = std::vector<int32_t>;

/// Two data sets of so many examples: example i of set s has a prompt [s, i], an answer of 1 + i % 3 tokens, and a
/// rejected one of a single token.
io::phase_data data_of(const std::vector<int32_t>& sizes) {
  io::phase_data data;
  for (size_t s = 0; s < sizes.size(); ++s) {
    const auto source = static_cast<int32_t>(s);
    auto& training = data.training.emplace_back();
    auto& held_out = data.held_out.emplace_back();
    for (int32_t i = 0; i < sizes[s]; ++i) {
      const auto length = static_cast<size_t>(1 + i % 3);
      const io::example one{.prompt = {source, i},
                            .chosen = ids(length, 50),
                            .rejected = {60},
                            .reference = "answer " + std::to_string(i),
                            .source = source,
                            .prompt_digest = static_cast<uint64_t>(1000 * source + i)};
      (i % 2 == 0 ? training : held_out).push_back(one);
    }
  }
  return data;
}

/// A job with data sets of equal weight.
io::job job_with(size_t sets) {
  io::job job;
  job.data.resize(sets);
  job.sft.training = {.batch = 4, .micro_batch_tokens = 8};
  job.reward.training = {.batch = 4, .micro_batch_tokens = 12};
  job.ppo.prompts = 6;
  job.pairs.prompts_per_iteration = 5;
  job.evaluation = {.prompts = 3, .records = 4};
  return job;
}

class Loader : public ::testing::Test {
protected:
  void SetUp() override {
    trainee_ = actors_.system().spawn([this](caf::event_based_actor*) {
      return caf::behavior{[this](const batch_handle& batch) { received_.push_back(batch); }};
    });
  }
  void TearDown() override {
    for (const loader_actor& one : loaders_) {
      actors_.end(one);
    }
    actors_.end(trainee_);
  }

  loader_actor start(io::phase phase, const io::job& job, std::optional<io::phase_data> mixture = {},
                     const std::vector<int32_t>& sizes = {20, 8}) {
    const auto drawn_from = [&job](io::phase_data data) {
      std::vector<io::blend_source> sources = sources_of(data, job);
      return loader_data{.examples = std::move(data), .sources = std::move(sources)};
    };
    loader_settings settings{.on = std::make_shared<device>(1),
                             .phase = phase,
                             .batches = batches_of(job, phase),
                             .data = drawn_from(data_of(sizes)),
                             .mixture = std::nullopt,
                             .trainee = trainee_};
    if (mixture) {
      settings.mixture = drawn_from(std::move(*mixture));
    }
    loaders_.push_back(actors_.system().spawn(loader, std::move(settings)));
    return loaders_.back();
  }
  loader_actor start(io::phase phase) { return start(phase, job_with(2)); }

  serve_reply serve(const loader_actor& by, serving what, uint64_t counter) {
    return actors_.ask<serve_reply>(by, serve_atom_v, serve_command{what, counter});
  }
  const example_batch& last() const { return *received_.back(); }

  test::stepped_actors actors_;
  caf::actor trainee_;
  std::vector<loader_actor> loaders_;
  std::vector<batch_handle> received_;
};

/// The sequences of a batch, over its micro-batches.
std::vector<ids> sequences_of(const example_batch& batch) {
  std::vector<ids> all;
  for (const engine::packed_batch& part : batch.micro_batches) {
    for (size_t b = 0; b + 1 < part.offset_B1.size(); ++b) {
      all.emplace_back(part.token_N.begin() + part.offset_B1[b], part.token_N.begin() + part.offset_B1[b + 1]);
    }
  }
  return all;
}

TEST_F(Loader, BatchIsAFunctionOfItsCounter) {
  const loader_actor one = start(io::phase::sft);
  serve(one, serving::training, 5);
  const auto fifth = sequences_of(last());
  serve(one, serving::training, 6);
  EXPECT_NE(sequences_of(last()), fifth);
  serve(one, serving::training, 5);
  EXPECT_EQ(sequences_of(last()), fifth);
  serve(start(io::phase::sft), serving::training, 5);
  EXPECT_EQ(sequences_of(last()), fifth) << "of another loader: nothing that was served before matters";
  io::job other = job_with(2);
  other.run.seed = 2;
  serve(start(io::phase::sft, other), serving::training, 5);
  EXPECT_NE(sequences_of(last()), fifth);
}

TEST_F(Loader, EpochShowsEveryTrainingExampleOnce) {
  io::job job = job_with(2);
  job.sft.training.batch = 7;  // of 14
  const loader_actor one = start(io::phase::sft, job);
  std::set<ids> seen;
  for (uint64_t counter = 0; counter < 2; ++counter) {
    serve(one, serving::training, counter);
    for (const ids& sequence : sequences_of(last())) {
      EXPECT_TRUE(seen.insert(sequence).second);
      EXPECT_EQ(sequence[1] % 2, 0) << "held out";
    }
  }
  EXPECT_EQ(seen.size(), 14U);
}

TEST_F(Loader, WeightsOfABatchAreOneOnAverageOverItsTokens) {
  io::phase_data text = data_of({20});
  for (size_t i = 0; i < text.training[0].size(); ++i) {
    text.training[0][i].weight = 1 + static_cast<double>(i % 4);
  }
  serve(start(io::phase::ppo, job_with(1), std::move(text), {20}), serving::mixture, 0);
  double weighted = 0;
  double tokens = 0;
  std::set<double> weights;
  for (const engine::packed_batch& part : last().micro_batches) {
    ASSERT_EQ(part.weight_B.size(), static_cast<size_t>(part.sequences()));
    for (size_t b = 0; b < part.weight_B.size(); ++b) {
      const auto answer = static_cast<double>(part.offset_B1[b + 1] - part.offset_B1[b] - part.prompt_length_B[b]);
      weighted += part.weight_B[b] * answer;
      tokens += answer;
      weights.insert(part.weight_B[b]);
    }
  }
  EXPECT_GT(tokens, 0);
  EXPECT_NEAR(weighted, tokens, 1e-12);
  EXPECT_GT(weights.size(), 1U);
}

TEST_F(Loader, BatchesOfEqualWeightCarryNone) {
  serve(start(io::phase::sft), serving::training, 0);
  for (const engine::packed_batch& part : last().micro_batches) {
    EXPECT_TRUE(part.weight_B.empty());
  }
}

TEST_F(Loader, SourceIsSeenAsOftenAsItsWeightSays) {
  io::job job = job_with(2);
  job.data[1].weight = 0;
  const loader_actor one = start(io::phase::sft, job);
  for (uint64_t counter = 0; counter < 5; ++counter) {
    serve(one, serving::training, counter);
    for (const ids& sequence : sequences_of(last())) {
      EXPECT_EQ(sequence[0], 0);
    }
  }
  job.data.pop_back();  // the second source is then the run's own pairs
  job.pairs.weight = 3;
  EXPECT_NO_THROW(serve(start(io::phase::sft, job), serving::training, 0));
  std::map<int32_t, int> of_source;
  for (uint64_t counter = 0; counter < 11; ++counter) {  // an epoch: 10 + 3 * 4 examples
    serve(loaders_.back(), serving::training, counter);
    for (const ids& sequence : sequences_of(last())) {
      ++of_source[sequence[0]];
    }
  }
  EXPECT_NEAR(of_source[1], 24, 2);
}

TEST_F(Loader, ReplySaysWhatTheTraineeGot) {
  const loader_actor one = start(io::phase::sft);
  const serve_reply reply = serve(one, serving::training, 0);
  ASSERT_EQ(received_.size(), 1U);
  EXPECT_EQ(last().id, reply.batch_id);
  EXPECT_EQ(last().what, serving::training);
  const auto sequences = sequences_of(last());
  EXPECT_EQ(reply.sequences, 4);
  ASSERT_EQ(sequences.size(), 4U);
  int64_t tokens = 0;
  for (const ids& sequence : sequences) {
    tokens += static_cast<int64_t>(sequence.size());
  }
  EXPECT_EQ(reply.tokens, tokens);
  EXPECT_EQ(reply.loss_terms, tokens - 2 * 4) << "answers only: each prompt has two tokens";
  EXPECT_NE(reply.batch_id, serve(one, serving::training, 1).batch_id);
  EXPECT_NE(reply.batch_id, serve(one, serving::held_out, 0).batch_id);
}

TEST_F(Loader, LossOverAllTokensCountsPromptsButNotTheFirstToken) {
  io::job job = job_with(2);
  job.sft.loss = io::sft_loss::all;
  const serve_reply reply = serve(start(io::phase::sft, job), serving::training, 0);
  EXPECT_EQ(reply.loss_terms, reply.tokens - 4);
  EXPECT_EQ(last().micro_batches[0].prompt_length_B[0], 1);
}

TEST_F(Loader, MicroBatchesHaveTheTokensOfTheJobAndTheSourcesOfTheirSequences) {
  io::job job = job_with(2);
  job.sft.training.batch = 14;
  serve(start(io::phase::sft, job), serving::training, 0);
  EXPECT_GT(last().micro_batches.size(), 3U);
  ASSERT_EQ(last().sources.size(), last().micro_batches.size());
  for (size_t i = 0; i < last().micro_batches.size(); ++i) {
    const engine::packed_batch& part = last().micro_batches[i];
    EXPECT_LE(part.tokens(), 8);
    ASSERT_EQ(last().sources[i].size(), static_cast<size_t>(part.sequences()));
    for (size_t b = 0; b < last().sources[i].size(); ++b) {
      EXPECT_EQ(last().sources[i][b], part.token_N[static_cast<size_t>(part.offset_B1[b])]);
    }
  }
}

TEST_F(Loader, PairsStandSideBySideAndStayTogether) {
  io::job job = job_with(2);
  job.reward.training.batch = 9;
  const serve_reply reply = serve(start(io::phase::reward, job), serving::training, 0);
  EXPECT_EQ(reply.sequences, 18);
  EXPECT_EQ(reply.loss_terms, 9) << "pairs";
  EXPECT_GT(last().micro_batches.size(), 2U);
  const auto sequences = sequences_of(last());
  ASSERT_EQ(sequences.size(), 18U);
  for (size_t pair = 0; pair < 9; ++pair) {
    const ids& chosen = sequences[2 * pair];
    EXPECT_EQ(chosen.back(), 50);
    EXPECT_EQ(sequences[2 * pair + 1], (ids{chosen[0], chosen[1], 60}));
  }
  for (size_t i = 0; i < last().micro_batches.size(); ++i) {
    EXPECT_EQ(last().micro_batches[i].sequences(), static_cast<int64_t>(2 * last().sources[i].size()));
  }
}

TEST_F(Loader, HeldOutExamplesAreSpreadOverAllSources) {
  const loader_actor one = start(io::phase::sft);  // 10 and 4 are held out
  const serve_reply reply = serve(one, serving::held_out, 0);
  EXPECT_EQ(reply.sequences, 4);
  std::vector<std::pair<int32_t, int32_t>> seen;
  for (const ids& sequence : sequences_of(last())) {
    seen.emplace_back(sequence[0], sequence[1]);
  }
  EXPECT_EQ(seen, (std::vector<std::pair<int32_t, int32_t>>{{0, 1}, {0, 7}, {0, 15}, {1, 1}}));
  io::job all = job_with(2);
  all.evaluation.records = 100;
  EXPECT_EQ(serve(start(io::phase::sft, all), serving::held_out, 0).sequences, 14);
}

TEST_F(Loader, PromptsComeWithWhatRulesAndRolloutsNeed) {
  const loader_actor one = start(io::phase::ppo);
  const serve_reply reply = serve(one, serving::prompts, 3);
  EXPECT_EQ(reply.sequences, 6);
  EXPECT_EQ(reply.tokens, 12);
  EXPECT_EQ(last().draw, 3U) << "the iteration that sequence ids are made of";
  ASSERT_EQ(last().prompts.size(), 6U);
  EXPECT_TRUE(last().micro_batches.empty());
  for (const prompt& each : last().prompts) {
    EXPECT_EQ(each.source, each.tokens[0]);
    EXPECT_EQ(each.prompt_id, static_cast<uint64_t>(1000 * each.tokens[0] + each.tokens[1]));
    EXPECT_EQ(each.reference, "answer " + std::to_string(each.tokens[1]));
  }
  EXPECT_EQ(serve(start(io::phase::pairs), serving::prompts, 0).sequences, 5) << "pairs.prompts-per-iteration";
  EXPECT_EQ(serve(one, serving::held_out_prompts, 0).sequences, 3) << "evaluation.prompts";
}

TEST_F(Loader, NothingToServeIsNotSent) {
  const loader_actor one = start(io::phase::sft, job_with(1), {}, {1});  // nothing is held out
  EXPECT_EQ(serve(one, serving::held_out, 0).sequences, 0);
  EXPECT_TRUE(received_.empty());
}

TEST_F(Loader, MixtureIsTextOfItsOwnDataInTrainingBatches) {
  io::job job = job_with(2);
  job.ppo = {.prompts = 6, .samples_per_prompt = 2, .minibatches = 4, .micro_batch_tokens = 8};
  const serve_reply reply = serve(start(io::phase::ppo, job, data_of({100})), serving::mixture, 0);
  EXPECT_EQ(reply.sequences, 3) << "as many as a minibatch has";
  EXPECT_EQ(reply.loss_terms, reply.tokens - 2 * 3);
  EXPECT_EQ(last().what, serving::mixture);
  job.ppo.ptx_batch = 5;
  EXPECT_EQ(serve(start(io::phase::ppo, job, data_of({100})), serving::mixture, 0).sequences, 5);
  test::expect_error(errc::bad_argument, "no data for mixture training",
                     [&] { serve(start(io::phase::ppo, job), serving::mixture, 0); });
}

}  // namespace
}  // namespace troupe::actors
