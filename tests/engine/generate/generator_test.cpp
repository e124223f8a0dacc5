#include "base/error.hpp"
#include "engine/generate/generator.hpp"
#include "engine/train/scoring.hpp"
#include "io/json/json.hpp"
#include "support/fixture.hpp"
#include "support/generation.hpp"
#include "support/model_fixture.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

using test::bits;
using test::expect_equal;
using test::prompt_of;
using test::request_of;

/// Prompts below, at and above a page's length, some with several samples.
std::vector<generation_request> mixed_requests() {
  std::vector<generation_request> all;
  all.push_back(request_of({10}, prompt_of(1, 1), 40));
  all.push_back(request_of({20, 21, 22}, prompt_of(70, 2), 70));
  all.push_back(request_of({30, 31}, prompt_of(64, 3), 5));
  all.push_back(request_of({40}, prompt_of(130, 4), 30));
  all.push_back(request_of({50, 51}, prompt_of(9, 5), 60));
  return all;
}

struct GeneratorTest : testing::Test {
  thread_pool pool{2};
  context ctx{pool};
  test::loaded_model stories = test::load_model("stories260k");

  std::vector<generated_sequence> run(const generator_settings& settings, std::vector<generation_request> requests,
                                      generator_counters* counters = nullptr) {
    generator g(stories.net, stories.weights.data(), settings);
    auto all = generate_all(ctx, g, std::move(requests));
    if (counters != nullptr) {
      *counters = g.counters();
    }
    return all;
  }
};

TEST_F(GeneratorTest, GreedyStoryIsTheOneThatLlama2CTells) {
  std::ifstream file(test_data() + "/stories260k/greedy256.json");
  const auto expected = nlohmann::json::parse(file);
  generation_request r = request_of({1}, expected["prompt_ids"], 256);
  r.sampling = {.temperature = 0};
  const auto got = run({}, {r});
  EXPECT_EQ(got.at(0).ids, expected["new_tokens"].get<std::vector<int32_t>>());
  EXPECT_EQ(got.at(0).finish, finish_reason::length);
}

class GreedyFixture : public testing::TestWithParam<const char*> {};

