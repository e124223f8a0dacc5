// Decoding on an emulated card ahead of the host, from recordings: the same tokens and log-probabilities, bit for bit,
// as where each step is called by itself, whatever happens meanwhile.
#include "base/error.hpp"
#include "engine/card/card_model.hpp"
#include "engine/generate/generator.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace troupe::engine {
namespace {

using emulation::card_call;

struct model_case {
  const char* name;
  position_kind position;
  dtype type;
};

/// Small, so that many steps are soon emulated.
model_description small_model(position_kind position) {
  model_description d;
  d.vocabulary = 72;
  d.width = d.embedding_width = 32;
  d.layers = 2;
  d.heads = 2;
  d.kv_heads = position == position_kind::rotary ? 1 : 2;
  d.head_width = 16;
  d.feed_forward = 48;
  d.max_positions = 700;
  d.norm = position == position_kind::rotary ? norm_kind::rms : norm_kind::layer;
  d.position = position;
  d.position_offset = position == position_kind::learned ? 2 : 0;
  d.rotary.rotated = 16;
  d.activation = position == position_kind::rotary ? kernels::activation::silu : kernels::activation::gelu_tanh;
  d.gated = position == position_kind::rotary;
  d.embedding_norm = position == position_kind::alibi;
  d.head_norm = position == position_kind::rotary;
  return d;
}

generation_request request_of(std::vector<uint64_t> ids, int64_t prompt_tokens, int64_t new_tokens) {
  generation_request r;
  r.sequence_ids = std::move(ids);
  for (int64_t i = 0; i < prompt_tokens; ++i) {
    r.prompt.push_back(static_cast<int32_t>((11 + 7 * r.sequence_ids[0] + 5 * static_cast<uint64_t>(i)) % 72));
  }
  r.max_new_tokens = new_tokens;
  r.seed = 3;
  return r;
}

/// Prompts of one token and of more, one and several samples, and all that bends a distribution.
std::vector<generation_request> mixed_requests(int64_t new_tokens) {
  std::vector<generation_request> all;
  for (uint64_t r = 0; r < 7; ++r) {
    const std::vector<uint64_t> ids =
        r % 3 == 2 ? std::vector<uint64_t>{10 * r, 10 * r + 1, 10 * r + 2} : std::vector<uint64_t>{10 * r};
    generation_request request = request_of(ids, 1 + 2 * static_cast<int64_t>(r), new_tokens + static_cast<int64_t>(r));
    request.sampling.temperature = r == 2 ? 0.0F : 0.8F;
    request.sampling.top_k = r == 3 ? 20 : 0;
    request.sampling.top_p = r == 4 ? 0.9F : 1.0F;
    request.sampling.repetition_penalty = r >= 5 ? 1.3F : 1.0F;
    all.push_back(std::move(request));
  }
  return all;
}

void expect_same(const std::vector<generated_sequence>& got, const std::vector<generated_sequence>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].sequence_id, want[i].sequence_id);
    EXPECT_EQ(got[i].ids, want[i].ids) << "sequence " << want[i].sequence_id;
    EXPECT_EQ(test::bits(got[i].logprobs), test::bits(want[i].logprobs)) << "sequence " << want[i].sequence_id;
    EXPECT_EQ(got[i].finish, want[i].finish) << "sequence " << want[i].sequence_id;
  }
}

class RunAhead : public testing::TestWithParam<model_case> {
protected:
  /// A card whose work is as late as it may be, and a model there.
  struct place {
    explicit place(const test::random_model& model, bool early_compute = false, int64_t page_bytes = int64_t{64} << 10)
        : card(emulation::make_card(
              {.page_bytes = page_bytes, .late = true, .early_compute = early_compute, .calls = &calls})),
          weights(ctx, model, GetParam().type) {}

    std::vector<card_call> calls;
    thread_pool pool{1};
    std::unique_ptr<device> card;
    context ctx{pool, card.get()};
    test::model_on_card weights;
  };

