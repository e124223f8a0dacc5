/// Tokenised examples, within the job's length limits; and all the data of a phase.
#pragma once

#include "io/datasets/record.hpp"
#include "io/datasets/split.hpp"

#include <functional>
#include <optional>

namespace troupe::io {

/// Text to ids without special tokens. `starts`: the text begins the sequence (SentencePiece puts a
/// space there).
using text_encoder = std::function<std::vector<int32_t>(std::string_view text, bool starts)>;

struct example {
  std::vector<int32_t> prompt;  ///< start tokens included
  std::vector<int32_t> chosen;  ///< or the only answer; end token included
  std::vector<int32_t> rejected;
  std::string reference;  ///< pairs, ppo: the record's own answer, for rule rewards; may be empty
  int64_t source = 0;
  int64_t line = 0;
  uint64_t prompt_digest = 0;
};

struct example_rules {
  text_encoder encode;
  text_encoder encode_chat;    ///< prompts of sets with a chat template: recognises special tokens;
                               ///< `start` is not added
  std::vector<int32_t> start;  ///< put before the prompt, never truncated: BOS
  std::optional<int32_t> end;  ///< appended to answers where the set says so: EOS
  length_section length;
};

/// What became of a source's records. `records` is the sum of all but `truncated`.
struct source_report {
  std::string name;
  int64_t records = 0;
  int64_t kept = 0;  ///< `truncated` of them shortened
  int64_t truncated = 0;
  int64_t too_long = 0;     ///< dropped
  int64_t empty = 0;        ///< dropped: no prompt token where one is needed, an empty answer, a pair of equals
  int64_t unusable = 0;     ///< the phase needs an answer or a pair that the record has not
  int64_t other_use = 0;    ///< belongs to another phase or the held-out part
  int64_t conflicting = 0;  ///< another set claimed the prompt for a phase that this set does not serve
};

/// Tokenises what the phase needs (pairs, ppo: the prompt; sft: and the answer; reward: and both
/// answers), or counts in `report` why not. A prompt too long is cut at its beginning (start tokens
/// stay), an answer at its end (and then has no end token).
std::optional<example> make_example(const record& record, phase wanted, const data_section& set,
                                    const example_rules& rules, source_report& report);

struct phase_data {
  std::vector<std::string> source_names;       ///< of every [data.NAME], in the job's order; then "pairs"
  std::vector<std::vector<example>> training;  ///< per source
  std::vector<std::vector<example>> held_out;  ///< per source
  std::vector<source_report> reports;          ///< per source
  uint64_t digest = 0;                         ///< of every example kept, in order
};

/// All examples of a phase. `made_pairs`: the file that the run's pairs phase wrote (format pairs),
/// or empty. The pairs phase itself gets the prompts of the phases that train on pairs, and the
/// held-out ones, as `training`.
/// Errors  of the readers; bad_argument when nothing is left to train on: the text says where the records went.
phase_data load_phase_data(const job& job, phase wanted, const example_rules& rules,
                           const std::string& made_pairs = "");

/// One line a source: "stories: 1000 records, 640 kept (3 truncated), 7 too long, …".
std::string describe(const source_report& report);

}  // namespace troupe::io
