#include "actors/cast/rollout_generation.hpp"

#include "actors/cast/stop_strings.hpp"
#include "actors/models/special_tokens.hpp"
#include "engine/models/workspace.hpp"
#include "engine/parallel/division.hpp"

#include <utility>

namespace troupe::actors {

rollout_generation::rollout_generation(rollout_settings settings)
    : settings_(std::move(settings)), stop_tokens_(stop_tokens_of(*settings_.of, *settings_.tokens)),
      stop_check_(make_stop_check(settings_.tokens, settings_.options.stop)) {
  if (settings_.journal) {
    journal_.emplace(*settings_.journal);
  }
  stop_tokens_.insert(stop_tokens_.end(), settings_.turn_ends.begin(), settings_.turn_ends.end());
}

/// The weights as they are now, where the generator reads them.
void rollout_generation::gather_weights() {
  model& m = *settings_.of;
  weights_.reset();
  if (!settings_.columns) {
    weights_ = std::make_unique<engine::weights_in_use>(settings_.on->ctx, m.weights, m.on_card.get());
    weights_->hold_all(settings_.on->ctx);
    return;
  }
  if (!columns_) {
    columns_ = std::make_unique<engine::column_model>(m.net, settings_.columns, m.weights.type(),
                                                      engine::arena_place{m.weights.on(), "policy weights"});
  }
  engine::gathered_weights whole(m.weights);
  const engine::weights_view view = whole.view();
  columns_->fill(columns_->on() != nullptr ? settings_.on->ctx : settings_.on->host, view.data, view.access);
  if (columns_->on() == nullptr && settings_.on->card) {
    send_columns(m.type());
  }
}

/// To the card, in its type; host memory holds none of them then.
void rollout_generation::send_columns(dtype type) {
  if (!columns_on_card_) {
    columns_on_card_ = std::make_unique<engine::card_weights>(columns_->net(), type, "policy weights");
  }
  columns_on_card_->outdate();
  columns_data_ = columns_on_card_->begin_use(settings_.on->ctx, columns_->weights()).data;
  columns_on_card_->end_use();
  columns_->release();
}

const_reals rollout_generation::weights_to_read() const {
  if (columns_on_card_) {
    return columns_data_;
  }
  return columns_ ? columns_->weights() : weights_->view().data;
}

void rollout_generation::make_generator() {
  const model& m = *settings_.of;
  // Pages are counted alike on all ranks that generate together, or they would not make the same steps: with the
  // largest part of the model, which is rank 0's.
  const engine::model_description largest =
      engine::description_of(m.net.description(), engine::split_columns(m.net.description(), 0, ranks_together()));
  const const_reals weights = weights_to_read();
  const dtype cached = engine::activation_type(settings_.on->ctx, weights);
  generator_ = std::make_unique<engine::generator>(columns_ ? columns_->net() : m.net, weights,
                                                   generator_settings_of(settings_.options, largest, cached),
                                                   settings_.on->card.get());
}

/// By prompt: which share it is part of. Ranks that generate together have one share.
std::vector<int> rollout_generation::share_of_prompts() const {
  const int64_t most_answer_tokens = settings_.options.samples(is_evaluation()) * settings_.options.new_tokens;
  std::vector<int64_t> tokens;
  for (const prompt& asked : prompts_->prompts) {
    tokens.push_back(static_cast<int64_t>(asked.tokens.size()) + most_answer_tokens);
  }
  return engine::divide_by_tokens(tokens, settings_.ranks / ranks_together());
}

/// What earlier attempts have finished of these prompts. Other prompts under the same ids would be those of data that
/// has changed since.
void rollout_generation::read_journal(uint64_t rollbacks) {
  finished_before_.clear();
  if (!keeps_journal()) {
    return;
  }
  std::map<uint64_t, sequence_handle> found = journal_->begin(*prompts_, rollbacks);
  for (uint64_t place = 0; place < prompts_->prompts.size(); ++place) {
    for (const uint64_t id : sequence_ids(place)) {
      const auto sequence = found.find(id);
      if (sequence != found.end() && sequence->second->prompt.tokens == prompts_->prompts[place].tokens) {
        finished_before_.insert(*sequence);
      }
    }
  }
}

/// Hands on what earlier attempts have finished of a prompt.
void rollout_generation::take_up(uint64_t prompt) {
  for (const uint64_t id : sequence_ids(prompt)) {
    const auto found = finished_before_.find(id);
    if (found == finished_before_.end()) {
      continue;
    }
    auto sequence = std::make_shared<finished_sequence>(*found->second);
    sequence->batch_id = prompts_->id;
    sequence->prompt = prompts_->prompts[prompt];
    ++taken_up_;
    taken_up_tokens_ += static_cast<int64_t>(sequence->answer.size());
    if (sends()) {
      caf::anon_send(settings_.replay, sequence_handle{std::move(sequence)});
    }
  }
}

void rollout_generation::begin(const batch_handle& prompts, uint64_t rollbacks) {
  if (generator_) {
    generator_->cancel();
  }
  gather_weights();
  if (!generator_) {
    make_generator();
  }
  prompts_ = prompts;
  prompt_of_id_.clear();
  read_journal(rollbacks);
  const std::vector<int> share_of = share_of_prompts();
  for (size_t place = 0; place < share_of.size(); ++place) {
    if (share_of[place] == settings_.rank / ranks_together()) {
      take_up(place);
      add_prompt(place);
    }
  }
}

std::vector<uint64_t> rollout_generation::sequence_ids(uint64_t prompt) const {
  std::vector<uint64_t> ids;
  const auto samples = static_cast<uint64_t>(settings_.options.samples(is_evaluation()));
  for (uint64_t sample = 0; sample < samples; ++sample) {
    ids.push_back(make_sequence_id(prompts_->draw, prompt, sample));
  }
  return ids;
}

std::vector<uint64_t> rollout_generation::unfinished_ids(uint64_t prompt) const {
  std::vector<uint64_t> ids = sequence_ids(prompt);
  std::erase_if(ids, [this](uint64_t id) { return finished_before_.contains(id); });
  return ids;
}

void rollout_generation::add_prompt(uint64_t prompt) {
  if (prompt >= prompts_->prompts.size()) {
    throw error(errc::bad_argument, "prompt {} of a batch of {}", prompt, prompts_->prompts.size());
  }
  std::vector<uint64_t> ids = unfinished_ids(prompt);
  if (ids.empty()) {
    return;
  }
  engine::generation_request request{.sequence_ids = std::move(ids),
                                     .prompt = prompts_->prompts[prompt].tokens,
                                     .max_new_tokens = settings_.options.new_tokens,
                                     .sampling = settings_.options.sampling,
                                     .seed = settings_.options.seed(is_evaluation()),
                                     .stop_tokens = stop_tokens_,
                                     .stop = stop_check_};
  for (const uint64_t id : request.sequence_ids) {
    prompt_of_id_[id] = prompt;
  }
  generator_->submit(std::move(request));
}

void rollout_generation::withdraw_prompt(uint64_t prompt) {
  const std::vector<uint64_t> ids = unfinished_ids(prompt);
  generator_->withdraw(ids.front());
  for (const uint64_t id : ids) {
    prompt_of_id_.erase(id);
  }
}

generate_reply rollout_generation::advance(const generate_command& command, const operation_scope& progress) {
  const stopwatch watch;
  for (const uint64_t prompt : command.give) {
    withdraw_prompt(prompt);
  }
  for (const uint64_t prompt : command.take) {
    add_prompt(prompt);
  }
  const int64_t answer_tokens_before = generator_->counters().answer_tokens;
  for (int64_t step = 0; step < command.steps && !generator_->idle(); ++step) {
    generator_->step(settings_.on->ctx);
    progress.touch();
  }
  send_finished();
  if (keeps_journal()) {
    journal_->save(generator_->idle());
  }
  generate_reply reply = report(answer_tokens_before, watch);
  taken_up_ = taken_up_tokens_ = 0;
  if (reply.unfinished == 0) {
    generator_->release_memory();
  }
  if (command.ends) {
    release();
  }
  return reply;
}

generate_reply rollout_generation::report(int64_t answer_tokens_before, const stopwatch& watch) const {
  generate_reply reply{.unfinished = generator_->unfinished(),
                       .answer_tokens = generator_->counters().answer_tokens - answer_tokens_before,
                       .seconds = watch.seconds(),
                       .waiting = {},
                       .taken_up = taken_up_,
                       .taken_up_tokens = taken_up_tokens_};
  for (const uint64_t id : generator_->not_begun()) {
    reply.waiting.push_back(prompt_of_id_.at(id));
  }
  return reply;
}

void rollout_generation::send(const sequence_handle& sequence) {
  if (keeps_journal()) {
    journal_->add(sequence);
  }
  caf::anon_send(settings_.replay, sequence);
}

void rollout_generation::send_finished() {
  for (engine::generated_sequence& done : generator_->take_finished()) {
    const uint64_t prompt = prompt_of_id_.extract(done.sequence_id).mapped();
    if (!sends()) {
      continue;
    }
    auto sequence = std::make_shared<finished_sequence>();
    sequence->batch_id = prompts_->id;
    sequence->sequence_id = done.sequence_id;
    sequence->prompt = prompts_->prompts[prompt];
    sequence->answer = std::move(done.ids);
    sequence->logprob = std::move(done.logprobs);
    sequence->finished = done.finish == engine::finish_reason::stop;
    send({std::move(sequence)});
  }
}

void rollout_generation::release() {
  weights_.reset();
  generator_->release_memory();
  if (columns_) {
    columns_->release();
  }
  if (columns_on_card_) {
    columns_on_card_->give_back();
  }
}

}  // namespace troupe::actors
