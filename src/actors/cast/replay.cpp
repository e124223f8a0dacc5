#include "actors/cast/replay.hpp"

#include "actors/models/options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "engine/objectives/preference.hpp"
#include "io/datasets/joiner.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace troupe::actors {

void replay_state::open(replay_settings settings) {
  settings_.emplace(std::move(settings));
  share_out();
}

/// A new rollout: nobody has had anything of it.
void replay_state::share_out() {
  shares_.clear();
  for (const scoring_ranks& ranks : settings_->scorers) {
    shares_.emplace_back(static_cast<int>(ranks.members.size()));
  }
}

static const caf::strong_actor_ptr& scorer_among(const cast& company, scorer by) {
  switch (by) {
  case scorer::reference:
    return company.reference;
  case scorer::critic:
    return company.critic;
  case scorer::reward:
    break;
  }
  return company.reward;
}

static void send_to(const caf::strong_actor_ptr& receiver, const auto& handle) {
  if (receiver) {
    caf::anon_send(caf::actor_cast<caf::actor>(receiver), handle);
  }
}

/// All ranks see the same sequences in the same order, and so know of each who is to score it.
void replay_state::hand_to_scorers(const sequence_handle& sequence) {
  for (size_t s = 0; s < shares_.size(); ++s) {
    const scoring_ranks& ranks = settings_->scorers[s];
    if (ranks.members[static_cast<size_t>(shares_[s].take(sequence->tokens()))] == settings_->group->rank()) {
      send_to(scorer_among(company_, ranks.by), sequence);
    }
  }
}

int64_t replay_state::hand_over() {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "exchange sequences");
  const std::vector<sequence_handle> fresh = gather(*settings_->group, std::exchange(finished_, {}));
  for (const sequence_handle& sequence : fresh) {
    hand_to_scorers(sequence);
    rollout_[sequence->sequence_id].sequence = sequence;
  }
  return static_cast<int64_t>(fresh.size());
}

rollout replay_state::take_rollout() {
  for (const scores_handle& scores : gather(*settings_->group, std::exchange(scores_, {}))) {
    rollout_[scores->sequence_id].scores[scores->by] = scores;
  }
  rollout sequences;
  for (auto& [id, scored] : rollout_) {
    if (scored.sequence.value == nullptr || scored.scores.size() != settings_->scorers.size()) {
      throw error(errc::bad_argument, "sequence {} has {} of {} scores: it cannot be assembled yet", id,
                  scored.scores.size(), settings_->scorers.size());
    }
    sequences.push_back(std::move(scored));
  }
  rollout_.clear();
  share_out();
  return sequences;
}

float replay_state::total_reward(const scored_sequence& scored) const {
  const std::vector<float>& raw = scored.scores.at(scorer::reward)->values;
  double total = 0;
  for (size_t s = 0; s < raw.size(); ++s) {
    total += settings_->reward_sources[s].weight * static_cast<double>(raw[s]);
  }
  return static_cast<float>(total);
}

void replay_state::join(const rollout& sequences) {
  arrays_ = {};
  for (const scored_sequence& scored : sequences) {
    const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(arrays_.logprob_old_A, scored.sequence->logprob);
    append(arrays_.logprob_ref_A, scored.scores.at(scorer::reference)->values);
    append(arrays_.value_A, scored.scores.at(scorer::critic)->values);
    arrays_.score_B.push_back(total_reward(scored));
    arrays_.finished_B.push_back(scored.sequence->finished ? 1 : 0);
    arrays_.answer_offset_B1.push_back(static_cast<int64_t>(arrays_.logprob_old_A.size()));
  }
}

void replay_state::report(const rollout& sequences, assemble_reply& reply) const {
  for (size_t s = 0; s < settings_->reward_sources.size(); ++s) {
    std::vector<float> raw;
    for (const scored_sequence& scored : sequences) {
      raw.push_back(scored.scores.at(scorer::reward)->values[s]);
    }
    reply.statistics["reward/" + settings_->reward_sources[s].name + "_mean"] = engine::moments_of(raw).mean;
  }
  reply.sequences = static_cast<int64_t>(sequences.size());
  const auto shown = std::min<size_t>(static_cast<size_t>(settings_->ppo.log_rollouts), sequences.size());
  for (size_t b = 0; b < shown; ++b) {
    const finished_sequence& sequence = *sequences[b].sequence;
    reply.rollouts.push_back({.prompt = settings_->tokens->decode(sequence.prompt.tokens, true),
                              .answer = settings_->tokens->decode(sequence.answer, true),
                              .reward = static_cast<double>(arrays_.score_B[b])});
  }
}