  generator generator_on(place& there, const generator_settings& settings) const {
    return {model_.net, there.weights.weights(), settings, there.card.get()};
  }

  struct trial {
    std::vector<generated_sequence> answers;
    generator_counters counters;
  };
  trial run(const generator_settings& settings, std::vector<generation_request> requests,
            bool early_compute = false) const {
    place there(model_, early_compute);
    generator from = generator_on(there, settings);
    trial result;
    result.answers = generate_all(there.ctx, from, std::move(requests));
    result.counters = from.counters();
    return result;
  }

  test::random_model model_ = test::make_random_model(small_model(GetParam().position), 9);
};

TEST_P(RunAhead, AnyNumberOfStepsGivesTheSameBits) {
  const trial by_itself = run({.cache_pages = 32, .step_tokens = 24, .steps_ahead = 0}, mixed_requests(6));
  EXPECT_EQ(by_itself.counters.recordings, 0);
  for (const int64_t steps : {1, 3, 8}) {
    const bool early_compute = steps == 3;  // so that later steps have been computed when tokens come down
    const trial ahead =
        run({.cache_pages = 32, .step_tokens = 24, .steps_ahead = steps}, mixed_requests(6), early_compute);
    expect_same(ahead.answers, by_itself.answers);
    EXPECT_GT(ahead.counters.replays, 5) << steps;
    EXPECT_EQ(ahead.counters.answer_tokens, by_itself.counters.answer_tokens);
    EXPECT_EQ(ahead.counters.prompt_tokens, by_itself.counters.prompt_tokens);
    EXPECT_EQ(ahead.counters.dropped_tokens, 0) << "nothing is computed past the length that was asked for";
  }
}

/// Over the borders of pages, of which there are so few that sequences have to give way.
TEST_P(RunAhead, WithFewPagesTheBitsAreTheSame) {
  std::vector<generation_request> requests;
  for (uint64_t id = 0; id < 4; ++id) {
    requests.push_back(request_of({id}, 58 + static_cast<int64_t>(id), 12));
  }
  const trial roomy = run({.cache_pages = 32, .step_tokens = 64, .steps_ahead = 0}, requests);
  const trial cramped = run({.cache_pages = 5, .step_tokens = 64, .steps_ahead = 4}, requests);
  expect_same(cramped.answers, roomy.answers);
  EXPECT_GT(cramped.counters.preemptions, 0);
  EXPECT_GT(cramped.counters.replays, 0);
}

TEST_P(RunAhead, PromptsThatComeInBetweenChangeNothing) {
  const trial together = run({.cache_pages = 32, .step_tokens = 64, .steps_ahead = 0}, mixed_requests(4));
  place there(model_);
  generator from = generator_on(there, {.cache_pages = 32, .step_tokens = 64, .steps_ahead = 3});
  for (generation_request& request : mixed_requests(4)) {
    from.submit(std::move(request));
    from.step(there.ctx);
    from.step(there.ctx);
  }
  while (!from.idle()) {
    from.step(there.ctx);
  }
  expect_same(from.take_finished(), together.answers);
}

/// A token or a text that ends an answer is found when later steps are under way.
TEST_P(RunAhead, WhatIsComputedBehindAnEndIsDropped) {
  const auto requests_with_ends = [&](int32_t stop, std::vector<size_t>& lengths) {
    std::vector<generation_request> requests = {request_of({1}, 5, 16), request_of({2, 3}, 6, 16)};
    requests[0].stop_tokens = {stop};
    requests[1].stop = [&lengths](std::span<const int32_t> answer) {
      lengths.push_back(answer.size());
      return answer.size() == 7;
    };
    return requests;
  };
  const auto free = run({.steps_ahead = 0}, {request_of({1}, 5, 16)}).answers;
  const int32_t stop = free.at(0).ids.at(6);
  std::vector<size_t> lengths, lengths_ahead;
  const trial by_itself = run({.steps_ahead = 0}, requests_with_ends(stop, lengths));
  const trial ahead = run({.steps_ahead = 8}, requests_with_ends(stop, lengths_ahead));
  expect_same(ahead.answers, by_itself.answers);
  EXPECT_EQ(ahead.answers.at(0).finish, finish_reason::stop);
  EXPECT_LT(ahead.answers.at(0).ids.size(), 16U);
  EXPECT_EQ(ahead.answers.at(1).ids.size(), 7U);
  EXPECT_EQ(lengths_ahead, lengths) << "each answer is looked at once for each token";
  EXPECT_GT(ahead.counters.dropped_tokens, 0);
  EXPECT_EQ(ahead.counters.answer_tokens, by_itself.counters.answer_tokens);
}

