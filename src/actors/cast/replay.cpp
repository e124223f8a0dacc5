#include "actors/cast/replay.hpp"

#include "actors/cast/judging.hpp"
#include "actors/models/options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "io/datasets/joiner.hpp"
#include "io/experience/groups.hpp"
#include "io/files/paths.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace troupe::actors {

void replay_state::open(replay_settings settings) {
  settings_.emplace(std::move(settings));
  for (const io::reward_source& source : settings_->reward_sources) {
    reward_weight_S_.push_back(source.weight);
  }
  if (settings_->stored) {
    files_.emplace(*settings_->stored);
  }
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
  case scorer::policy:
    return company.policy_scorer;
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

recall_reply replay_state::recall(const recall_command& command) {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "read experience");
  if (!files_) {
    throw error(errc::bad_argument, "this phase makes its own rollouts");
  }
  recalled_ = files_->take(command);
  recall_ = command;
  if (!command.next.empty()) {
    files_->read_ahead(command.next);
  }
  for (scored_sequence& scored : recalled_->sequences) {
    hand_to_scorers(scored.sequence);
    rollout_[scored.sequence->sequence_id] = scored;
  }
  return {.rollbacks = recalled_->shaping ? recalled_->shaping->rollbacks : -1};
}

void replay_state::hand_to_policy(const rollout& stored) {
  const std::vector<int>& ranks = settings_->mixing->scoring_on;
  engine::token_shares shares(static_cast<int>(ranks.size()));
  for (const scored_sequence& scored : stored) {
    if (ranks[static_cast<size_t>(shares.take(scored.sequence->tokens()))] == settings_->group->rank()) {
      send_to(company_.policy_scorer, scored.sequence);
    }
  }
}

statistics replay_state::mix(mix_command command) {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "mix experience in");
  if (!settings_->mixing) {
    throw error(errc::bad_argument, "this job mixes no stored experience in");
  }
  if (recalled_) {
    command.policy_version = static_cast<uint64_t>(recalled_->policy_version);  // counted as its files count
  }
  const auto fresh = static_cast<int64_t>(rollout_.size());
  mixed_answers taken = take_stored(*settings_->mixing, command, fresh, *settings_->group);
  hand_to_policy(taken.sequences);
  const auto stored = static_cast<double>(taken.sequences.size());
  mixed_.clear();
  for (scored_sequence& scored : taken.sequences) {
    const uint64_t id = scored.sequence->sequence_id;
    if (rollout_.contains(id)) {
      throw error(
          errc::bad_argument,
          "stored experience has an answer with id {}, as this iteration has: it is not of this run, and cannot "
          "be mixed in",
          id);
    }
    mixed_[id] = std::move(scored);
  }
  statistics found = {{"mix/share", stored > 0 ? stored / (stored + static_cast<double>(fresh)) : 0.0}};
  if (stored > 0) {
    found["mix/staleness_mean"] = static_cast<double>(taken.versions_behind) / stored;
  }
  return found;
}

void replay_state::take_scores() {
  for (const scores_handle& scores : gather(*settings_->group, std::exchange(scores_, {}))) {
    const auto stored = mixed_.find(scores->sequence_id);
    scored_sequence& of = stored != mixed_.end() ? stored->second : rollout_[scores->sequence_id];
    of.scores[scores->by] = scores;
  }
}

rollout replay_state::take(collected& from, size_t scores) {
  rollout sequences;
  for (auto& [id, scored] : from) {
    if (scored.sequence.value == nullptr || scored.scores.size() != scores) {
      throw error(errc::bad_argument, "sequence {} has {} of {} scores: it cannot be assembled yet", id,
                  scored.scores.size(), scores);
    }
    sequences.push_back(std::move(scored));
  }
  from.clear();
  return sequences;
}

rollout replay_state::take_rollout() {
  take_scores();
  rollout sequences = take(rollout_, judges());
  share_out();
  return sequences;
}

float replay_state::total_reward(const scored_sequence& scored) const {
  return io::weighted_score(scored.scores.at(scorer::reward)->values, reward_weight_S_);
}

engine::rollout_arrays replay_state::join(const rollout& sequences) const {
  engine::rollout_arrays arrays;
  for (const scored_sequence& scored : sequences) {
    const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(arrays.logprob_old_A, scored.sequence->logprob);
    append(arrays.logprob_ref_A, scored.scores.at(scorer::reference)->values);
    append(arrays.value_A, scored.scores.at(scorer::critic)->values);
    arrays.score_B.push_back(total_reward(scored));
    arrays.finished_B.push_back(scored.sequence->finished ? 1 : 0);
    arrays.answer_offset_B1.push_back(static_cast<int64_t>(arrays.logprob_old_A.size()));
  }
  return arrays;
}

