/// Tokenised examples, within the job's length limits; and all the data of a phase.
#pragma once

#include "io/datasets/blend.hpp"
#include "io/datasets/joiner.hpp"
#include "io/datasets/record_reader.hpp"
#include "io/datasets/split.hpp"
#include "io/datasets/stored_answers.hpp"
#include "io/experience/pairs_file.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace troupe::io {

struct example {
  std::vector<int32_t> prompt;  ///< start tokens included
  std::vector<int32_t> chosen;  ///< or the only answer; end token included
  std::vector<int32_t> rejected;
  std::string reference;  ///< pairs, ppo: the record's own answer, for rule rewards; may be empty
  int64_t source = 0;
  int64_t line = 0;
  uint64_t prompt_digest = 0;
  double weight = 1;  ///< sft: of its loss, among those of its batch
};

struct example_rules {
  text_joiner texts;
  text_joiner chats;           ///< of turns: special tokens are those that the template writes
  std::vector<int32_t> start;  ///< put before a prompt (of turns: one whose format writes no special token): BOS
  std::optional<int32_t> end;  ///< appended to answers where the set says so: EOS
  length_section length;
  std::function<chat_format(const data_section&)> format_of;  ///< how the set's turns are written
  /// For turns: tells the end of a turn, and counts special tokens that the data spell out. Null: neither is looked at.
  std::shared_ptr<const tokenizer> tokens = {};
  std::shared_ptr<const special_token_counter> spelled = {};
};

/// What became of a source's records (of stored experience: answers, or pairs). `records` is the sum of all but
/// `truncated` and `spelled`.
struct source_report {
  std::string name;
  int64_t records = 0;  ///< of the set, if the phase uses it
  int64_t kept = 0;     ///< to train on
  int64_t held_out = 0;
  int64_t truncated = 0;    ///< shortened, of those kept or held out
  int64_t too_long = 0;     ///< dropped
  int64_t empty = 0;        ///< dropped: no prompt token where one is needed, an empty answer, a pair of equals
  int64_t lacking = 0;      ///< the phase needs an answer or a pair that the record has not
  int64_t other_use = 0;    ///< belongs to another phase
  int64_t conflicting = 0;  ///< another set claimed the prompt for a phase that this set does not serve
  int64_t unusable = 0;     ///< left out in every phase: see record_reader.hpp
  stored_counts stored;     ///< of a set of stored experience: what was chosen of it, before anything else
  double chosen_tokens = 0, rejected_tokens = 0;  ///< mean lengths of kept pairs of experience
  int64_t spelled = 0;                            ///< special tokens that turns spell out: they are taken for text
  std::vector<std::string> examples;              ///< of these: "line N: reason"
  /// Of what was left out for other reasons: the lines of the first few, by reason.
  std::map<std::string, std::vector<int64_t>> lines = {};
  double share = 0;  ///< of an epoch's examples
};

/// Records that were left out for one reason.
struct left_out {
  const char* reason;
  int64_t count = 0;
  std::vector<int64_t> lines;  ///< of the first few
};

/// By reason; those that cannot be used in any phase are apart.
std::vector<left_out> left_out_of(const source_report& report);

/// Stored answers that were not taken: how many, and why.
std::vector<std::pair<int64_t, const char*>> passed_over(const stored_counts& counts);

/// Tokenises what the phase needs (pairs, ppo: the prompt; sft: and the answer; reward: and both
/// answers), or counts in `report` why not. A prompt too long is cut at its beginning (start tokens
/// stay), an answer at its end (and then has no end token).
std::optional<example> make_example(const record& record, phase wanted, const data_section& set,
                                    const example_rules& rules, source_report& report);

/// The same of a pair that the run made: its ids are those that were sampled, an end token only where one was.
std::optional<example> make_example(const made_pair& pair, int64_t line, phase wanted, const length_section& length,
                                    source_report& report);

struct phase_data {
  std::vector<std::string> source_names;       ///< of every [data.NAME], in the job's order; then "pairs"
  std::vector<std::vector<example>> training;  ///< per source
  std::vector<std::vector<example>> held_out;  ///< per source
  std::vector<source_report> reports;          ///< per source
  uint64_t digest = 0;                         ///< of every example kept, in order
  bool made_pairs = false;                     ///< some of them are ids of the policy's own samples
};

/// All examples of a phase. `made_pairs`: the file that the run's pairs phase wrote (pairs_file.hpp), or empty; a pair
/// belongs to the phase, or the held-out part, of its prompt. The pairs phase itself gets the prompts of the phases
/// that train on pairs, and the held-out ones, as `training`.
/// Errors  of the readers and of require_usable; bad_argument when nothing is left to train on: the text says where the
///         records went.
phase_data load_phase_data(const job& job, phase wanted, const example_rules& rules,
                           const std::string& made_pairs = "");

/// The same, but nothing may be left to train on.
phase_data read_phase_data(const job& job, phase wanted, const example_rules& rules,
                           const std::string& made_pairs = "");

/// What a phase's order of examples is drawn from; the last source is that of made pairs, where there is one.
std::vector<blend_source> sources_of(const phase_data& data, const job& job);

/// One line a source: "stories: 1000 records, 640 kept (3 truncated), 62.5 % of an epoch, 7 too long, …", and one for
/// each example of what cannot be used.
std::string describe(const source_report& report);

}  // namespace troupe::io