/// A step's rows are padded to 16, 32, 64, 128 or 256, and become fewer as answers end. Each model has some of them.
TEST_P(RunAhead, InAnyBucketOfRowsTheBitsAreTheSame) {
  const position_kind of = GetParam().position;
  for (const int64_t rows : of == position_kind::rotary    ? std::vector<int64_t>{1, 33}
                            : of == position_kind::learned ? std::vector<int64_t>{16, 129}
                                                           : std::vector<int64_t>{17, 65}) {
    std::vector<generation_request> requests;
    for (int64_t r = 0; r < rows; ++r) {
      requests.push_back(request_of({static_cast<uint64_t>(r)}, 1, r < rows / 4 + 1 ? 5 : 3));
    }
    const generator_settings settings{.cache_pages = rows + 1, .step_tokens = 256};
    generator_settings by_itself = settings;
    by_itself.steps_ahead = 0;
    const trial ahead = run(settings, requests);
    expect_same(ahead.answers, run(by_itself, requests).answers);
    EXPECT_EQ(ahead.counters.recordings, rows <= 16 ? 1 : 2) << rows;
    EXPECT_EQ(ahead.counters.recordings + ahead.counters.replays, 5) << rows;
  }
}

/// Recordings are for so many keys; a longer sequence needs another one.
TEST_P(RunAhead, PastASpanOfKeysTheBitsAreTheSame) {
  const std::vector<generation_request> requests = {request_of({1}, 506, 12), request_of({2}, 3, 14)};
  const generator_settings settings{.cache_pages = 16, .step_tokens = 256};
  generator_settings by_itself = settings;
  by_itself.steps_ahead = 0;
  const trial ahead = run(settings, requests);
  expect_same(ahead.answers, run(by_itself, requests).answers);
  EXPECT_EQ(ahead.counters.recordings, 2);
}

/// Once the first step of a shape has run, a step costs the host one replay, and one wait for results that are several
/// steps old.
TEST_P(RunAhead, TheHostWaitsForNothingButOldResults) {
  place there(model_);
  generator from = generator_on(there, {.cache_pages = 4, .step_tokens = 64, .steps_ahead = 4});
  from.submit(request_of({5}, 3, 13));
  from.step(there.ctx);  // the prompt; 12 tokens are left
  std::vector<card_call> want;
  for (int step = 0; step < 12; ++step) {
    there.calls.clear();
    from.step(there.ctx);
    want.assign(step == 0 ? 3 : step < 9 ? 1 : 0, card_call::replay);
    if (step == 0) {
      want.insert(want.begin(), card_call::record_calls);
    }
    want.push_back(card_call::finish);
    std::erase(there.calls, card_call::pin);
    EXPECT_EQ(there.calls, want) << step;
  }
  EXPECT_TRUE(from.idle());
  EXPECT_EQ(from.counters().recordings, 1);
  EXPECT_EQ(from.counters().replays, 11);
}

int64_t held_by(const device& card, const std::string& name) {
  for (const memory_use::holder& one : card.use().holders) {
    if (one.name == name) {
      return one.bytes;
    }
  }
  return 0;
}

