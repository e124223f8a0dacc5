#include "actors/cast/policy.hpp"

#include "actors/cast/stop_strings.hpp"
#include "actors/models/options.hpp"
#include "actors/models/special_tokens.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "engine/parallel/division.hpp"
#include "engine/train/accumulate.hpp"
#include "engine/train/evaluate.hpp"
#include "engine/train/scoring.hpp"

#include <cmath>

namespace troupe::actors {

void policy_state::open(policy_settings settings) {
  settings_ = std::move(settings);
  workspace_ = std::make_unique<engine::train_workspace>(settings_.job.run.activation_checkpointing);
}

kernels::sampling_settings policy_state::sampling() const {
  kernels::sampling_settings sampling = sampling_of(settings_.job.generation);
  if (settings_.phase == io::phase::pairs) {
    sampling.temperature = static_cast<float>(settings_.job.pairs.temperature);
  }
  return sampling;
}

/// What a rollout draws for each prompt.
struct rollout_size {
  int64_t samples = 1, new_tokens = 0;
};

static rollout_size size_of(const io::job& job, io::phase phase, serving what) {
  if (phase == io::phase::pairs) {
    return {job.pairs.samples_per_prompt,
            job.pairs.max_new_tokens > 0 ? job.pairs.max_new_tokens : job.generation.max_new_tokens};
  }
  return {what == serving::held_out_prompts ? job.evaluation.samples_per_prompt : job.ppo.samples_per_prompt,
          job.generation.max_new_tokens};
}

/// With weights as they are now, and nothing left of a rollout that was given up.
void policy_state::prepare_generator() {
  model& m = *settings_.trained->of;
  if (generator_) {
    generator_->cancel();
  }
  rollout_weights_.reset();
  rollout_weights_ = std::make_unique<engine::gathered_weights>(m.weights);
  if (settings_.columns && !columns_) {
    columns_ = std::make_unique<engine::column_model>(m.net, settings_.columns);
  }
  if (columns_) {
    const engine::weights_view view = rollout_weights_->view();
    columns_->fill(settings_.on->ctx, view.data, view.access);
    rollout_weights_.reset();
  } else {
    rollout_weights_->hold_all(settings_.on->ctx);
  }
  if (!generator_) {
    // Pages are counted alike on all ranks of a group, or they would not make the same steps: by the largest, of rank 0.
    const engine::model_description shape =
        engine::description_of(m.net.description(), engine::split_columns(m.net.description(), 0, column_ranks()));
    generator_ = std::make_unique<engine::generator>(columns_ ? columns_->net() : m.net,
                                                     columns_ ? columns_->weights() : m.weights.data(),
                                                     generator_settings_of(settings_.job.generation, shape));
  }
}

void policy_state::end_rollout() {
  rollout_weights_.reset();
  generator_->release_memory();
  if (columns_) {
    columns_->release();
  }
}

void policy_state::begin_rollout(const batch_handle& batch) {
  prepare_generator();
  rollout_ = batch;
  sequences_.clear();
  const auto [samples, new_tokens] = size_of(settings_.job, settings_.phase, batch->what);
  std::vector<int64_t> tokens;
  for (const prompt& one : batch->prompts) {
    tokens.push_back(static_cast<int64_t>(one.tokens.size()) + samples * new_tokens);
  }
  // Ranks that generate together have the same prompts.
  const std::vector<int> share_of = engine::divide_by_tokens(tokens, settings_.ranks / column_ranks());
  for (size_t p = 0; p < batch->prompts.size(); ++p) {
    if (share_of[p] == settings_.rank / column_ranks()) {
      take_prompt(p);
    }
  }
}

std::vector<uint64_t> policy_state::sequence_ids(uint64_t prompt) const {
  std::vector<uint64_t> ids;
  const int64_t samples = size_of(settings_.job, settings_.phase, rollout_->what).samples;
  for (int64_t s = 0; s < samples; ++s) {
    ids.push_back(make_sequence_id(rollout_->draw, prompt, static_cast<uint64_t>(s)));
  }
  return ids;
}

void policy_state::take_prompt(uint64_t prompt) {
  if (prompt >= rollout_->prompts.size()) {
    throw error(errc::bad_argument, "prompt {} of a batch of {}", prompt, rollout_->prompts.size());
  }
  const io::job& job = settings_.job;
  const bool evaluating = rollout_->what == serving::held_out_prompts;
  engine::generation_request request{.sequence_ids = sequence_ids(prompt),
                                     .prompt = rollout_->prompts[prompt].tokens,
                                     .max_new_tokens = size_of(job, settings_.phase, rollout_->what).new_tokens,
                                     .sampling = sampling(),
                                     .seed = job.run.seed + (evaluating ? evaluation_seed_offset : 0),
                                     .stop_tokens = stop_tokens_of(*settings_.trained->of, *settings_.tokens),
                                     .stop = make_stop_check(settings_.tokens, job.generation.stop)};
  for (const uint64_t id : request.sequence_ids) {
    sequences_[id] = prompt;
  }
  generator_->submit(std::move(request));
}

void policy_state::give_prompt(uint64_t prompt) {
  const std::vector<uint64_t> ids = sequence_ids(prompt);
  generator_->withdraw(ids.front());
  for (const uint64_t id : ids) {
    sequences_.erase(id);
  }
}

generate_reply policy_state::generate(const generate_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::policy), "generate");
  const stopwatch watch;
  if (!rollout_.value || rollout_->id != command.batch_id || batches_.has(command.batch_id)) {
    begin_rollout(batches_.take(command.batch_id));
  }
  for (const uint64_t prompt : command.give) {
    give_prompt(prompt);
  }
  for (const uint64_t prompt : command.take) {
    take_prompt(prompt);
  }
  const engine::generator_counters before = generator_->counters();
  for (int64_t i = 0; i < command.steps && !generator_->idle(); ++i) {
    generator_->step(settings_.on->ctx);
    scope.touch();
  }
  generate_reply reply = report(before, watch);
  if (command.ends) {
    end_rollout();
  }
  return reply;
}