/// What the policy says of the answers now, end to end.
static std::vector<float> policy_log_probs(const rollout& sequences) {
  std::vector<float> logprob_A;
  for (const scored_sequence& scored : sequences) {
    const std::vector<float>& now = scored.scores.at(scorer::policy)->values;
    logprob_A.insert(logprob_A.end(), now.begin(), now.end());
  }
  return logprob_A;
}

/// `prefix`: whose answers the numbers are of.
static void add_named(assemble_reply& to, const char* prefix, const std::map<std::string, double>& found) {
  for (const auto& [name, value] : found) {
    to.statistics[prefix + name] = value;
  }
}

/// What a source said of each sequence.
static std::vector<float> raw_rewards(const rollout& sequences, size_t source) {
  std::vector<float> raw;
  for (const scored_sequence& scored : sequences) {
    raw.push_back(scored.scores.at(scorer::reward)->values[source]);
  }
  return raw;
}

/// Every number of a source that always has a reward is one.
static void require_finite(const rollout& sequences, const std::string& source, std::span<const float> raw) {
  for (size_t b = 0; b < raw.size(); ++b) {
    if (!std::isfinite(raw[b])) {
      throw error(errc::not_finite, "the reward of sequence {} of the rollout (id {}) by rewards.{} is {}", b,
                  sequences[b].sequence->sequence_id, source, raw[b]);
    }
  }
}

void replay_state::require_rewards(const rollout& sequences) const {
  for (size_t s = 0; s < settings_->reward_sources.size(); ++s) {
    const io::reward_source& source = settings_->reward_sources[s];
    const std::vector<float> raw = raw_rewards(sequences, s);
    if (may_be_unscorable(source.kind)) {
      require_scored(source, raw);
    } else {
      require_finite(sequences, source.name, raw);
    }
  }
}

void replay_state::add_raw_means(const rollout& sequences, statistics& to) const {
  for (size_t s = 0; s < settings_->reward_sources.size(); ++s) {
    std::vector<float> raw = raw_rewards(sequences, s);
    std::erase_if(raw, [](float reward) { return std::isnan(reward); });
    if (!raw.empty()) {
      to["reward/" + settings_->reward_sources[s].name + "_mean"] = engine::moments_of(raw).mean;
    }
  }
}

void replay_state::report(const rollout& sequences, assemble_reply& reply) const {
  add_raw_means(sequences, reply.statistics);
  reply.sequences = static_cast<int64_t>(sequences.size());
  const auto shown = std::min<size_t>(static_cast<size_t>(settings_->ppo.log_rollouts), sequences.size());
  for (size_t b = 0; b < shown; ++b) {
    const finished_sequence& sequence = *sequences[b].sequence;
    reply.rollouts.push_back({.prompt = settings_->tokens->decode(sequence.prompt.tokens, true),
                              .answer = io::answer_text(*settings_->tokens, sequence.prompt.tokens, sequence.answer),
                              .reward = static_cast<double>(arrays_.score_B[b])});
  }
}

void replay_state::finish_recalled(const rollout& sequences, assemble_reply& reply) {
  if (recall_.exact) {
    require_same(*recalled_, "the shaped reward", recalled_->reward_shaped_A, arrays_.reward_A);
    require_same(*recalled_, "the advantage", recalled_->advantage_A, arrays_.advantage_A);
  }
  if (settings_->scorers.empty()) {
    return;  // nobody was asked what the policy says of them now
  }
  std::vector<float> logprob_now_A = policy_log_probs(sequences);
  if (recall_.as_sampled) {
    require_same(*recalled_, "the log-probability", arrays_.logprob_old_A, logprob_now_A);
  }
  std::vector<float> weight_A(logprob_now_A.size());
  const auto found = engine::importance_weights(settings_->importance, {.weight_A = weight_A,
                                                                        .logprob_now_A = logprob_now_A,
                                                                        .logprob_old_A = arrays_.logprob_old_A,
                                                                        .offset_B1 = arrays_.answer_offset_B1,
                                                                        .counts_A = arrays_.counts_A,
                                                                        .score_B = arrays_.score_B});
  add_named(reply, "replay/", found);
  if (settings_->importance.rule != engine::importance_rule::none) {
    arrays_.logprob_start_A = std::move(logprob_now_A);
    arrays_.importance_A = std::move(weight_A);
  }
}