TEST_P(RunAhead, RecordingsOutliveMemoryThatGoesAndComes) {
  const std::vector<generated_sequence> want = run({.steps_ahead = 0}, mixed_requests(4)).answers;
  place there(model_);
  generator from = generator_on(there, {.steps_ahead = 4});
  expect_same(generate_all(there.ctx, from, mixed_requests(4)), want);
  const int64_t recordings = from.counters().recordings;
  from.release_memory();
  EXPECT_EQ(held_by(*there.card, "keys and values"), 0);
  expect_same(generate_all(there.ctx, from, mixed_requests(4)), want);
  EXPECT_EQ(from.counters().recordings, recordings);
}

/// There is room for the ids of each answer at its longest, over the borders of the card's pages.
TEST_P(RunAhead, IdsThatPenaltiesLookAtNeedNoNewRecording) {
  const auto requests = [](int64_t new_tokens) {
    std::vector<generation_request> all;
    for (uint64_t id = 0; id < 3; ++id) {
      all.push_back(request_of({id}, 4, new_tokens));
      all.back().sampling.repetition_penalty = 1.3F;
      all.back().stop = [](std::span<const int32_t> answer) { return answer.size() == 5; };
    }
    return all;
  };
  place there(model_, false, 4096);
  generator from = generator_on(there, {.steps_ahead = 4});
  const std::vector<generated_sequence> want = run({.steps_ahead = 0}, requests(600)).answers;
  for (const int64_t new_tokens : {7, 600, 9}) {
    expect_same(generate_all(there.ctx, from, requests(new_tokens)), want);
    EXPECT_EQ(from.counters().recordings, 1) << new_tokens;
  }
}

TEST_P(RunAhead, MayBeCancelledAtAnyTimeAndBeginsAgain) {
  const std::vector<generated_sequence> want = run({.steps_ahead = 0}, mixed_requests(4)).answers;
  place there(model_);
  generator from = generator_on(there, {.steps_ahead = 3});
  for (int steps = 1; steps < 9; steps += 3) {
    for (generation_request& request : mixed_requests(4)) {
      from.submit(std::move(request));
    }
    for (int step = 0; step < steps; ++step) {
      from.step(there.ctx);
    }
    from.cancel();
    EXPECT_TRUE(from.idle());
    from.take_finished();
    from.release_memory();
  }
  expect_same(generate_all(there.ctx, from, mixed_requests(4)), want);
}

/// One that ends in the step in which others are looked at, samples that follow a prompt, and penalties.
std::vector<generation_request> looked_at_requests(const stop_check& stop) {
  std::vector<generation_request> all = {request_of({1}, 4, 3), request_of({2, 3, 4}, 5, 5), request_of({5}, 70, 4)};
  all[1].stop = stop;
  all[2].stop = stop;
  all[2].sampling.repetition_penalty = 1.3F;
  return all;
}

/// Whichever look it is: at a prompt's first tokens, at tokens from recordings, at the last ones.
TEST_P(RunAhead, AStopCheckThatThrowsOnceCostsNoBits) {
  int looks = 0;
  const stop_check look = [&looks](std::span<const int32_t>) {
    ++looks;
    return false;
  };
  const trial undisturbed = run({.steps_ahead = 0}, looked_at_requests(look));
  const int all_looks = std::exchange(looks, 0);
  ASSERT_EQ(all_looks, 3 * 5 + 4);
  for (const int64_t steps : {0, 3}) {
    for (int bad = 0; bad < all_looks; bad += 3) {
      looks = 0;
      place there(model_);
      generator from = generator_on(there, {.steps_ahead = steps});
      for (generation_request& request : looked_at_requests([&](std::span<const int32_t>) {
             if (looks++ == bad) {
               throw error(errc::io_failure, "the screen is gone");
             }
             return false;
           })) {
        from.submit(std::move(request));
      }
      int thrown = 0;
      for (int step = 0; !from.idle(); ++step) {
        ASSERT_LT(step, 20) << "an answer goes on past its end";
        try {
          from.step(there.ctx);
        } catch (const error& failure) {
          ASSERT_EQ(failure.code(), errc::io_failure);
          ++thrown;
        }
      }
      EXPECT_EQ(thrown, 1);
      EXPECT_EQ(looks, all_looks + 1) << "the one that threw is repeated";
      expect_same(from.take_finished(), undisturbed.answers);
      EXPECT_EQ(from.counters().answer_tokens, undisturbed.counters.answer_tokens);
      EXPECT_EQ(from.counters().prompt_tokens, undisturbed.counters.prompt_tokens);
    }
  }
}