TEST_P(GreedyFixture, TokensAndLogProbsAreTheReferences) {
  thread_pool pool(2);
  context ctx{pool};
  const std::string folder = std::string("tiny/") + GetParam();
  const test::loaded_model model = test::load_model(folder);
  const test::fixture f(folder + "/fixtures.safetensors");
  const auto prompts = f.values<int32_t>("gen.input_ids");
  const auto mask = f.integers("gen.attention_mask");
  const auto expected = f.values<int32_t>("gen.new_tokens");
  const auto expected_logprobs = f.floats("gen.logprobs");
  const auto width = static_cast<size_t>(f.shape("gen.input_ids")[1]);
  const auto fresh = static_cast<size_t>(f.shape("gen.new_tokens")[1]);
  std::vector<generation_request> requests;
  for (size_t b = 0; b < prompts.size() / width; ++b) {
    std::vector<int32_t> prompt;
    for (size_t t = b * width; t < (b + 1) * width; ++t) {
      if (mask[t] != 0) {
        prompt.push_back(prompts[t]);
      }
    }
    requests.push_back(request_of({b}, prompt, static_cast<int64_t>(fresh)));
    requests.back().sampling = {.temperature = 0};
  }
  generator g(model.net, model.weights.data(), {});
  for (const generated_sequence& s : generate_all(ctx, g, requests)) {
    ASSERT_EQ(s.ids.size(), fresh);
    for (size_t i = 0; i < fresh; ++i) {
      EXPECT_EQ(s.ids[i], expected[s.sequence_id * fresh + i]) << "at " << i;
      EXPECT_NEAR(s.logprobs[i], expected_logprobs[s.sequence_id * fresh + i], 2e-5) << "at " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GreedyFixture,
                         testing::Values("opt", "opt_postln", "gpt2", "llama", "llama3", "qwen2", "qwen3", "phi3",
                                         "gpt_neox", "bloom"));

TEST_F(GeneratorTest, ASampleDoesNotDependOnItsBatch) {
  const auto together = run({}, mixed_requests());
  std::vector<generated_sequence> alone;
  for (generation_request& r : mixed_requests()) {
    for (const uint64_t id : r.sequence_ids) {
      generation_request one = r;
      one.sequence_ids = {id};
      alone.push_back(run({}, {one}).at(0));
    }
  }
  expect_equal(together, alone);
}

TEST_F(GeneratorTest, ASampleDoesNotDependOnTheChunksOfThePrompt) {
  const auto expected = run({.cache_pages = 64, .step_tokens = 1000}, mixed_requests());
  expect_equal(run({.cache_pages = 64, .step_tokens = 64}, mixed_requests()), expected);
  expect_equal(run({.cache_pages = 64, .step_tokens = 7}, mixed_requests()), expected);
  expect_equal(run({.cache_pages = 64, .step_tokens = 1}, mixed_requests()), expected);
}

TEST_F(GeneratorTest, ASampleDoesNotDependOnThePageBudget) {
  const auto expected = run({.cache_pages = 64}, mixed_requests());
  int64_t preemptions = 0;
  for (const int64_t pages : {3, 4, 5, 7}) {
    generator_counters counters;
    expect_equal(run({.cache_pages = pages, .step_tokens = 50}, mixed_requests(), &counters), expected);
    EXPECT_LE(counters.peak_pages, pages);
    preemptions += counters.preemptions;
  }
  EXPECT_GT(preemptions, 0);
}

TEST_F(GeneratorTest, ASampleDoesNotDependOnThreads) {
  const auto expected = run({}, mixed_requests());
  thread_pool one(1);
  context serial{one};
  generator g(stories.net, stories.weights.data(), {});
  expect_equal(generate_all(serial, g, mixed_requests()), expected);
}

TEST_F(GeneratorTest, LateRequestsDoNotDisturbRunningOnes) {
  const auto expected = run({}, mixed_requests());
  generator g(stories.net, stories.weights.data(), {});
  std::vector<generated_sequence> got;
  for (generation_request& r : mixed_requests()) {
    g.submit(r);
    g.step(ctx);
    g.step(ctx);
    for (generated_sequence& s : g.take_finished()) {
      got.push_back(std::move(s));
    }
  }
  for (generated_sequence& s : generate_all(ctx, g, {})) {
    got.push_back(std::move(s));
  }
  std::sort(got.begin(), got.end(), [](const auto& a, const auto& b) { return a.sequence_id < b.sequence_id; });
  expect_equal(got, expected);
}

TEST_F(GeneratorTest, RequestsThatMoveToAnotherGeneratorAreAnsweredAlike) {
  const auto expected = run({}, mixed_requests());
  const generator_settings small{.cache_pages = 4, .step_tokens = 50};
  generator first(stories.net, stories.weights.data(), small);
  for (generation_request& r : mixed_requests()) {
    first.submit(r);
  }
  EXPECT_EQ(first.not_begun(), (std::vector<uint64_t>{10, 20, 30, 40, 50}));
  for (int i = 0; i < 10; ++i) {
    first.step(ctx);
  }
  const std::vector<uint64_t> moved = first.not_begun();
  ASSERT_FALSE(moved.empty());
  EXPECT_THROW(first.withdraw(10), error);  // begun
  generator second(stories.net, stories.weights.data(), small);
  for (const uint64_t id : moved) {
    first.withdraw(id);
    EXPECT_THROW(first.withdraw(id), error);
    for (generation_request& r : mixed_requests()) {
      if (r.sequence_ids.front() == id) {
        second.submit(r);
      }
    }
  }
  auto got = generate_all(ctx, first, {});
  for (generated_sequence& s : generate_all(ctx, second, {})) {
    got.push_back(std::move(s));
  }
  std::sort(got.begin(), got.end(), [](const auto& a, const auto& b) { return a.sequence_id < b.sequence_id; });
  expect_equal(got, expected);
}

TEST_F(GeneratorTest, StoredLogProbsAreThoseOfThePackedForwardToTheLastBit) {
  for (const float temperature : {0.0F, 0.7F, 1.0F}) {
    auto requests = mixed_requests();
    packed_batch batch;
    std::vector<uint32_t> stored;
    for (generation_request& r : requests) {
      r.sampling.temperature = temperature;
    }
    const auto answers = run({.cache_pages = 6, .step_tokens = 33}, requests);
    size_t next = 0;
    for (const generation_request& r : requests) {
      for (size_t i = 0; i < r.sequence_ids.size(); ++i, ++next) {
        std::vector<int32_t> tokens = r.prompt;
        tokens.insert(tokens.end(), answers[next].ids.begin(), answers[next].ids.end());
        batch.add(tokens, static_cast<int64_t>(r.prompt.size()));
        const auto b = bits(answers[next].logprobs);
        stored.insert(stored.end(), b.begin(), b.end());
      }
    }
    EXPECT_EQ(bits(answer_log_probs(ctx, stories.net, stories.weights.data(), batch, temperature)), stored)
        << "temperature " << temperature;
  }
}

TEST_F(GeneratorTest, ThePromptOfSeveralSamplesIsComputedOnce) {
  std::vector<uint64_t> ids;
  for (uint64_t i = 0; i < 8; ++i) {
    ids.push_back(i);
  }
  generator_counters counters;
  run({}, {request_of(ids, prompt_of(100, 1), 4)}, &counters);
  EXPECT_EQ(counters.prompt_tokens, 100);
  EXPECT_EQ(counters.answer_tokens, 8 * 4);
  EXPECT_EQ(counters.steps, 4);
  EXPECT_EQ(counters.peak_pages, 1 + 8);  // a full page shared, a partly filled one for each
}

TEST_F(GeneratorTest, TokensFollowTheModelsDistribution) {
  const std::vector<int32_t> prompt = prompt_of(12, 9);
  constexpr int64_t samples = 4000;
  std::vector<uint64_t> ids;
  for (uint64_t i = 0; i < samples; ++i) {
    ids.push_back(i);
  }
  generation_request r = request_of(ids, prompt, 1);
  r.sampling = {.temperature = 1.3F};
  std::vector<double> count(512, 0.0);
  for (const generated_sequence& s : run({}, {r})) {
    count[static_cast<size_t>(s.ids.at(0))] += 1;
  }
  packed_batch batch;
  for (int32_t v = 0; v < 512; ++v) {
    std::vector<int32_t> tokens = prompt;
    tokens.push_back(v);
    batch.add(tokens, static_cast<int64_t>(prompt.size()));
  }
  const auto logprob = answer_log_probs(ctx, stories.net, stories.weights.data(), batch, 1.3F);
  double chi = 0, rest_expected = 0, rest_count = 0, cells = 0;
  for (size_t v = 0; v < 512; ++v) {
    const double expected = samples * std::exp(static_cast<double>(logprob[v]));
    if (expected < 5) {
      rest_expected += expected;
      rest_count += count[v];
      continue;
    }
    chi += (count[v] - expected) * (count[v] - expected) / expected;
    cells += 1;
  }
  ASSERT_GT(rest_expected, 5);
  chi += (rest_count - rest_expected) * (rest_count - rest_expected) / rest_expected;
  // Chi square of `cells` degrees of freedom: mean cells, variance 2 cells; the numbers drawn are
  // fixed by the seed.
  EXPECT_GT(cells, 20);
  EXPECT_LT(chi, cells + 3 * std::sqrt(2 * cells));
}

TEST_F(GeneratorTest, AStopTokenEndsTheAnswerAndBelongsToIt) {
  generation_request r = request_of({1}, prompt_of(5, 1), 30);
  const auto whole = run({}, {r}).at(0).ids;
  r.stop_tokens = {whole[12]};
  const auto first = std::find(whole.begin(), whole.end(), whole[12]) - whole.begin();
  const auto cut = run({}, {r}).at(0);
  EXPECT_EQ(cut.finish, finish_reason::stop);
  EXPECT_EQ(cut.ids, std::vector<int32_t>(whole.begin(), whole.begin() + first + 1));
  EXPECT_EQ(cut.logprobs.size(), cut.ids.size());
}

TEST_F(GeneratorTest, AStopCheckSeesEveryTokenAndEndsTheAnswer) {
  generation_request r = request_of({1}, prompt_of(5, 1), 30);
  size_t seen = 0;
  r.stop = [&](std::span<const int32_t> answer) {
    EXPECT_EQ(answer.size(), ++seen);
    return answer.size() == 7;
  };
  const auto s = run({}, {r}).at(0);
  EXPECT_EQ(s.ids.size(), 7U);
  EXPECT_EQ(s.finish, finish_reason::stop);
}

TEST_F(GeneratorTest, AnswersEndWhereTheModelsPositionsDo) {
  const generation_request r = request_of({1}, prompt_of(510, 1), 100);
  const auto s = run({}, {r}).at(0);
  EXPECT_EQ(s.ids.size(), 2U);
  EXPECT_EQ(s.finish, finish_reason::length);
}

TEST_F(GeneratorTest, CancelledSequencesLeaveNothingBehind) {
  generator g(stories.net, stories.weights.data(), {});
  for (generation_request& r : mixed_requests()) {
    g.submit(r);
  }
  g.step(ctx);
  EXPECT_THROW(g.release_memory(), error);
  g.cancel();
  EXPECT_TRUE(g.idle());
  g.release_memory();
  g.take_finished();
  expect_equal(generate_all(ctx, g, mixed_requests()), run({}, mixed_requests()));
}

std::string refusal(generator& g, const generation_request& r) {
  try {
    g.submit(r);
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::bad_argument);
    return e.what();
  }
  return "";
}

TEST_F(GeneratorTest, RequestsThatCannotBeServedSayWhy) {
  generator g(stories.net, stories.weights.data(), {.cache_pages = 2});
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(has(refusal(g, request_of({1}, {}, 5)), "prompt is empty"));
  EXPECT_TRUE(has(refusal(g, request_of({1}, {1, 512}, 5)), "token 1 of the prompt is 512"));
  EXPECT_TRUE(has(refusal(g, request_of({1}, {-1}, 5)), "vocabulary"));
  EXPECT_TRUE(has(refusal(g, request_of({1}, prompt_of(512, 1), 5)), "at most 511"));
  EXPECT_TRUE(has(refusal(g, request_of({1}, prompt_of(100, 1), 60)), "needs 3 pages"));
  EXPECT_TRUE(has(refusal(g, request_of({}, {1}, 5)), "sequence id"));
  EXPECT_TRUE(has(refusal(g, request_of({4, 4}, {1}, 5)), "1 of them different"));
  EXPECT_TRUE(has(refusal(g, request_of({1}, {1}, 0)), "at least 1"));
  generation_request bad = request_of({1}, {1}, 5);
  bad.sampling.top_p = 0;
  EXPECT_TRUE(has(refusal(g, bad), "top-p"));
  EXPECT_EQ(refusal(g, request_of({1}, {1}, 5)), "");
  EXPECT_TRUE(has(refusal(g, request_of({1}, {1}, 5)), "in use"));
  EXPECT_EQ(g.unfinished(), 1);
}

TEST_F(GeneratorTest, DamagedWeightsAreAnError) {
  stories.weights[0] = NAN;
  generator g(stories.net, stories.weights.data(), {});
  g.submit(request_of({1}, {0, 1, 0}, 5));
  try {
    g.step(ctx);
    FAIL() << "no error";
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::not_finite);
  }
}

}  // namespace
}  // namespace troupe::engine