void replay_state::learn_from_too(rollout stored, const engine::experience_settings& how, assemble_reply& reply) {
  if (stored.empty()) {
    return;
  }
  engine::rollout_arrays made = join(stored);
  made.logprob_start_A = policy_log_probs(stored);
  const auto truncated = engine::importance_of(engine::importance_rule::truncated, 0, 0);
  add_named(reply, "mix/", engine::mix_in(how, truncated, std::move(made), arrays_));
  std::move(stored.begin(), stored.end(), std::back_inserter(assembled_));
}

assemble_reply replay_state::assemble(const assemble_command& command) {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "assemble experience");
  rollout sequences = take_rollout();
  rollout stored = take(mixed_, stored_scorers + 1);
  arrays_ = join(sequences);
  const engine::experience_settings how = experience_of(settings_->ppo, command.kl_coefficient);
  engine::moments seen{.count = static_cast<int64_t>(std::llround(statistic(command.reward_scale, "count"))),
                       .mean = statistic(command.reward_scale, "mean"),
                       .squares = statistic(command.reward_scale, "squares")};
  if (recalled_ && recall_.exact) {
    require_same_state(*recalled_, shaping_of(command));
  }
  assemble_reply reply;
  const bool keep = !command.keep.empty() && writes_files();
  try {
    require_rewards(sequences);
    reply.statistics = engine::finish_experience(how, seen, arrays_);
  } catch (const error& failure) {
    const bool kept = failure.code() == errc::not_finite || failure.code() == errc::bad_argument;
    if (!kept || command.keep.empty()) {
      throw;
    }
    if (keep) {
      write(sequences, command, false);
    }
    throw error(failure.code(), "{}; the experience is kept in {}", failure.what(), command.keep);
  }
  if (recalled_) {
    finish_recalled(sequences, reply);
  }
  report(sequences, reply);
  reply.reward_scale = {{"count", static_cast<double>(seen.count)}, {"mean", seen.mean}, {"squares", seen.squares}};
  if (keep) {
    write(sequences, command, true);
  }
  as_sampled_ = !recalled_ || recall_.as_sampled || !arrays_.logprob_start_A.empty();
  assembled_ = std::move(sequences);
  assembled_iteration_ = command.iteration;
  learn_from_too(std::move(stored), how, reply);
  return reply;
}

void replay_state::write(const rollout& sequences, const assemble_command& command, bool finite) const {
  const io::attempt_fence fence = settings_->run.fence(static_cast<int64_t>(settings_->attempt));
  const auto path = settings_->run.root() / command.keep;
  io::make_folder(path.parent_path());
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
  rollout sequences = take_rollout();
  require_rewards(sequences);
  const size_t samples = sequences.size();
  std::erase_if(sequences, [this](const scored_sequence& scored) { return std::isnan(total_reward(scored)); });
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
  for (const io::sample_pair& pair :
       io::choose_pairs({.group_M = prompts, .score_M = rewards}, {.margin = settings_->pair_margin})) {
    const auto c = static_cast<size_t>(pair.chosen);
    const auto r = static_cast<size_t>(pair.rejected);
    pairs_.push_back(make_pair(sequences[c], sequences[r]));
    margins.merge({.count = 1, .mean = static_cast<double>(rewards[c] - rewards[r])});
  }
  reply.statistics = {{"pairs/made", static_cast<double>(pairs_.size())},
                      {"pairs/samples", static_cast<double>(samples)},
                      {"pairs/unscorable_share", static_cast<double>(samples - sequences.size()) /
                                                     static_cast<double>(std::max<size_t>(1, samples))},
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
  const served_minibatch served = make_minibatch(settings_->minibatches, command, assembled_, arrays_, as_sampled_);
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
      replying_errors([self](recall_atom, const recall_command& command) { return self->state.recall(command); }),
      replying_errors([self](mix_atom, const mix_command& command) { return self->state.mix(command); }),
      replying_errors([self](assemble_atom, const assemble_command& command) { return self->state.assemble(command); }),
      replying_errors([self](assemble_atom) { return self->state.make_pairs(); }),
      replying_errors([self](save_atom, uint64_t iteration) { return self->state.save_pairs(iteration); }),
      replying_errors([self](serve_atom, const minibatch_command& command) { return self->state.serve(command); }),
  };
}

}  // namespace troupe::actors
