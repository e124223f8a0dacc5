#include "actors/cast/replay.hpp"

#include "actors/models/options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/digest.hpp"
#include "base/random.hpp"
#include "base/stopwatch.hpp"
#include "engine/objectives/preference.hpp"

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
  for (const scoring_ranks& one : settings_->scorers) {
    shares_.emplace_back(static_cast<int>(one.members.size()));
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
  for (auto& [id, one] : rollout_) {
    if (one.sequence.value == nullptr || one.scores.size() != settings_->scorers.size()) {
      throw error(errc::bad_argument, "sequence {} has {} of {} scores: it cannot be assembled yet", id,
                  one.scores.size(), settings_->scorers.size());
    }
    sequences.push_back(std::move(one));
  }
  rollout_.clear();
  share_out();
  return sequences;
}

float replay_state::total_reward(const scored_sequence& one) const {
  const std::vector<float>& raw = one.scores.at(scorer::reward)->values;
  double total = 0;
  for (size_t s = 0; s < raw.size(); ++s) {
    total += settings_->reward_sources[s].weight * static_cast<double>(raw[s]);
  }
  return static_cast<float>(total);
}

void replay_state::join(const rollout& sequences) {
  arrays_ = {};
  for (const scored_sequence& one : sequences) {
    const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(arrays_.logprob_old_A, one.sequence->logprob);
    append(arrays_.logprob_ref_A, one.scores.at(scorer::reference)->values);
    append(arrays_.value_A, one.scores.at(scorer::critic)->values);
    arrays_.score_B.push_back(total_reward(one));
    arrays_.finished_B.push_back(one.sequence->finished ? 1 : 0);
    arrays_.answer_offset_B1.push_back(static_cast<int64_t>(arrays_.logprob_old_A.size()));
  }
}

void replay_state::describe(const rollout& sequences, assemble_reply& reply) const {
  for (size_t s = 0; s < settings_->reward_sources.size(); ++s) {
    std::vector<float> raw;
    for (const scored_sequence& one : sequences) {
      raw.push_back(one.scores.at(scorer::reward)->values[s]);
    }
    reply.statistics["reward/" + settings_->reward_sources[s].name + "_mean"] = engine::moments_of(raw).mean;
  }
  const auto shown = std::min<size_t>(static_cast<size_t>(settings_->job.ppo.log_rollouts), sequences.size());
  for (size_t b = 0; b < sequences.size(); ++b) {
    const finished_sequence& one = *sequences[b].sequence;
    reply.sample_reward.push_back(static_cast<double>(arrays_.score_B[b]));
    reply.sample_prompt.push_back(one.prompt.prompt_id);
    if (b < shown) {
      reply.rollouts.push_back({.prompt = settings_->tokens->decode(one.prompt.tokens, true),
                                .answer = settings_->tokens->decode(one.answer, true),
                                .reward = static_cast<double>(arrays_.score_B[b])});
    }
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
    reply.statistics =
        engine::finish_experience(experience_of(settings_->job.ppo, command.kl_coefficient), seen, arrays_);
  } catch (const error& failure) {
    if (failure.code() != errc::not_finite || command.keep.empty()) {
      throw;
    }
    if (keep) {
      write(sequences, command, false);
    }
    throw error(errc::not_finite, "{}; the experience is kept in {}", failure.what(), command.keep);
  }
  describe(sequences, reply);
  reply.reward_scale = {{"count", static_cast<double>(seen.count)}, {"mean", seen.mean}, {"squares", seen.squares}};
  if (keep) {
    write(sequences, command, true);
  }
  assembled_ = std::move(sequences);
  assembled_iteration_ = command.iteration;
  return reply;
}

