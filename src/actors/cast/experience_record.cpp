#include "actors/cast/experience_record.hpp"

#include "base/digest.hpp"
#include "io/datasets/joiner.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::actors {

static void append(io::experience& record, const scored_sequence& scored) {
  const finished_sequence& sequence = *scored.sequence;
  record.sequence_id_B.push_back(sequence.sequence_id);
  record.prompt_id_B.push_back(sequence.prompt.prompt_id);
  record.group_B.push_back(prompt_key_of(sequence.sequence_id));
  record.source_B.push_back(sequence.prompt.source);
  record.token_N.insert(record.token_N.end(), sequence.prompt.tokens.begin(), sequence.prompt.tokens.end());
  record.token_N.insert(record.token_N.end(), sequence.answer.begin(), sequence.answer.end());
  record.sequence_offset_B1.push_back(static_cast<int64_t>(record.token_N.size()));
  record.finished_B.push_back(sequence.finished ? 1 : 0);
  const std::vector<float>& raw = scored.scores.at(scorer::reward)->values;
  record.reward_raw_BS.insert(record.reward_raw_BS.end(), raw.begin(), raw.end());
}

static void append_texts(io::experience& record, const finished_sequence& sequence, const io::tokenizer& tokens) {
  record.prompt_text_B.push_back(tokens.decode(sequence.prompt.tokens, true));
  record.answer_text_B.push_back(io::answer_text(tokens, sequence.prompt.tokens, sequence.answer));
}

/// Only of rules that compare with them, or may: a record's own answer may be long.
static bool labels_matter(const std::vector<io::reward_source>& rewards) {
  return std::any_of(rewards.begin(), rewards.end(), [](const io::reward_source& source) {
    return source.kind == io::reward_kind::answer || source.kind == io::reward_kind::command;
  });
}

io::shaping_state shaping_of(const assemble_command& command) {
  return {.kl_coefficient = command.kl_coefficient,
          .scale_count = std::llround(statistic(command.reward_scale, "count")),
          .scale_mean = statistic(command.reward_scale, "mean"),
          .scale_squares = statistic(command.reward_scale, "squares"),
          .rollbacks = static_cast<int64_t>(command.rollbacks)};
}

static void describe(io::experience& record, const experience_origin& origin, const assemble_command& command) {
  record.iteration = static_cast<int64_t>(command.iteration);
  record.policy_version = static_cast<int64_t>(command.policy_version);
  record.seed = origin.seed;
  record.temperature = origin.generation.temperature;
  record.top_k = origin.generation.top_k;
  record.top_p = origin.generation.top_p;
  record.min_p = origin.generation.min_p;
  record.repetition_penalty = origin.generation.repetition_penalty;
  record.job_digest = origin.job_digest;
  record.policy_digest = origin.policy_digest;
  record.reference_digest = origin.reference_digest;
  record.critic_digest = origin.critic_digest;
  record.source_names = origin.source_names;
  record.shaping = shaping_of(command);
}

io::experience record_of(const experience_origin& origin, const assemble_command& command, const rollout& sequences,
                         const engine::rollout_arrays& arrays, const std::vector<io::reward_source>& rewards,
                         const io::tokenizer& tokens) {
  io::experience record;
  describe(record, origin, command);
  record.tokenizer_digest = digest_text(tokens.digest());
  for (const io::reward_source& source : rewards) {
    record.reward_names.push_back(source.name);
    record.reward_weight_S.push_back(source.weight);
  }
  record.sequence_offset_B1 = {0};
  for (const scored_sequence& scored : sequences) {
    append(record, scored);
    if (origin.text) {
      append_texts(record, *scored.sequence, tokens);
    }
    if (origin.text && labels_matter(rewards)) {
      record.label_text_B.push_back(scored.sequence->prompt.reference);
    }
  }
  record.answer_offset_B1 = arrays.answer_offset_B1;
  record.logprob_old_A = arrays.logprob_old_A;
  record.logprob_ref_A = arrays.logprob_ref_A;
  record.value_A = arrays.value_A;
  record.reward_shaped_A = arrays.reward_A;
  record.advantage_A = arrays.advantage_A;
  return record;
}

}  // namespace troupe::actors
