#include "actors/cast/reward.hpp"

#include "actors/protocol/error_replies.hpp"
#include "engine/train/scoring.hpp"

#include <map>
#include <utility>

namespace troupe::actors {

void reward_state::open(reward_settings settings) {
  settings_ = std::move(settings);
  scorer_.emplace(sequence_scorer_settings{.on = settings_.on,
                                           .as = role::reward,
                                           .by = scorer::reward,
                                           .micro_batch_tokens = settings_.micro_batch_tokens,
                                           .replay = settings_.replay});
  trainer_.emplace(trainer_settings{.on = settings_.on,
                                    .as = role::reward,
                                    .trained = settings_.trained,
                                    .activation_checkpointing = settings_.activation_checkpointing});
}

score_reply reward_state::score() {
  judging judges(settings_.on->ctx, settings_.judges, *settings_.tokens, settings_.source_names);
  return scorer_->score("reward scoring", judges.group(),
                        [&](context&, const scored_batch& batch) { return judges.verdicts(batch); });
}

train_reply reward_state::train(const train_command& command) {
  const batch_handle batch = pairs_.take(command.batch_id);
  const auto learned = trainer_->accumulate<engine::pair_statistics>(
      "reward gradients", list_of(batch->micro_batches), [&](context& ctx, const engine::trainee& to, size_t index) {
        return engine::reward_micro_batch(ctx, to, batch->micro_batches[index], settings_.loss,
                                          static_cast<double>(command.loss_terms));
      });
  const engine::pair_statistics& sums = learned.sums;
  return learned.reply({{"reward/loss", sums.mean_loss()},
                        {"reward/accuracy", sums.accuracy()},
                        {"reward/margin", sums.mean_margin()},
                        {"reward/chosen_mean", sums.mean_chosen()},
                        {"reward/rejected_mean", sums.mean_rejected()}});
}

namespace {

/// The scores of one pair, as a batch of its own, so that pairs can be counted by data set.
engine::pair_statistics count_pair(const engine::pair_settings& loss, const engine::packed_batch& batch,
                                   std::span<const float> score_N, size_t pair) {
  const auto first = batch.offset_B1[2 * pair];
  const auto middle = batch.offset_B1[2 * pair + 1];
  const auto last = batch.offset_B1[2 * pair + 2];
  const int64_t offset_B1[] = {0, middle - first, last - first};
  const auto rows = [&](auto values) {
    return values.subspan(static_cast<size_t>(first), static_cast<size_t>(last - first));
  };
  engine::pair_loss_args args;
  args.score_N = rows(score_N);
  args.token_N = rows(std::span<const int32_t>(batch.token_N));
  args.offset_B1 = offset_B1;
  return engine::pairwise_loss(loss, args);
}

/// Each pair of a batch.
std::vector<engine::pair_statistics> count_pairs(const engine::pair_settings& loss, const engine::packed_batch& batch,
                                                 std::span<const float> score_N) {
  std::vector<engine::pair_statistics> pairs;
  for (size_t pair = 0; pair < static_cast<size_t>(batch.sequences() / 2); ++pair) {
    pairs.push_back(count_pair(loss, batch, score_N, pair));
  }
  return pairs;
}

void add_named(const std::string& prefix, const engine::pair_statistics& sums, statistics& to) {
  to[prefix + "accuracy"] = sums.accuracy();
  to[prefix + "margin"] = sums.mean_margin();
  to[prefix + "chosen_mean"] = sums.mean_chosen();
  to[prefix + "rejected_mean"] = sums.mean_rejected();
  to[prefix + "loss"] = sums.mean_loss();
  to[prefix + "pairs"] = static_cast<double>(sums.pairs);
}

}  // namespace

train_reply reward_state::evaluate(const train_command& command) {
  const batch_handle batch = pairs_.take(command.batch_id);
  const auto found = trainer_->evaluate<engine::pair_statistics>(
      "held-out accuracy", batch->micro_batches,
      [this](context& ctx, const engine::transformer& net, const engine::weights_view& weights,
             const engine::packed_batch& part) {
        return count_pairs(settings_.loss, part, engine::row_scores(ctx, net, weights, part));
      });
  std::map<uint16_t, engine::pair_statistics> by_source;
  engine::pair_statistics all;
  train_reply reply{.seconds = found.seconds};
  for (size_t i = 0; i < found.by_batch.size(); ++i) {
    for (size_t pair = 0; pair < found.by_batch[i].size(); ++pair) {
      by_source[batch->sources[i][pair]].add(found.by_batch[i][pair]);
      all.add(found.by_batch[i][pair]);
    }
    reply.tokens += batch->micro_batches[i].tokens();
  }
  add_named("held_out/", all, reply.statistics);
  for (const auto& [source, sums] : by_source) {
    add_named("held_out/" + settings_.source_names[source] + "/", sums, reply.statistics);
  }
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