generate_reply policy_state::report(const engine::generator_counters& before, const stopwatch& watch) {
  send_finished();
  generate_reply reply{.unfinished = generator_->unfinished(),
                       .answer_tokens = generator_->counters().answer_tokens - before.answer_tokens,
                       .seconds = watch.seconds(),
                       .waiting = {}};
  for (const uint64_t id : generator_->not_begun()) {
    reply.waiting.push_back(sequences_.at(id));
  }
  if (reply.unfinished == 0) {
    generator_->release_memory();
  }
  return reply;
}

/// Ranks that generate together all have the same, of which the first sends.
void policy_state::send_finished() {
  const bool sends = !settings_.columns || settings_.columns->rank() == 0;
  for (engine::generated_sequence& done : generator_->take_finished()) {
    const auto known = sequences_.find(done.sequence_id);
    const uint64_t prompt = known->second;
    sequences_.erase(known);
    if (!sends) {
      continue;
    }
    auto sequence = std::make_shared<finished_sequence>();
    sequence->batch_id = rollout_->id;
    sequence->sequence_id = done.sequence_id;
    sequence->prompt = rollout_->prompts[prompt];
    sequence->answer = std::move(done.ids);
    sequence->logprob = std::move(done.logprobs);
    sequence->finished = done.finish == engine::finish_reason::stop;
    caf::anon_send(settings_.replay, sequence_handle{std::move(sequence)});
  }
}

engine::trainee policy_state::trainee(engine::gathered_weights& weights) {
  const model& m = *settings_.trained->of;
  return {.net = m.net, .weights = weights.view(), .gradients = nullptr, .workspace = *workspace_};
}

train_reply policy_state::train(const train_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::policy), "policy gradients");
  if (minibatches_.has(command.batch_id)) {
    return learn_experience(minibatches_.take(command.batch_id), command);
  }
  return learn_text(batches_.take(command.batch_id), command);
}

train_reply policy_state::learn_text(const batch_handle& batch, const train_command& command) {
  const stopwatch watch;
  const engine::lm_scale scale{.tokens = static_cast<double>(command.loss_terms), .coefficient = 1};
  engine::gathered_weights weights(settings_.trained->of->weights);
  int64_t tokens = 0;
  const auto by_part = engine::accumulate<engine::lm_statistics>(
      settings_.on->ctx, *settings_.trained->learner, static_cast<int64_t>(batch->micro_batches.size()),
      trainee(weights),
      [&](int64_t j, const engine::trainee& to) {
        const engine::packed_batch& part = batch->micro_batches[static_cast<size_t>(j)];
        tokens += part.tokens();
        return engine::sft_micro_batch(settings_.on->ctx, to, part, scale);
      },
      [this] { settings_.on->pulse_of(role::policy).touch(); });
  engine::lm_statistics sums;
  for (const engine::lm_statistics& one : by_part) {
    sums.add(one);
  }
  return {.statistics = {{"policy/loss", sums.mean_nll_nats()}}, .tokens = tokens, .seconds = watch.seconds()};
}

engine::policy_statistics policy_state::learn_part(const engine::trainee& to, const minibatch::part& part,
                                                   double kl_coefficient) {
  return engine::policy_micro_batch(settings_.on->ctx, to, part.packed,
                                    policy_loss_of(settings_.job.ppo, kl_coefficient),
                                    {.logprob_old_A = part.logprob_old_A,
                                     .logprob_ref_A = part.logprob_ref_A,
                                     .advantage_A = part.advantage_A,
                                     .weight_A = part.weight_A,
                                     .temperature = training_temperature(sampling())});
}

