#include "actors/policy.hpp"

#include "actors/guarded.hpp"
#include "actors/options.hpp"
#include "actors/stop_strings.hpp"
#include "actors/stopwatch.hpp"
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

void policy_state::begin_rollout(const example_batch& batch) {
  const io::job& job = settings_.job;
  const model& m = *settings_.trained->of;
  const bool making_pairs = settings_.phase == io::phase::pairs;
  const bool evaluating = batch.what == serving::held_out_prompts;
  const int64_t samples = making_pairs ? job.pairs.samples_per_prompt
                          : evaluating ? job.evaluation.samples_per_prompt
                                       : job.ppo.samples_per_prompt;
  const int64_t new_tokens =
      making_pairs && job.pairs.max_new_tokens > 0 ? job.pairs.max_new_tokens : job.generation.max_new_tokens;
  if (!generator_) {
    generator_ = std::make_unique<engine::generator>(m.net, m.weights.data(),
                                                     generator_settings_of(job.generation, m.net.description()));
  }
  sequences_.clear();
  for (size_t p = 0; p < batch.prompts.size(); ++p) {
    engine::generation_request request{.sequence_ids = {},
                                       .prompt = batch.prompts[p].tokens,
                                       .max_new_tokens = new_tokens,
                                       .sampling = sampling(),
                                       .seed = job.run.seed + (evaluating ? evaluation_seed_offset : 0),
                                       .stop_tokens = stop_tokens_of(m, *settings_.tokens),
                                       .stop = make_stop_check(settings_.tokens, job.generation.stop)};
    for (int64_t s = 0; s < samples; ++s) {
      const uint64_t id = make_sequence_id(batch.draw, p, static_cast<uint64_t>(s));
      request.sequence_ids.push_back(id);
      sequences_[id] = {.from = batch.prompts[p], .batch_id = batch.id};
    }
    generator_->submit(std::move(request));
  }
  rollout_ = batch.id;
}

generate_reply policy_state::generate(const generate_command& command) {
  const operation_scope scope(settings_.on->pulse, "generate");
  const stopwatch watch;
  if (const auto found = batches_.find(command.batch_id); found != batches_.end()) {
    if (generator_) {
      generator_->cancel();  // of a rollout that was given up
    }
    begin_rollout(*found->second);
    batches_.erase(found);
  } else if (rollout_ != command.batch_id) {
    throw error(errc::bad_argument, "batch {} was not served to the policy", command.batch_id);
  }
  const engine::generator_counters before = generator_->counters();
  for (int64_t i = 0; i < command.steps && !generator_->idle(); ++i) {
    generator_->step(settings_.on->ctx);
    settings_.on->pulse.touch();
  }
  const auto known = static_cast<int64_t>(sequences_.size());
  send_finished();
  const generate_reply reply{.unfinished = generator_->unfinished(),
                             .finished = known - static_cast<int64_t>(sequences_.size()),
                             .answer_tokens = generator_->counters().answer_tokens - before.answer_tokens,
                             .seconds = watch.seconds()};
  if (reply.unfinished == 0) {
    generator_->release_memory();
  }
  return reply;
}

void policy_state::send_finished() {
  for (engine::generated_sequence& done : generator_->take_finished()) {
    const auto known = sequences_.find(done.sequence_id);
    auto sequence = std::make_shared<finished_sequence>();
    sequence->batch_id = known->second.batch_id;
    sequence->sequence_id = done.sequence_id;
    sequence->prompt = std::move(known->second.from);
    sequence->answer = std::move(done.ids);
    sequence->logprob = std::move(done.logprobs);
    sequence->finished = done.finish == engine::finish_reason::stop;
    sequences_.erase(known);
    for (const caf::actor& receiver : settings_.receivers) {
      caf::anon_send(receiver, sequence_handle{sequence});
    }
  }
}

batch_handle policy_state::take_batch(uint64_t id) {
  const auto found = batches_.find(id);
  if (found == batches_.end()) {
    throw error(errc::bad_argument, "batch {} was not served to the policy", id);
  }
  batch_handle batch = std::move(found->second);
  batches_.erase(found);
  return batch;
}

engine::trainee policy_state::trainee(int64_t micro_batch) {
  model& m = *settings_.trained->of;
  return {.net = m.net,
          .weights = m.weights.data(),
          .gradients = settings_.trained->learner->gradients(settings_.on->ctx, micro_batch),
          .workspace = *workspace_};
}

