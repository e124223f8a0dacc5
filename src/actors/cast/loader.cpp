#include "actors/cast/loader.hpp"

#include "actors/protocol/error_replies.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace troupe::actors {

void loader_state::open(loader_settings settings) {
  settings_ = std::move(settings);
  if (!settings_.data.sources.empty()) {  // a replay needs none
    order_.emplace(settings_.batches.seed, settings_.phase, settings_.data.sources);
  }
  if (settings_.mixture) {
    mixture_order_.emplace(settings_.batches.seed, io::phase::sft, settings_.mixture->sources);
  }
}

loader_state::examples loader_state::choose(std::optional<io::blend>& order, const io::phase_data& data,
                                            uint64_t counter, int64_t count) const {
  if (!order) {
    throw error(errc::bad_argument, "the phase has no data to draw from");
  }
  examples chosen;
  for (int64_t i = 0; i < count; ++i) {
    const io::blend_pick pick = order->at(static_cast<int64_t>(counter) * count + i);
    chosen.push_back(&data.training[static_cast<size_t>(pick.source)][static_cast<size_t>(pick.index)]);
  }
  return chosen;
}

loader_state::examples loader_state::choose_held_out(int64_t count) const {
  examples all;
  for (const auto& source : settings_.data.examples.held_out) {
    for (const io::example& example : source) {
      all.push_back(&example);
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

/// The sequences' weights, divided by their mean over the tokens that are learned; none where all are 1.
static void weigh(const std::vector<const io::example*>& chosen, engine::packed_batch& whole) {
  double tokens = 0;
  double weighted = 0;
  for (size_t b = 0; b < chosen.size(); ++b) {
    const auto answer = static_cast<double>(whole.offset_B1[b + 1] - whole.offset_B1[b] - whole.prompt_length_B[b]);
    tokens += answer;
    weighted += chosen[b]->weight * answer;
  }
  const bool all_alike = std::all_of(chosen.begin(), chosen.end(), [](const io::example* e) { return e->weight == 1; });
  if (all_alike || weighted <= 0) {
    return;
  }
  for (const io::example* example : chosen) {
    whole.weight_B.push_back(example->weight * (tokens / weighted));
  }
}

void loader_state::add_sequences(const examples& chosen, bool pairs, int64_t token_budget, example_batch& batch,
                                 serve_reply& reply) const {
  engine::packed_batch whole;
  std::vector<uint16_t> sources;
  for (const io::example* example : chosen) {
    const auto prompt_length = static_cast<int64_t>(example->prompt.size());
    const auto answer_length = static_cast<int64_t>(example->chosen.size());
    const int64_t learned_from = settings_.batches.all_tokens || prompt_length == 0 ? 1 : prompt_length;
    whole.add(example->prompt, example->chosen, learned_from);
    sources.push_back(static_cast<uint16_t>(example->source));
    reply.loss_terms += pairs ? 1 : prompt_length + answer_length - learned_from;
    if (pairs) {
      whole.add(example->prompt, example->rejected, learned_from);
    }
  }
  if (!pairs) {
    weigh(chosen, whole);
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
  for (const io::example* example : chosen) {
    batch.prompts.push_back({.tokens = example->prompt,
                             .prompt_id = example->prompt_digest,
                             .source = static_cast<uint16_t>(example->source),
                             .reference = example->reference});
    reply.tokens += static_cast<int64_t>(example->prompt.size());
  }
  reply.sequences = static_cast<int64_t>(chosen.size());
}

void loader_state::add_mixture(uint64_t counter, example_batch& batch, serve_reply& reply) {
  if (!settings_.mixture) {
    throw error(errc::bad_argument, "the phase has no data for mixture training");
  }
  const batch_options& wanted = settings_.batches;
  add_sequences(choose(mixture_order_, settings_.mixture->examples, counter, wanted.mixture), false,
                wanted.mixture_micro_batch_tokens, batch, reply);
}

void loader_state::fill(const serve_command& command, example_batch& batch, serve_reply& reply) {
  const batch_options& wanted = settings_.batches;
  const io::phase_data& data = settings_.data.examples;
  switch (command.what) {
  case serving::training:
    return add_sequences(choose(order_, data, command.counter, wanted.training), wanted.pairs,
                         wanted.micro_batch_tokens, batch, reply);
  case serving::held_out:
    return add_sequences(choose_held_out(wanted.held_out), wanted.pairs, wanted.micro_batch_tokens, batch, reply);
  case serving::prompts:
    return add_prompts(choose(order_, data, command.counter, wanted.prompts), batch, reply);
  case serving::held_out_prompts:
    return add_prompts(choose_held_out(wanted.held_out_prompts), batch, reply);
  case serving::mixture:
    return add_mixture(command.counter, batch, reply);
  }
}

serve_reply loader_state::serve(const serve_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::loader), "serve a batch");
  auto batch = std::make_shared<example_batch>();
  batch->id = make_batch_id(command.what, command.counter);
  batch->what = command.what;
  batch->draw = command.counter;
  serve_reply reply{.batch_id = batch->id};
  fill(command, *batch, reply);
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
