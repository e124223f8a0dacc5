#include "actors/cast/judging.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "engine/train/scoring.hpp"
#include "io/datasets/joiner.hpp"
#include "io/rewards/answer_reward.hpp"

#include <algorithm>
#include <cmath>
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
  case io::reward_kind::command:
    break;
  }
  assertion_failed("a judge that is no rule", __FILE__, __LINE__);
}

bool may_be_unscorable(io::reward_kind kind) {
  return kind == io::reward_kind::command || kind == io::reward_kind::answer;
}

void require_scored(const io::reward_source& source, std::span<const float> raw) {
  const auto missing = std::count_if(raw.begin(), raw.end(), [](float reward) { return std::isnan(reward); });
  const auto answers = static_cast<double>(raw.size());
  if (missing == 0 || (static_cast<double>(missing) <= std::ceil(source.max_unscorable * answers) &&
                       static_cast<double>(missing) < answers)) {
    return;
  }
  const char* reason = source.kind == io::reward_kind::answer
                           ? "their data set's own answers have no number (`troupe data` names the lines)"
                           : "the program said null or failed, as the log says";
  throw error(errc::bad_argument,
              "rewards.{}: {} of {} answers could not be scored: {}. rewards.{}.max-unscorable = {:g} allows {:g} %: "
              "mend what keeps them from it, or raise that",
              source.name, missing, raw.size(), reason, source.name, source.max_unscorable,
              100 * source.max_unscorable);
}

judging::judging(context& ctx, std::span<const reward_judge> judges, const io::tokenizer& tokens,
                 std::span<const std::string> source_names)
    : ctx_(ctx), judges_(judges), tokens_(tokens), source_names_(source_names) {
  for (const reward_judge& judge : judges) {
    weights_.push_back(
        judge.of ? std::make_unique<engine::weights_in_use>(ctx, judge.of->weights, judge.of->on_card.get()) : nullptr);
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

io::answer_item judging::item_of(const finished_sequence& sequence) const {
  const size_t source = sequence.prompt.source;
  return {.prompt = tokens_.decode(sequence.prompt.tokens, true),
          .answer = io::answer_text(tokens_, sequence.prompt.tokens, sequence.answer),
          .label = sequence.prompt.reference,
          .source = source < source_names_.size() ? source_names_[source] : "",
          .finished = sequence.finished};
}

std::vector<float> judging::rewards_by_program(io::command_reward& program, const scored_batch& batch) const {
  std::vector<io::answer_item> items;
  for (const sequence_handle& sequence : batch.sequences) {
    items.push_back(item_of(*sequence));
  }
  return program.score(items);
}

std::vector<float> judging::rewards_by(size_t judge, const scored_batch& batch) {
  const reward_judge& by = judges_[judge];
  if (by.source.kind == io::reward_kind::model) {
    return engine::end_scores(ctx_, by.of->net, weights_[judge]->view(), batch.packed);
  }
  if (by.program) {
    return rewards_by_program(*by.program, batch);
  }
  std::vector<float> rewards;
  for (const sequence_handle& sequence : batch.sequences) {
    const std::string answer = io::answer_text(tokens_, sequence->prompt.tokens, sequence->answer);
    rewards.push_back(static_cast<float>(reward_of(by, answer, sequence->prompt.reference)));
  }
  return rewards;
}

std::vector<std::vector<float>> judging::verdicts(const scored_batch& batch) {
  std::vector<std::vector<float>> by_sequence(batch.sequences.size());
  for (size_t judge = 0; judge < judges_.size(); ++judge) {
    const std::vector<float> rewards = rewards_by(judge, batch);
    for (size_t b = 0; b < by_sequence.size(); ++b) {
      by_sequence[b].push_back(rewards[b]);
    }
  }
  return by_sequence;
}

}  // namespace troupe::actors
