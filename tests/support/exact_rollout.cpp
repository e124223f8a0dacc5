#include "support/exact_rollout.hpp"

#include "base/random.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/train/scoring.hpp"
#include "support/dice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <span>
#include <utility>

namespace troupe::test {

namespace {

engine::sampling_settings draw_sampling(dice& by) {
  engine::sampling_settings settings;
  settings.temperature = by.one_of({0.0F, 0.7F, 1.0F, 1.3F});
  settings.top_k = by.chance(0.25) ? by.between(2, 40) : 0;
  settings.top_p = by.chance(0.25) ? 0.9F : 1.0F;
  settings.min_p = by.chance(0.15) ? 0.02F : 0.0F;
  settings.repetition_penalty = by.chance(0.15) ? 1.2F : 1.0F;
  return settings;
}

/// What was asked, and what came of it.
struct drawn_answer {
  const engine::generation_request* asked;
  engine::generated_sequence answer;

  int64_t tokens() const { return static_cast<int64_t>(asked->prompt.size() + answer.ids.size()); }
};

std::vector<drawn_answer> generate(context& ctx, const engine::inference_model& net, const_reals weights,
                                   const random_rollout& rollout, exactness& count) {
  engine::generator from(net, weights, rollout.settings, ctx.on);
  std::map<uint64_t, const engine::generation_request*> asked;
  for (const engine::generation_request& request : rollout.requests) {
    for (const uint64_t id : request.sequence_ids) {
      asked[id] = &request;
    }
    count.shared += static_cast<int64_t>(request.sequence_ids.size()) - 1;
  }
  std::vector<drawn_answer> answers;
  for (engine::generated_sequence& answer : engine::generate_all(ctx, from, rollout.requests)) {
    answers.push_back({asked.at(answer.sequence_id), std::move(answer)});
  }
  count.sequences += static_cast<int64_t>(answers.size());
  count.steps += from.counters().steps;
  count.preemptions += from.counters().preemptions;
  return answers;
}

/// What is scored together: all of one temperature.
using scoring_pass = std::vector<const drawn_answer*>;

/// In another order than they came in, and of chance sizes.
std::vector<scoring_pass> divide(std::span<const drawn_answer> answers, int64_t pass_tokens, uint64_t seed) {
  std::map<float, std::vector<const drawn_answer*>> of_temperature;
  for (const int64_t i : random_permutation({.seed = seed}, static_cast<int64_t>(answers.size()))) {
    const drawn_answer& one = answers[static_cast<size_t>(i)];
    of_temperature[one.asked->sampling.temperature].push_back(&one);
  }
  dice by(seed);
  std::vector<scoring_pass> passes;
  for (const auto& [temperature, group] : of_temperature) {
    int64_t room = 0;
    for (const drawn_answer* one : group) {
      if (one->tokens() > room) {
        passes.emplace_back();
        room = by.between(1, pass_tokens);
      }
      passes.back().push_back(one);
      room = std::max<int64_t>(0, room - one->tokens());
    }
  }
  return passes;
}

void compare(const drawn_answer& one, std::span<const float> scored, exactness& count) {
  for (size_t i = 0; i < scored.size(); ++i) {
    ++count.tokens;
    const float drawn = one.answer.logprobs[i];
    if (std::bit_cast<uint32_t>(drawn) == std::bit_cast<uint32_t>(scored[i])) {
      continue;
    }
    ++count.different;
    if (count.first_difference.empty()) {
      count.first_difference = fmt::format("token {} of sequence {}'s answer: {} when drawn, {} when scored", i,
                                           one.answer.sequence_id, drawn, scored[i]);
    }
  }
}

}  // namespace

random_rollout draw_rollout(const engine::model_description& model, const rollout_limits& limits, uint64_t seed) {
  dice by(seed);
  random_rollout drawn;
  int64_t least_pages = 1;
  int64_t enough_pages = 0;
  uint64_t next_id = 0;
  const int64_t requests = by.between(limits.least_requests, limits.requests);
  for (int64_t r = 0; r < requests; ++r) {
    engine::generation_request request;
    const int64_t samples = by.chance(0.5) ? 1 : by.between(1, limits.samples);
    for (int64_t s = 0; s < samples; ++s) {
      request.sequence_ids.push_back(next_id++);
    }
    const int64_t prompt = by.chance(0.8) ? by.between(1, 1 + limits.prompt / 8) : by.between(1, limits.prompt);
    for (int64_t i = 0; i < prompt; ++i) {
      request.prompt.push_back(static_cast<int32_t>(by.between(0, model.vocabulary - 1)));
    }
    request.max_new_tokens = by.between(by.chance(0.3) ? 1 : 1 + limits.answer / 2, limits.answer);
    request.sampling = draw_sampling(by);
    request.seed = seed;
    if (by.chance(0.3)) {
      request.stop_tokens = {static_cast<int32_t>(by.between(0, model.vocabulary - 1))};
    }
    const int64_t pages = engine::kv_cache::pages_for(prompt + request.max_new_tokens);
    least_pages = std::max(least_pages, pages);
    enough_pages += (pages + 1) * samples;
    drawn.requests.push_back(std::move(request));
  }
  drawn.settings.cache_pages =
      by.chance(0.3) ? by.between(least_pages, std::max(least_pages, enough_pages / 2)) : enough_pages + 1;
  drawn.settings.step_tokens = by.chance(0.1) ? by.between(1, 8) : by.between(8, limits.step_tokens);
  drawn.settings.steps_ahead = by.one_of<int64_t>({0, 1, 3, 8});
  return drawn;
}

void exactness::add(const exactness& other) {
  sequences += other.sequences;
  tokens += other.tokens;
  different += other.different;
  steps += other.steps;
  passes += other.passes;
  preemptions += other.preemptions;
  shared += other.shared;
  if (first_difference.empty()) {
    first_difference = other.first_difference;
  }
}

exactness measure_exactness(context& ctx, const engine::inference_model& net, const_reals drawing, const_reals scoring,
                            const random_rollout& rollout, int64_t pass_tokens, uint64_t seed) {
  exactness count;
  const std::vector<drawn_answer> answers = generate(ctx, net, drawing, rollout, count);
  for (const scoring_pass& pass : divide(answers, pass_tokens, seed)) {
    engine::packed_batch batch;
    for (const drawn_answer* one : pass) {
      batch.add(one->asked->prompt, one->answer.ids);
    }
    const std::vector<float> scored =
        engine::answer_log_probs(ctx, net, scoring, batch, pass.front()->asked->sampling.temperature);
    ++count.passes;
    size_t begin = 0;
    for (const drawn_answer* one : pass) {
      compare(*one, std::span(scored).subspan(begin, one->answer.ids.size()), count);
      begin += one->answer.ids.size();
    }
  }
  return count;
}

}  // namespace troupe::test
