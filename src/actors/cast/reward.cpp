#include "actors/cast/reward.hpp"

#include "actors/models/options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "engine/train/accumulate.hpp"
#include "engine/train/evaluate.hpp"
#include "engine/train/scoring.hpp"
#include "io/rewards/answer_reward.hpp"

#include <map>

namespace troupe::actors {

void reward_state::open(reward_settings settings) {
  settings_ = std::move(settings);
  workspace_ = std::make_unique<engine::train_workspace>(settings_.job.run.activation_checkpointing);
}

static double measure_of(const io::valence& valence, io::valence_measure measure) {
  switch (measure) {
  case io::valence_measure::sum:
    return valence.sum;
  case io::valence_measure::normalised:
    return valence.normalised;
  case io::valence_measure::per_hundred_words:
    return valence.per_hundred_words;
  }
  return 0;
}

std::vector<float> reward_state::judge(const reward_judge& by, const engine::weights_view& weights,
                                       std::span<const sequence_handle> sequences, const engine::packed_batch& batch) {
  if (by.source.kind == io::reward_kind::model) {
    return engine::end_scores(settings_.on->ctx, by.of->net, weights, batch);
  }
  std::vector<float> rewards;
  for (const sequence_handle& one : sequences) {
    const std::string text = settings_.tokens->decode(one->answer, true);
    const double reward = by.source.kind == io::reward_kind::lexicon
                              ? measure_of(by.words.score(text), by.source.measure)
                              : io::answer_reward(text, one->prompt.reference, by.source.last_number);
    rewards.push_back(static_cast<float>(reward));
  }
  return rewards;
}

void reward_state::send_verdicts(std::span<const std::vector<float>> by_judge, std::span<const sequence_handle> taken) {
  for (size_t b = 0; b < taken.size(); ++b) {
    auto scores = std::make_shared<sequence_scores>();
    scores->sequence_id = taken[b]->sequence_id;
    scores->by = scorer::reward;
    for (const auto& rewards : by_judge) {
      scores->values.push_back(rewards[b]);
    }
    caf::anon_send(settings_.replay, scores_handle{std::move(scores)});
  }
}

score_reply reward_state::score() {
  const operation_scope scope(settings_.on->pulse_of(role::reward), "reward scoring");
  std::vector<std::unique_ptr<engine::gathered_weights>> weights;  // by judge; null where it has none
  engine::communicator_ptr group;
  for (const reward_judge& one : settings_.judges) {
    weights.push_back(one.of ? std::make_unique<engine::gathered_weights>(one.of->weights) : nullptr);
    group = one.of && one.of->weights.sharded() ? one.of->weights.group() : group;
  }
  return score_waiting(queue_, scope, settings_.job.ppo.micro_batch_tokens, group,
                       [&](std::span<const sequence_handle> taken, const engine::packed_batch& batch) {
                         std::vector<std::vector<float>> by_judge;
                         for (size_t i = 0; i < weights.size(); ++i) {
                           const auto view = weights[i] ? weights[i]->view() : engine::weights_view(nullptr);
                           by_judge.push_back(judge(settings_.judges[i], view, taken, batch));
                         }
                         send_verdicts(by_judge, taken);
                       });
}

train_reply reward_state::train(const train_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::reward), "reward gradients");
  const stopwatch watch;
  const batch_handle batch = batches_.take(command.batch_id);
  model& m = *settings_.trained->of;
  const engine::pair_settings loss = pair_loss_of(settings_.job.reward);
  engine::gathered_weights weights(m.weights);
  int64_t tokens = 0;
  const auto by_part = engine::accumulate<engine::pair_statistics>(
      settings_.on->ctx, *settings_.trained->learner, static_cast<int64_t>(batch->micro_batches.size()),
      {.net = m.net, .weights = weights.view(), .gradients = nullptr, .workspace = *workspace_},
      [&](int64_t j, const engine::trainee& to) {
        const engine::packed_batch& part = batch->micro_batches[static_cast<size_t>(j)];
        tokens += part.tokens();
        return engine::reward_micro_batch(settings_.on->ctx, to, part, loss, static_cast<double>(command.loss_terms));
      },
      [&scope] { scope.touch(); });
  engine::pair_statistics sums;
  for (const engine::pair_statistics& one : by_part) {
    sums.add(one);
  }
  return {.statistics = {{"reward/loss", sums.mean_loss()},
                         {"reward/accuracy", sums.accuracy()},
                         {"reward/margin", sums.mean_margin()},
                         {"reward/chosen_mean", sums.mean_chosen()},
                         {"reward/rejected_mean", sums.mean_rejected()}},
          .tokens = tokens,
          .seconds = watch.seconds()};
}

