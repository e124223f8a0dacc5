/// Rollouts as JSON lines: an answer a line (in trl-preference a pair), in our own form and in those of verl,
/// open-instruct and TRL. docs/experience.md has the fields of each.
#pragma once

#include "io/experience/experience.hpp"
#include "io/json/jsonl_filter.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

enum class exchange_format {
  troupe,                 ///< everything: text, tokens, log-probs, rewards by source, group
  verl,                   ///< rollout_data_dir: input, output, gts, score, step, further numbers
  open_instruct,          ///< tokens, log-probs, reward, advantage
  trl_prompt_completion,  ///< prompt, completion
  trl_preference,         ///< prompt, chosen, rejected
  trl_unpaired            ///< prompt, completion, label (a boolean)
};

std::string_view to_string(exchange_format format);
/// "troupe, verl, open-instruct, ...", for help and refusals.
std::string exchange_format_words();
/// Errors  bad_argument: none of the words.
exchange_format exchange_format_named(std::string_view word);

// Out.

struct export_settings {
  exchange_format format = exchange_format::troupe;
  std::optional<double> threshold;  ///< trl-unpaired: scores from here on are good; none: all scores must be 0 or 1
  double margin = 0;                ///< trl-preference: the best and the worst of a group differ by more
};

struct export_report {
  int64_t lines = 0;
  int64_t left_out = 0;                            ///< answers that are in no line
  int64_t chosen_tokens = 0, rejected_tokens = 0;  ///< trl-preference: answer tokens in all
  bool operator==(const export_report&) const = default;
};

/// Hands the lines of `e` to `out`, each with its newline, in the order of the sequences, and adds to `report`.
/// Errors  unsupported: the format needs what is not there, and says what; bad_argument: a threshold is needed.
void export_lines(const experience& e, const export_settings& settings, export_report& report,
                  const std::function<void(const std::string& line)>& out);

// In.

/// How texts become tokens.
struct import_tokens {
  std::string prompt_text, answer_text;
  std::vector<int32_t> prompt, answer;
};

struct import_settings {
  exchange_format format = exchange_format::troupe;
  double temperature = 1;        ///< that log-probabilities are of, where the lines do not say
  std::string tokenizer_digest;  ///< of `tokenise`; empty: none
  int64_t vocabulary = 0;        ///< ids are below this; 0: not known
  /// `prompt` and `answer` are texts, or lists of turns. Empty: the lines have to bring tokens.
  std::function<import_tokens(const json_line& prompt, const json_line& answer, bool finished)> tokenise;
};

/// Reads lines into experience, one for each step.
class experience_import {
public:
  /// Errors  bad_argument: the temperature is no number from 0 on.
  explicit experience_import(import_settings settings);
  ~experience_import();
  experience_import(experience_import&&) noexcept;
  experience_import& operator=(experience_import&&) = delete;

  /// Errors  bad_argument: a field is missing or of another type; lines of one step contradict each other; a group has
  ///         two prompts, or a prompt no token; text without a tokenizer, or tokens of another one. unsupported: a mask
  ///         within an answer.
  void add(const json_line& line);

  /// Answers that were aborted, and so are no answers.
  int64_t left_out() const;

  /// By step. Valid (validate()); the import is empty afterwards.
  std::vector<experience> finish();

private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe::io
