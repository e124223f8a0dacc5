#include "actors/cast/judging.hpp"

#include "base/assert.hpp"
#include "engine/train/scoring.hpp"
#include "io/rewards/answer_reward.hpp"

#include <string>

namespace troupe::actors {

static double measure_of(const io::valence& valence, io::valence_measure measure) {
  switch (measure) {
  case io::valence_measure::sum:
    return valence.sum;
  case io::valence_measure::normalised:
    return valence.normalised;
  case io::valence_measure::per_hundred_words:
    return valence.per_hundred_words;
  }
  assertion_failed("a measure of valence that is not counted", __FILE__, __LINE__);
}

/// What a rule says of an answer.
static double reward_of(const reward_judge& rule, const std::string& answer, const std::string& reference) {
  switch (rule.source.kind) {
  case io::reward_kind::lexicon:
    return measure_of(rule.words.score(answer), rule.source.measure);
  case io::reward_kind::answer:
    return io::answer_reward(answer, reference, rule.source.last_number);
  case io::reward_kind::model:
    break;
  }
  assertion_failed("a rule that is a model", __FILE__, __LINE__);
}

judging::judging(std::span<const reward_judge> judges, const io::tokenizer& tokens) : judges_(judges), tokens_(tokens) {
  for (const reward_judge& judge : judges) {
    weights_.push_back(judge.of ? std::make_unique<engine::gathered_weights>(judge.of->weights) : nullptr);
  }
}

engine::communicator_ptr judging::group() const {
  engine::communicator_ptr group;
  for (const reward_judge& judge : judges_) {
    if (judge.of && judge.of->weights.sharded()) {
      group = judge.of->weights.group();
    }
  }
  return group;
}

std::vector<float> judging::rewards_by(size_t judge, context& ctx, const scored_batch& batch) {
  const reward_judge& by = judges_[judge];
  if (by.source.kind == io::reward_kind::model) {
    return engine::end_scores(ctx, by.of->net, weights_[judge]->view(), batch.packed);
  }
  std::vector<float> rewards;
  for (const sequence_handle& sequence : batch.sequences) {
    const std::string answer = tokens_.decode(sequence->answer, true);
    rewards.push_back(static_cast<float>(reward_of(by, answer, sequence->prompt.reference)));
  }
  return rewards;
}

std::vector<std::vector<float>> judging::verdicts(context& ctx, const scored_batch& batch) {
  std::vector<std::vector<float>> by_sequence(batch.sequences.size());
  for (size_t judge = 0; judge < judges_.size(); ++judge) {
    const std::vector<float> rewards = rewards_by(judge, ctx, batch);
    for (size_t b = 0; b < by_sequence.size(); ++b) {
      by_sequence[b].push_back(rewards[b]);
    }
  }
  return by_sequence;
}

}  // namespace troupe::actors