engine::lm_statistics policy_state::learn_text(const batch_handle& batch, const train_command& command) {
  const engine::lm_scale scale{.tokens = static_cast<double>(command.loss_terms), .coefficient = command.coefficient};
  engine::lm_statistics sums;
  for (const int64_t j : settings_.trained->learner->order(static_cast<int64_t>(batch->micro_batches.size()))) {
    sums.add(
        engine::sft_micro_batch(settings_.on->ctx, trainee(j), batch->micro_batches[static_cast<size_t>(j)], scale));
    settings_.on->pulse.touch();
  }
  return sums;
}

train_reply policy_state::train(const train_command& command) {
  const operation_scope scope(settings_.on->pulse, "policy gradients");
  if (const auto found = minibatches_.find(command.batch_id); found != minibatches_.end()) {
    const minibatch_handle batch = std::move(found->second);
    minibatches_.erase(found);
    return learn_experience(batch, command);
  }
  const stopwatch watch;
  const engine::lm_statistics sums = learn_text(take_batch(command.batch_id), command);
  return {.statistics = {{"policy/loss", sums.mean_nll_nats()}}, .tokens = sums.tokens, .seconds = watch.seconds()};
}

train_reply policy_state::mix(const train_command& command) {
  const operation_scope scope(settings_.on->pulse, "mixture gradients");
  const stopwatch watch;
  const engine::lm_statistics sums = learn_text(take_batch(command.batch_id), command);
  return {.statistics = {{"mixture/loss", sums.mean_nll_nats()}}, .tokens = sums.tokens, .seconds = watch.seconds()};
}

train_reply policy_state::learn_experience(const minibatch_handle& batch, const train_command& command) {
  const stopwatch watch;
  const engine::policy_settings loss = policy_loss_of(settings_.job.ppo, command.kl_coefficient);
  engine::policy_statistics sums;
  int64_t tokens = 0;
  for (const int64_t j : settings_.trained->learner->order(static_cast<int64_t>(batch->parts.size()))) {
    const minibatch::part& part = batch->parts[static_cast<size_t>(j)];
    sums.add(engine::policy_micro_batch(settings_.on->ctx, trainee(j), part.packed, loss,
                                        {.logprob_old_A = part.logprob_old_A,
                                         .logprob_ref_A = part.logprob_ref_A,
                                         .advantage_A = part.advantage_A,
                                         .weight_A = part.weight_A,
                                         .temperature = training_temperature(sampling())}));
    tokens += part.packed.tokens();
    settings_.on->pulse.touch();
  }
  if (batch->fresh && settings_.job.run.exact && sums.different > 0) {
    throw error(errc::not_finite,
                "{} of {} log-probabilities stored at sampling differ from those of the first training forward: the "
                "policy that samples is not the policy that learns. This is a defect of Troupe or of the machine's "
                "memory (run.exact = false goes on nevertheless)",
                sums.different, sums.tokens);
  }
  return {.statistics = {{"policy/loss", sums.loss},
                         {"policy/surrogate_loss", sums.surrogate_loss},
                         {"policy/entropy_nats", sums.mean(sums.entropy_nats)},
                         {"policy/clip_fraction", sums.clip_fraction()},
                         {"policy/ratio_mean", sums.mean(sums.ratio)},
                         {"policy/ratio_max", sums.ratio_max},
                         {"policy/approx_kl_nats", sums.mean(sums.k3_nats)},
                         {"policy/approx_kl_k1_nats", sums.mean(sums.k1_nats)},
                         {"policy/ref_kl_nats", sums.mean(sums.ref_kl_nats)}},
          .tokens = tokens,
          .seconds = watch.seconds()};
}

train_reply policy_state::evaluate(const train_command& command) {
  const operation_scope scope(settings_.on->pulse, "held-out perplexity");
  const stopwatch watch;
  const model& m = *settings_.trained->of;
  engine::lm_statistics sums;
  const batch_handle batch = take_batch(command.batch_id);
  for (const engine::packed_batch& part : batch->micro_batches) {
    const std::vector<float> logprob_A =
        engine::answer_log_probs(settings_.on->ctx, m.net, m.weights.data(), part, 1.0F);
    for (const float logprob : logprob_A) {
      sums.nll_nats -= static_cast<double>(logprob);
    }
    sums.tokens += static_cast<int64_t>(logprob_A.size());
    settings_.on->pulse.touch();
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
      guarded([self](generate_atom, const generate_command& command) { return self->state.generate(command); }),
      guarded([self](train_atom, const train_command& command) { return self->state.train(command); }),
      guarded([self](mix_atom, const train_command& command) { return self->state.mix(command); }),
      guarded([self](evaluate_atom, const train_command& command) { return self->state.evaluate(command); }),
  };
}

}  // namespace troupe::actors
