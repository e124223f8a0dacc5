#include "actors/cast/loader.hpp"

#include "actors/protocol/error_replies.hpp"

namespace troupe::actors {

std::vector<io::blend_source> sources_of(const io::phase_data& data, const io::job& job) {
  std::vector<io::blend_source> sources;
  for (size_t s = 0; s < data.training.size(); ++s) {
    const double weight = s < job.data.size() ? job.data[s].weight : job.pairs.weight;
    sources.push_back({.size = static_cast<int64_t>(data.training[s].size()), .weight = weight});
  }
  return sources;
}

void loader_state::open(loader_settings settings) {
  settings_ = std::move(settings);
  order_.emplace(settings_.job.run.seed, settings_.phase, sources_of(settings_.data, settings_.job));
  if (settings_.mixture) {
    mixture_order_.emplace(settings_.job.run.seed, io::phase::sft, sources_of(*settings_.mixture, settings_.job));
  }
}

loader_state::examples loader_state::choose(io::blend& order, const io::phase_data& data, uint64_t counter,
                                            int64_t count) const {
  examples chosen;
  for (int64_t i = 0; i < count; ++i) {
    const io::blend_pick pick = order.at(static_cast<int64_t>(counter) * count + i);
    chosen.push_back(&data.training[static_cast<size_t>(pick.source)][static_cast<size_t>(pick.index)]);
  }
  return chosen;
}

loader_state::examples loader_state::choose_held_out(int64_t count) const {
  examples all;
  for (const auto& source : settings_.data.held_out) {
    for (const io::example& one : source) {
      all.push_back(&one);
    }
  }
  const auto total = static_cast<int64_t>(all.size());
  if (total <= count) {
    return all;
  }
  examples chosen;
  for (int64_t i = 0; i < count; ++i) {
    chosen.push_back(all[static_cast<size_t>(i * total / count)]);
  }
  return chosen;
}

void loader_state::pack(const examples& chosen, example_batch& batch, serve_reply& reply, bool pairs, bool all_tokens,
                        int64_t token_budget) const {
  engine::packed_batch whole;
  std::vector<uint16_t> sources;
  for (const io::example* one : chosen) {
    const auto prompt_length = static_cast<int64_t>(one->prompt.size());
    const int64_t learned_from = all_tokens || prompt_length == 0 ? 1 : prompt_length;
    whole.add(one->prompt, one->chosen, learned_from);
    sources.push_back(static_cast<uint16_t>(one->source));
    reply.loss_terms += pairs ? 1 : prompt_length + static_cast<int64_t>(one->chosen.size()) - learned_from;
    if (pairs) {
      whole.add(one->prompt, one->rejected, learned_from);
    }
  }
  reply.sequences = whole.sequences();
  reply.tokens = whole.tokens();
  batch.micro_batches =
      split_into_micro_batches(whole, {.token_budget = token_budget, .shares = settings_.shares, .pairs = pairs});
  size_t next = 0;
  for (const engine::packed_batch& part : batch.micro_batches) {
    const auto items = static_cast<size_t>(part.sequences() / (pairs ? 2 : 1));
    batch.sources.emplace_back(sources.begin() + static_cast<int64_t>(next),
                               sources.begin() + static_cast<int64_t>(next + items));
    next += items;
  }
}

void loader_state::add_prompts(const examples& chosen, example_batch& batch, serve_reply& reply) const {
  for (const io::example* one : chosen) {
    batch.prompts.push_back({.tokens = one->prompt,
                             .prompt_id = one->prompt_digest,
                             .source = static_cast<uint16_t>(one->source),
                             .reference = one->reference});
    reply.tokens += static_cast<int64_t>(one->prompt.size());
  }
  reply.sequences = static_cast<int64_t>(chosen.size());
}

serve_reply loader_state::serve(const serve_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::loader), "serve a batch");
  const io::job& job = settings_.job;
  auto batch = std::make_shared<example_batch>();
  batch->id = make_batch_id(command.what, command.counter);
  batch->what = command.what;
  batch->draw = command.counter;
  serve_reply reply{.batch_id = batch->id};

  const bool pairs = settings_.phase == io::phase::reward;
  const bool all_tokens = job.sft.loss == io::sft_loss::all;
  const io::training_options& training = pairs ? job.reward.training : job.sft.training;
  switch (command.what) {
  case serving::training:
    pack(choose(*order_, settings_.data, command.counter, training.batch), *batch, reply, pairs, all_tokens,
         training.micro_batch_tokens);
    break;
  case serving::held_out:
    pack(choose_held_out(job.evaluation.records), *batch, reply, pairs, all_tokens, training.micro_batch_tokens);
    break;
  case serving::prompts: {
    const int64_t count = settings_.phase == io::phase::pairs ? job.pairs.prompts_per_iteration : job.ppo.prompts;
    add_prompts(choose(*order_, settings_.data, command.counter, count), *batch, reply);
    break;
  }
  case serving::held_out_prompts:
    add_prompts(choose_held_out(job.evaluation.prompts), *batch, reply);
    break;
  case serving::mixture: {
    if (!mixture_order_) {
      throw error(errc::bad_argument, "the phase has no data for mixture training");
    }
    const int64_t training_batch = job.ppo.prompts * job.ppo.samples_per_prompt / job.ppo.minibatches;
    const int64_t count = job.ppo.ptx_batch > 0 ? job.ppo.ptx_batch : training_batch;
    pack(choose(*mixture_order_, *settings_.mixture, command.counter, count), *batch, reply, false, all_tokens,
         job.ppo.micro_batch_tokens);
    break;
  }
  }
  if (reply.sequences > 0) {
    caf::anon_send(settings_.trainee, batch_handle{std::move(batch)});
  }
  return reply;
}

loader_actor::behavior_type loader(loader_actor::stateful_pointer<loader_state> self, loader_settings settings) {
  self->state.open(std::move(settings));
  return {replying_errors([self](serve_atom, const serve_command& command) { return self->state.serve(command); })};
}

}  // namespace troupe::actors