void policy_state::require_exact(const engine::policy_statistics& sums) const {
  if (settings_.job.run.exact && sums.different > 0) {
    throw error(errc::not_finite,
                "{} of {} log-probabilities stored at sampling differ from those of the first training forward: the "
                "policy that samples is not the policy that learns. This is a defect of Troupe or of the machine's "
                "memory (run.exact = false goes on nevertheless)",
                sums.different, sums.tokens);
  }
}

/// What a micro-batch says: of PPO's or of the mixture's.
struct experience_statistics {
  engine::policy_statistics policy;
  engine::lm_statistics mixture;
};

static statistics report_of(const engine::policy_statistics& sums) {
  return {{"policy/loss", sums.loss},
          {"policy/surrogate_loss", sums.surrogate_loss},
          {"policy/entropy_nats", sums.mean(sums.entropy_nats)},
          {"policy/clip_fraction", sums.clip_fraction()},
          {"policy/ratio_mean", sums.mean(sums.ratio)},
          {"policy/ratio_max", sums.ratio_max},
          {"policy/approx_kl_nats", sums.mean(sums.k3_nats)},
          {"policy/approx_kl_k1_nats", sums.mean(sums.k1_nats)},
          {"policy/ref_kl_nats", sums.mean(sums.ref_kl_nats)}};
}

train_reply policy_state::learn_experience(const minibatch_handle& batch, const train_command& command) {
  const stopwatch watch;
  static const std::vector<engine::packed_batch> no_text;
  const bool mixing = command.mixture_coefficient > 0;
  const batch_handle text = mixing ? batches_.take(command.mixture_batch_id) : batch_handle{};
  const std::vector<engine::packed_batch>& texts = mixing ? text->micro_batches : no_text;
  const engine::lm_scale scale{.tokens = static_cast<double>(command.mixture_loss_terms),
                               .coefficient = command.mixture_coefficient};
  engine::gathered_weights weights(settings_.trained->of->weights);
  int64_t tokens = 0;
  // One order over both, PPO's first: their gradients are summed in the same lanes.
  const auto by_part = engine::accumulate<experience_statistics>(
      settings_.on->ctx, *settings_.trained->learner, static_cast<int64_t>(batch->parts.size() + texts.size()),
      trainee(weights),
      [&](int64_t j, const engine::trainee& to) {
        experience_statistics one;
        if (const auto part = static_cast<size_t>(j); part < batch->parts.size()) {
          one.policy = learn_part(to, batch->parts[part], command.kl_coefficient);
          tokens += batch->parts[part].packed.tokens();
        } else {
          one.mixture = engine::sft_micro_batch(settings_.on->ctx, to, texts[part - batch->parts.size()], scale);
          tokens += texts[part - batch->parts.size()].tokens();
        }
        return one;
      },
      [this] { settings_.on->pulse_of(role::policy).touch(); });
  experience_statistics sums;
  for (const experience_statistics& one : by_part) {
    sums.policy.add(one.policy);
    sums.mixture.add(one.mixture);
  }
  if (batch->fresh) {
    require_exact(sums.policy);
  }
  train_reply reply{.statistics = report_of(sums.policy), .tokens = tokens, .seconds = watch.seconds()};
  if (mixing) {
    reply.statistics["mixture/loss"] = sums.mixture.mean_nll_nats();
  }
  return reply;
}

train_reply policy_state::evaluate(const train_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::policy), "held-out perplexity");
  const stopwatch watch;
  model& m = *settings_.trained->of;
  engine::gathered_weights weights(m.weights);
  const batch_handle batch = batches_.take(command.batch_id);
  engine::lm_statistics sums;
  for (const std::vector<float>& logprob_A : engine::evaluate<float>(
           settings_.trained->learner->group().get(), batch->micro_batches, [&](const engine::packed_batch& part) {
             scope.touch();
             return engine::answer_log_probs(settings_.on->ctx, m.net, weights.view(), part, 1.0F);
           })) {
    for (const float logprob : logprob_A) {
      sums.nll_nats -= static_cast<double>(logprob);
    }
    sums.tokens += static_cast<int64_t>(logprob_A.size());
  }
  return {.statistics = {{"held_out/perplexity", sums.perplexity()}, {"held_out/loss", sums.mean_nll_nats()}},
          .tokens = sums.tokens,
          .seconds = watch.seconds()};
}

policy_actor::behavior_type policy(policy_actor::stateful_pointer<policy_state> self, policy_settings settings) {
  self->state.open(std::move(settings));
  return {
      [self](const batch_handle& batch) { self->state.keep(batch); },
      [self](const minibatch_handle& batch) { self->state.keep(batch); },
      replying_errors([self](generate_atom, const generate_command& command) { return self->state.generate(command); }),
      replying_errors([self](train_atom, const train_command& command) { return self->state.train(command); }),
      replying_errors([self](evaluate_atom, const train_command& command) { return self->state.evaluate(command); }),
  };
}

}  // namespace troupe::actors