/// The scores of one pair, as a batch of its own, so that pairs can be counted by data set.
static engine::pair_statistics count_pair(const engine::pair_settings& loss, const engine::packed_batch& part,
                                          std::span<const float> score_N, size_t pair) {
  const auto first = part.offset_B1[2 * pair];
  const auto middle = part.offset_B1[2 * pair + 1];
  const auto last = part.offset_B1[2 * pair + 2];
  const int64_t offset_B1[] = {0, middle - first, last - first};
  const auto rows = [&](auto values) {
    return values.subspan(static_cast<size_t>(first), static_cast<size_t>(last - first));
  };
  engine::pair_loss_args args;
  args.score_N = rows(score_N);
  args.token_N = rows(std::span<const int32_t>(part.token_N));
  args.offset_B1 = offset_B1;
  return engine::pairwise_loss(loss, args);
}

static void report(const std::string& prefix, const engine::pair_statistics& sums, statistics& out) {
  out[prefix + "accuracy"] = sums.accuracy();
  out[prefix + "margin"] = sums.mean_margin();
  out[prefix + "chosen_mean"] = sums.mean_chosen();
  out[prefix + "rejected_mean"] = sums.mean_rejected();
  out[prefix + "loss"] = sums.mean_loss();
  out[prefix + "pairs"] = static_cast<double>(sums.pairs);
}

/// Each pair of a micro-batch.
static std::vector<engine::pair_statistics>
count_pairs(const engine::pair_settings& loss, const engine::packed_batch& part, std::span<const float> score_N) {
  std::vector<engine::pair_statistics> pairs;
  for (size_t pair = 0; pair < static_cast<size_t>(part.sequences() / 2); ++pair) {
    pairs.push_back(count_pair(loss, part, score_N, pair));
  }
  return pairs;
}

train_reply reward_state::evaluate(const train_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::reward), "held-out accuracy");
  const stopwatch watch;
  const batch_handle batch = batches_.take(command.batch_id);
  model& m = *settings_.trained->of;
  engine::gathered_weights weights(m.weights);
  const engine::pair_settings loss = pair_loss_of(settings_.job.reward);
  const auto by_part = engine::evaluate<engine::pair_statistics>(
      settings_.trained->learner->group().get(), batch->micro_batches, [&](const engine::packed_batch& part) {
        scope.touch();
        return count_pairs(loss, part, engine::row_scores(settings_.on->ctx, m.net, weights.view(), part));
      });
  std::map<uint16_t, engine::pair_statistics> by_source;
  engine::pair_statistics all;
  train_reply reply;
  for (size_t i = 0; i < by_part.size(); ++i) {
    for (size_t pair = 0; pair < by_part[i].size(); ++pair) {
      by_source[batch->sources[i][pair]].add(by_part[i][pair]);
      all.add(by_part[i][pair]);
    }
    reply.tokens += batch->micro_batches[i].tokens();
  }
  report("held_out/", all, reply.statistics);
  for (const auto& [source, sums] : by_source) {
    report("held_out/" + settings_.source_names[source] + "/", sums, reply.statistics);
  }
  reply.seconds = watch.seconds();
  return reply;
}

reward_actor::behavior_type reward(reward_actor::stateful_pointer<reward_state> self, reward_settings settings) {
  self->state.open(std::move(settings));
  return {
      [self](const batch_handle& batch) { self->state.keep(batch); },
      [self](const sequence_handle& sequence) { self->state.keep(sequence); },
      replying_errors([self](score_atom) { return self->state.score(); }),
      replying_errors([self](train_atom, const train_command& command) { return self->state.train(command); }),
      replying_errors([self](evaluate_atom, const train_command& command) { return self->state.evaluate(command); }),
  };
}

}  // namespace troupe::actors