io::experience replay_state::file_contents(const rollout& sequences, const assemble_command& command) const {
  const kernels::sampling_settings sampling = sampling_of(settings_->job.generation);
  io::experience e;
  e.iteration = static_cast<int64_t>(command.iteration);
  e.policy_version = static_cast<int64_t>(command.policy_version);
  e.seed = settings_->job.run.seed;
  e.temperature = settings_->job.generation.temperature;
  e.top_k = sampling.top_k;
  e.top_p = settings_->job.generation.top_p;
  e.job_digest = settings_->job_digest;
  e.policy_digest = settings_->policy_digest;
  e.tokenizer_digest = digest_text(settings_->tokens->digest());
  e.source_names = settings_->source_names;
  for (const io::reward_source& source : settings_->reward_sources) {
    e.reward_names.push_back(source.name);
  }
  e.sequence_offset_B1 = {0};
  for (const scored_sequence& one : sequences) {
    const finished_sequence& s = *one.sequence;
    e.sequence_id_B.push_back(s.sequence_id);
    e.prompt_id_B.push_back(s.prompt.prompt_id);
    e.source_B.push_back(s.prompt.source);
    e.token_N.insert(e.token_N.end(), s.prompt.tokens.begin(), s.prompt.tokens.end());
    e.token_N.insert(e.token_N.end(), s.answer.begin(), s.answer.end());
    e.sequence_offset_B1.push_back(static_cast<int64_t>(e.token_N.size()));
    e.finished_B.push_back(s.finished ? 1 : 0);
    const std::vector<float>& raw = one.scores.at(scorer::reward)->values;
    e.reward_raw_BS.insert(e.reward_raw_BS.end(), raw.begin(), raw.end());
    if (settings_->job.experience.text) {
      e.prompt_text_B.push_back(settings_->tokens->decode(s.prompt.tokens, true));
      e.answer_text_B.push_back(settings_->tokens->decode(s.answer, true));
    }
  }
  e.answer_offset_B1 = arrays_.answer_offset_B1;
  e.logprob_old_A = arrays_.logprob_old_A;
  e.logprob_ref_A = arrays_.logprob_ref_A;
  e.value_A = arrays_.value_A;
  e.reward_shaped_A = arrays_.reward_A;
  e.advantage_A = arrays_.advantage_A;
  return e;
}

void replay_state::write(const rollout& sequences, const assemble_command& command, bool finite) const {
  const io::attempt_fence fence = settings_->run.fence(static_cast<int64_t>(settings_->attempt));
  const auto path = settings_->run.root() / command.keep;
  std::filesystem::create_directories(path.parent_path());
  io::experience e = file_contents(sequences, command);
  if (finite) {
    io::write_experience(path, e, &fence);
    return;
  }
  e.reward_shaped_A.resize(e.logprob_old_A.size());
  e.advantage_A.resize(e.logprob_old_A.size());
  io::write_experience_unchecked(path, e, &fence);
}

