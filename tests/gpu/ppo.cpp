// One iteration of PPO by the engine alone, on the card: generate, score, experience, and an update of policy and
// critic. jobs/examples/ppo_loop.cpp is such a loop on the host.
#include "engine/arena/paged_arena.hpp"
#include "engine/generate/generator.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/optim/learner.hpp"
#include "engine/train/accumulate.hpp"
#include "engine/train/experience.hpp"
#include "engine/train/scoring.hpp"
#include "kernels/rows.hpp"

#include <fmt/format.h>

#include "gpu/card_arrays.hpp"
#include "gpu/card_model.hpp"
#include <bit>
#include <chrono>

namespace troupe::gpu_check {

namespace {

/// Seconds since the last call, after which the card has done all that was called.
class lap_time {
public:
  explicit lap_time(device& card) : card_(card) {}
  double lap() {
    finish(card_);
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

private:
  device& card_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// A model that learns on the card: bfloat16 for passes; masters, moments and gradients in float32.
class learned_model {
public:
  learned_model(subject& of, const engine::model_description& description, uint64_t seed, const std::string& name)
      : of_(of), model_(of.on_card, description, dtype::bf16, seed),
        masters_(model_.net().layout().arena_size(), dtype::f32, {.on = &of.card, .holder = name + " masters"}),
        learner_(model_.net(), {}, nullptr, {.on = &of.card, .model = name}) {
    masters_.take(0, masters_.size());
    kernels::copy_rows(of.on_card, {.to = masters_.data(), .from = weights(), .n = 1, .width = masters_.size()});
  }

  const engine::transformer& net() const { return model_.net(); }
  const_reals weights() const { return model_.weights(); }

  /// Adds up `objective(range, trainee)` over the ranges of sequences, and steps.
  template <class Statistics, class Objective>
  engine::update_report update(std::span<const engine::item_run> ranges, double rate, Statistics& sum,
                               const Objective& objective) {
    const auto one_of_them = [&](int64_t j, const engine::trainee& model) {
      return objective(ranges[static_cast<size_t>(j)], model);
    };
    const auto n = static_cast<int64_t>(ranges.size());
    for (const Statistics& one : engine::accumulate<Statistics>(
             of_.on_card, learner_, n, {net(), weights(), nullptr, workspace_}, one_of_them, [] {})) {
      sum.add(one);
    }
    return learner_.update(of_.on_card, masters_.data(), rate, model_.weights_to_change());
  }

private:
  subject& of_;
  card_model model_;
  engine::paged_arena masters_;
  engine::learner learner_;
  engine::train_workspace workspace_;
};

engine::model_description shape_of_all(const subject& of, bool scalar_head) {
  engine::model_description description = shape_of_1b(of);
  if (!of.emulated) {
    description.width = description.embedding_width = 1024;
    description.layers = 12;
    description.heads = description.kv_heads = 16;
    description.feed_forward = 4096;
  }
  description.scalar_head = scalar_head;
  return description;
}

/// What a policy has said, and what it was asked.
struct rollout {
  engine::packed_batch batch;
  engine::rollout_arrays arrays;

  /// Sequences [first, last) with their answers' part of an array over answer tokens.
  engine::packed_batch part(const engine::item_run& range) const {
    engine::packed_batch some;
    for (int64_t b = range.first; b < range.last; ++b) {
      const auto at = static_cast<size_t>(b);
      some.add(std::span(batch.token_N)
                   .subspan(static_cast<size_t>(batch.offset_B1[at]),
                            static_cast<size_t>(batch.offset_B1[at + 1] - batch.offset_B1[at])),
               batch.prompt_length_B[at]);
    }
    return some;
  }
  template <class T> std::span<const T> part(const std::vector<T>& values_A, const engine::item_run& range) const {
    const auto begin = static_cast<size_t>(arrays.answer_offset_B1[static_cast<size_t>(range.first)]);
    const auto end = static_cast<size_t>(arrays.answer_offset_B1[static_cast<size_t>(range.last)]);
    return std::span(values_A).subspan(begin, end - begin);
  }
};

rollout generate(subject& of, const engine::transformer& net, const_reals weights) {
  const int64_t prompts = of.size(32, 2), samples = of.size(4, 2);
  const int64_t prompt_tokens = of.size(128, 5), answer_tokens = of.size(128, 4);
  const int64_t pages = prompts * samples * engine::kv_cache::pages_for(prompt_tokens + answer_tokens) + 1;
  engine::generator from(net, weights, {.cache_pages = pages, .step_tokens = of.size(4096, 16)}, &of.card);
  std::vector<engine::generation_request> requests;
  for (int64_t p = 0; p < prompts; ++p) {
    engine::generation_request request{.max_new_tokens = answer_tokens, .seed = 1};
    for (int64_t i = 0; i < prompt_tokens; ++i) {
      request.prompt.push_back(static_cast<int32_t>((31 * i * i + 7919 * p) % net.description().vocabulary));
    }
    for (int64_t s = 0; s < samples; ++s) {
      request.sequence_ids.push_back(static_cast<uint64_t>(p * samples + s));
    }
    requests.push_back(std::move(request));
  }
  rollout all;
  for (const engine::generated_sequence& answer : engine::generate_all(of.on_card, from, requests)) {
    const engine::generation_request& asked = requests[answer.sequence_id / static_cast<uint64_t>(samples)];
    all.batch.add(asked.prompt, answer.ids);
    all.arrays.logprob_old_A.insert(all.arrays.logprob_old_A.end(), answer.logprobs.begin(), answer.logprobs.end());
    all.arrays.answer_offset_B1.push_back(static_cast<int64_t>(all.arrays.logprob_old_A.size()));
    all.arrays.finished_B.push_back(answer.finish == engine::finish_reason::stop);
  }
  return all;
}

int64_t different(std::span<const float> a, std::span<const float> b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    count += std::bit_cast<uint32_t>(a[i]) == std::bit_cast<uint32_t>(b[i]) ? 0 : 1;
  }
  return count;
}

}  // namespace

outcome ppo(subject& of) {
  learned_model policy(of, shape_of_all(of, false), 1, "policy");
  learned_model critic(of, shape_of_all(of, true), 2, "critic");
  const card_model reference(of.on_card, shape_of_all(of, false), dtype::bf16, 1);
  const card_model reward(of.on_card, shape_of_all(of, true), dtype::bf16, 3);
  lap_time time(of.card);

  time.lap();
  rollout all = generate(of, policy.net(), policy.weights());
  const double generating = time.lap();

  engine::rollout_arrays& arrays = all.arrays;
  arrays.score_B = engine::end_scores(of.on_card, reward.net(), reward.weights(), all.batch);
  arrays.logprob_ref_A = engine::answer_log_probs(of.on_card, reference.net(), reference.weights(), all.batch, 1);
  arrays.value_A = engine::answer_values(of.on_card, critic.net(), critic.weights(), all.batch);
  const double scoring = time.lap();

  engine::moments seen;
  engine::finish_experience({.shaping = {.kl_coefficient = 0.05}}, seen, arrays);
  const double experience = time.lap();

  std::vector<int64_t> tokens_B;
  for (size_t b = 0; b + 1 < all.batch.offset_B1.size(); ++b) {
    tokens_B.push_back(all.batch.offset_B1[b + 1] - all.batch.offset_B1[b]);
  }
  const std::vector<engine::item_run> ranges = engine::form_micro_batches(tokens_B, of.size(8192, 20), 1);
  const std::vector<double> weight_A = engine::answer_weights(
      engine::loss_mean::token, engine::count_answers(arrays.answer_offset_B1), arrays.answer_offset_B1);
  engine::policy_statistics learned;
  const engine::update_report policy_step =
      policy.update(ranges, 1e-4, learned, [&](const engine::item_run& range, const engine::trainee& model) {
        return engine::policy_micro_batch(of.on_card, model, all.part(range), {},
                                          {.logprob_old_A = all.part(arrays.logprob_old_A, range),
                                           .logprob_ref_A = all.part(arrays.logprob_ref_A, range),
                                           .advantage_A = all.part(arrays.learned_advantage_A, range),
                                           .weight_A = all.part(weight_A, range)});
      });
  const double policy_seconds = time.lap();
  engine::value_statistics values;
  const engine::update_report critic_step =
      critic.update(ranges, 1e-4, values, [&](const engine::item_run& range, const engine::trainee& model) {
        return engine::critic_micro_batch(of.on_card, model, all.part(range), {},
                                          {.value_old_A = all.part(arrays.value_A, range),
                                           .return_A = all.part(arrays.return_A, range),
                                           .weight_A = all.part(weight_A, range)});
      });
  const double critic_seconds = time.lap();

  // The reference has the weights with which the policy has drawn; and the policy has learned.
  const int64_t scored_otherwise = different(arrays.logprob_old_A, arrays.logprob_ref_A);
  const std::vector<float> after = engine::answer_log_probs(of.on_card, policy.net(), policy.weights(), all.batch, 1);
  const int64_t changed = different(arrays.logprob_old_A, after);
  const auto answer_tokens = static_cast<int64_t>(after.size());
  const double whole = generating + scoring + experience + policy_seconds + critic_seconds;

  outcome found;
  found.good = scored_otherwise == 0 && learned.different == 0 && changed > answer_tokens / 2 &&
               learned.tokens == answer_tokens && std::isfinite(policy_step.gradient_norm) &&
               std::isfinite(critic_step.gradient_norm);
  found.text = fmt::format("{} of {} log-probs differ when scored, {} when trained; the update has changed {}; ",
                           scored_otherwise, answer_tokens, learned.different, changed);
  found.figures = {{"tokens", static_cast<double>(answer_tokens)},
                   {"scored_otherwise", static_cast<double>(scored_otherwise)},
                   {"trained_otherwise", static_cast<double>(learned.different)}};
  if (of.emulated) {
    found.text += "emulated, tiny models: no speeds";
    return found;
  }
  found.text += fmt::format("generate {:.2f} s, score {:.2f}, experience {:.2f}, policy {:.2f}, critic {:.2f}: {:.1f} "
                            "sequences/s",
                            generating, scoring, experience, policy_seconds, critic_seconds,
                            static_cast<double>(all.batch.sequences()) / whole);
  found.figures.insert(found.figures.end(), {{"generate_s", generating},
                                             {"score_s", scoring},
                                             {"experience_s", experience},
                                             {"policy_s", policy_seconds},
                                             {"critic_s", critic_seconds}});
  return found;
}

}  // namespace troupe::gpu_check
