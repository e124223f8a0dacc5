#include "actors/cast/experience_record.hpp"

#include "base/digest.hpp"

namespace troupe::actors {

static void append(io::experience& record, const scored_sequence& scored) {
  const finished_sequence& sequence = *scored.sequence;
  record.sequence_id_B.push_back(sequence.sequence_id);
  record.prompt_id_B.push_back(sequence.prompt.prompt_id);
  record.source_B.push_back(sequence.prompt.source);
  record.token_N.insert(record.token_N.end(), sequence.prompt.tokens.begin(), sequence.prompt.tokens.end());
  record.token_N.insert(record.token_N.end(), sequence.answer.begin(), sequence.answer.end());
  record.sequence_offset_B1.push_back(static_cast<int64_t>(record.token_N.size()));
  record.finished_B.push_back(sequence.finished ? 1 : 0);
  const std::vector<float>& raw = scored.scores.at(scorer::reward)->values;
  record.reward_raw_BS.insert(record.reward_raw_BS.end(), raw.begin(), raw.end());
}

io::experience record_of(const experience_origin& origin, const assemble_command& command, const rollout& sequences,
                         const engine::rollout_arrays& arrays, const std::vector<io::reward_source>& rewards,
                         const io::tokenizer& tokens) {
  io::experience record;
  record.iteration = static_cast<int64_t>(command.iteration);
  record.policy_version = static_cast<int64_t>(command.policy_version);
  record.seed = origin.seed;
  record.temperature = origin.generation.temperature;
  record.top_k = origin.generation.top_k;
  record.top_p = origin.generation.top_p;
  record.job_digest = origin.job_digest;
  record.policy_digest = origin.policy_digest;
  record.tokenizer_digest = digest_text(tokens.digest());
  record.source_names = origin.source_names;
  for (const io::reward_source& source : rewards) {
    record.reward_names.push_back(source.name);
  }
  record.sequence_offset_B1 = {0};
  for (const scored_sequence& scored : sequences) {
    append(record, scored);
    if (origin.text) {
      record.prompt_text_B.push_back(tokens.decode(scored.sequence->prompt.tokens, true));
      record.answer_text_B.push_back(tokens.decode(scored.sequence->answer, true));
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