train_reply replay_state::make_pairs() {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "make pairs");
  const stopwatch watch;
  const rollout sequences = take_rollout();
  std::vector<uint64_t> prompts;
  std::vector<float> rewards;
  train_reply reply;
  for (const scored_sequence& one : sequences) {
    prompts.push_back(prompt_key_of(one.sequence->sequence_id));
    rewards.push_back(total_reward(one));
    reply.tokens += static_cast<int64_t>(one.sequence->answer.size());
  }
  pairs_.clear();
  engine::moments margins;
  for (const engine::preference& pair : engine::choose_preferences(prompts, rewards, settings_->job.pairs.margin)) {
    const auto c = static_cast<size_t>(pair.chosen);
    const auto r = static_cast<size_t>(pair.rejected);
    const io::tokenizer& tokens = *settings_->tokens;
    pairs_.push_back({.prompt = tokens.decode(sequences[c].sequence->prompt.tokens, true),
                      .chosen = tokens.decode(sequences[c].sequence->answer, true),
                      .rejected = tokens.decode(sequences[r].sequence->answer, true),
                      .chosen_reward = static_cast<double>(rewards[c]),
                      .rejected_reward = static_cast<double>(rewards[r])});
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

/// The sequences of minibatch `index` of an epoch: a slice of a permutation that depends on (seed, iteration, epoch).
static std::vector<int64_t> minibatch_order(const io::job& job, const minibatch_command& command, int64_t sequences) {
  const random_key key{.seed = job.run.seed,
                       .stream = command.iteration << 16 | command.epoch,
                       .purpose = random_purpose::minibatch_order};
  const std::vector<int64_t> all = random_permutation(key, sequences);
  const auto parts = static_cast<uint64_t>(job.ppo.minibatches);
  const auto n = static_cast<uint64_t>(sequences);
  std::vector<int64_t> chosen(all.begin() + static_cast<int64_t>(command.index * n / parts),
                              all.begin() + static_cast<int64_t>((command.index + 1) * n / parts));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

minibatch::part replay_state::make_part(const engine::packed_batch& packed, const std::vector<int64_t>& order,
                                        int64_t first, const engine::answer_counts& counts) const {
  minibatch::part part;
  part.packed = packed;
  std::vector<int64_t> offset_B1 = {0};
  std::vector<uint8_t> counted;
  for (int64_t i = 0; i < packed.sequences(); ++i) {
    const auto b = static_cast<size_t>(order[static_cast<size_t>(first + i)]);
    const auto from = arrays_.answer_offset_B1[b];
    const auto to = arrays_.answer_offset_B1[b + 1];
    const auto append = [&](auto& target, const auto& source) {
      target.insert(target.end(), source.begin() + from, source.begin() + to);
    };
    append(part.logprob_old_A, arrays_.logprob_old_A);
    append(part.logprob_ref_A, arrays_.logprob_ref_A);
    append(part.value_old_A, arrays_.value_A);
    append(part.advantage_A, arrays_.learned_advantage_A);
    append(part.return_A, arrays_.return_A);
    append(counted, arrays_.counts_A);
    offset_B1.push_back(static_cast<int64_t>(part.logprob_old_A.size()));
  }
  part.weight_A = engine::answer_weights(loss_mean_of(settings_->job.ppo), counts, offset_B1, counted);
  return part;
}

serve_reply replay_state::serve(const minibatch_command& command) {
  const operation_scope scope(settings_->on->pulse_of(role::replay), "serve a minibatch");
  if (command.iteration != assembled_iteration_ || assembled_.empty()) {
    throw error(errc::bad_argument, "iteration {} has not been assembled", command.iteration);
  }
  const auto order = minibatch_order(settings_->job, command, static_cast<int64_t>(assembled_.size()));
  engine::packed_batch whole;
  std::vector<int64_t> offset_B1 = {0};
  std::vector<uint8_t> counted;
  for (const int64_t b : order) {
    const finished_sequence& one = *assembled_[static_cast<size_t>(b)].sequence;
    whole.add(one.prompt.tokens, one.answer);
    const auto from = arrays_.answer_offset_B1[static_cast<size_t>(b)];
    const auto to = arrays_.answer_offset_B1[static_cast<size_t>(b) + 1];
    counted.insert(counted.end(), arrays_.counts_A.begin() + from, arrays_.counts_A.begin() + to);
    offset_B1.push_back(static_cast<int64_t>(counted.size()));
  }
  const engine::answer_counts counts = engine::count_answers(offset_B1, counted);
  auto batch = std::make_shared<minibatch>();
  batch->id = command.epoch << 32 | command.index;
  batch->fresh = command.epoch == 0 && command.index == 0;
  int64_t first = 0;
  for (const engine::packed_batch& packed : split_into_micro_batches(
           whole, {.token_budget = settings_->job.ppo.micro_batch_tokens, .shares = settings_->shares})) {
    batch->parts.push_back(make_part(packed, order, first, counts));
    first += packed.sequences();
  }
  const serve_reply reply{.batch_id = batch->id,
                          .sequences = whole.sequences(),
                          .tokens = whole.tokens(),
                          .loss_terms = static_cast<int64_t>(counts.tokens)};
  send_to(company_.policy, minibatch_handle{batch});
  send_to(company_.critic, minibatch_handle{batch});
  return reply;
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