assemble_reply replay_state::assemble(const assemble_command& command) {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "assemble experience");
  rollout sequences = take_rollout();
  join(sequences);
  engine::moments seen{.count = static_cast<int64_t>(std::llround(statistic(command.reward_scale, "count"))),
                       .mean = statistic(command.reward_scale, "mean"),
                       .squares = statistic(command.reward_scale, "squares")};
  assemble_reply reply;
  const bool keep = !command.keep.empty() && writes_files();
  try {
    reply.statistics = engine::finish_experience(experience_of(settings_->ppo, command.kl_coefficient), seen, arrays_);
  } catch (const error& failure) {
    if (failure.code() != errc::not_finite || command.keep.empty()) {
      throw;
    }
    if (keep) {
      write(sequences, command, false);
    }
    throw error(errc::not_finite, "{}; the experience is kept in {}", failure.what(), command.keep);
  }
  report(sequences, reply);
  reply.reward_scale = {{"count", static_cast<double>(seen.count)}, {"mean", seen.mean}, {"squares", seen.squares}};
  if (keep) {
    write(sequences, command, true);
  }
  assembled_ = std::move(sequences);
  assembled_iteration_ = command.iteration;
  return reply;
}

void replay_state::write(const rollout& sequences, const assemble_command& command, bool finite) const {
  const io::attempt_fence fence = settings_->run.fence(static_cast<int64_t>(settings_->attempt));
  const auto path = settings_->run.root() / command.keep;
  std::filesystem::create_directories(path.parent_path());
  io::experience record =
      record_of(settings_->origin, command, sequences, arrays_, settings_->reward_sources, *settings_->tokens);
  if (finite) {
    io::write_experience(path, record, &fence);
    return;
  }
  record.reward_shaped_A.resize(record.logprob_old_A.size());
  record.advantage_A.resize(record.logprob_old_A.size());
  io::write_experience_unchecked(path, record, &fence);
}

io::made_pair replay_state::make_pair(const scored_sequence& chosen, const scored_sequence& rejected) const {
  const io::tokenizer& tokens = *settings_->tokens;
  const finished_sequence& better = *chosen.sequence;
  const finished_sequence& worse = *rejected.sequence;
  return {.prompt_digest = better.prompt.prompt_id,
          .prompt_ids = better.prompt.tokens,
          .chosen_ids = better.answer,
          .rejected_ids = worse.answer,
          .prompt = io::prompt_text(tokens, better.prompt.tokens),
          .chosen = io::answer_text(tokens, better.prompt.tokens, better.answer),
          .rejected = io::answer_text(tokens, worse.prompt.tokens, worse.answer),
          .chosen_reward = static_cast<double>(total_reward(chosen)),
          .rejected_reward = static_cast<double>(total_reward(rejected))};
}

train_reply replay_state::make_pairs() {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "make pairs");
  const stopwatch watch;
  const rollout sequences = take_rollout();
  std::vector<uint64_t> prompts;
  std::vector<float> rewards;
  train_reply reply;
  for (const scored_sequence& scored : sequences) {
    prompts.push_back(prompt_key_of(scored.sequence->sequence_id));
    rewards.push_back(total_reward(scored));
    reply.tokens += static_cast<int64_t>(scored.sequence->answer.size());
  }
  pairs_.clear();
  engine::moments margins;
  for (const engine::preference& pair : engine::choose_preferences(prompts, rewards, settings_->pair_margin)) {
    const auto c = static_cast<size_t>(pair.chosen);
    const auto r = static_cast<size_t>(pair.rejected);
    pairs_.push_back(make_pair(sequences[c], sequences[r]));
    margins.merge({.count = 1, .mean = static_cast<double>(rewards[c] - rewards[r])});
  }
  reply.statistics = {{"pairs/made", static_cast<double>(pairs_.size())},
                      {"pairs/samples", static_cast<double>(sequences.size())},
                      {"pairs/reward_mean", engine::moments_of(rewards).mean},
                      {"pairs/margin_mean", margins.mean}};
  reply.seconds = watch.seconds();
  return reply;
}

bool replay_state::save_pairs(uint64_t iteration) const {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "write pairs");
  io::write_pairs_part(settings_->run, static_cast<int64_t>(iteration), pairs_,
                       settings_->run.fence(static_cast<int64_t>(settings_->attempt)));
  return true;
}

serve_reply replay_state::serve(const minibatch_command& command) {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "serve a minibatch");
  if (command.iteration != assembled_iteration_ || assembled_.empty()) {
    throw error(errc::bad_argument, "iteration {} has not been assembled", command.iteration);
  }
  const served_minibatch served = make_minibatch(settings_->minibatches, command, assembled_, arrays_);
  send_to(company_.policy, served.batch);
  send_to(company_.critic, served.batch);
  return served.reply;
}

replay_actor::behavior_type replay(replay_actor::stateful_pointer<replay_state> self, replay_settings settings) {
  self->state.open(std::move(settings));
  return {
      [self](const sequence_handle& sequence) { self->state.add(sequence); },
      [self](const scores_handle& scores) { self->state.add(scores); },
      [self](introduce_atom, const cast& company) { self->state.meet(company); },
      replying_errors([self](hand_over_atom) { return self->state.hand_over(); }),
      replying_errors([self](assemble_atom, const assemble_command& command) { return self->state.assemble(command); }),
      replying_errors([self](assemble_atom) { return self->state.make_pairs(); }),
      replying_errors([self](save_atom, uint64_t iteration) { return self->state.save_pairs(iteration); }),
      replying_errors([self](serve_atom, const minibatch_command& command) { return self->state.serve(command); }),
  };
}

}  // namespace troupe::actors