TEST_P(RunAhead, AfterAStopCheckThatThrowsItMayBeCancelled) {
  const std::vector<generated_sequence> want = run({.steps_ahead = 0}, looked_at_requests({})).answers;
  place there(model_);
  generator from = generator_on(there, {.cache_pages = 6, .steps_ahead = 3});
  for (const size_t length : {size_t{1}, size_t{3}}) {
    for (generation_request& request : looked_at_requests([&](std::span<const int32_t> answer) {
           return answer.size() == length ? throw error(errc::io_failure, "the screen is gone") : false;
         })) {
      from.submit(std::move(request));
    }
    test::expect_error(errc::io_failure, "the screen is gone", [&] {
      while (!from.idle()) {
        from.step(there.ctx);
      }
    });
    from.cancel();
    from.take_finished();
    from.release_memory();  // no page has been lost
    expect_same(generate_all(there.ctx, from, looked_at_requests({})), want);
  }
}

TEST_P(RunAhead, WhatHasNotBegunMayBeWithdrawn) {
  place there(model_);
  generator from = generator_on(there, {.cache_pages = 1, .step_tokens = 8, .steps_ahead = 4});
  from.submit(request_of({1}, 4, 10));
  from.submit(request_of({2}, 5, 9));  // has to wait for pages
  for (int step = 0; step < 5; ++step) {
    from.step(there.ctx);
  }
  ASSERT_EQ(from.not_begun(), std::vector<uint64_t>{2});
  from.withdraw(2);
  while (!from.idle()) {
    from.step(there.ctx);
  }
  expect_same(from.take_finished(), run({.steps_ahead = 0}, {request_of({1}, 4, 10)}).answers);
}

/// A row of the position table makes the logits so, when steps behind it are under way.
TEST_P(RunAhead, NamesTheSequenceWhoseLogitsAreNotFinite) {
  if (GetParam().position != position_kind::learned) {
    GTEST_SKIP() << "no row of a table is of one position alone";
  }
  const parameter_layout& layout = model_.net.layout();
  constexpr int64_t position = 9, row = position + 2;
  model_.weights.data()[layout.at("embedding.position.weight").offset + row / 32 * 32 * 32 + row % 32] =
      std::numeric_limits<float>::quiet_NaN();
  place there(model_);
  generator from = generator_on(there, {.steps_ahead = 4});
  from.submit(request_of({4}, 2, 5));  // ends before
  from.submit(request_of({17}, 4, 12));
  test::expect_error(errc::not_finite, "after token 9 of sequence 17 are not finite", [&] {
    while (!from.idle()) {
      from.step(there.ctx);
    }
  });
  EXPECT_EQ(from.unfinished(), 1);
  const auto finished = from.take_finished();
  ASSERT_EQ(finished.size(), 1U);
  EXPECT_EQ(finished[0].sequence_id, 4U);
  test::expect_error(errc::not_finite, "after token 9 of sequence 17 are not finite", [&] { from.step(there.ctx); });
  from.cancel();
  EXPECT_EQ(generate_all(there.ctx, from, {request_of({4}, 2, 5)})[0].ids, finished[0].ids);
}

TEST_P(RunAhead, ANegativeNumberOfStepsIsRefused) {
  place there(model_);
  test::expect_error(errc::bad_argument, "-1 steps ahead", [&] { generator_on(there, {.steps_ahead = -1}); });
}

INSTANTIATE_TEST_SUITE_P(Models, RunAhead,
                         testing::Values(model_case{"Rotary", position_kind::rotary, dtype::bf16},
                                         model_case{"Learned", position_kind::learned, dtype::f32},
                                         model_case{"Slopes", position_kind::alibi, dtype::bf16}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace troupe::engine
