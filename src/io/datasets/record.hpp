/// What every data format becomes: a prompt and what may be said to it.
#pragma once

#include "io/job/job.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::io {

struct record {
  std::string prompt;
  std::string chosen;  ///< or the only answer
  std::string rejected;
  bool has_answer = false;
  bool has_pair = false;
  int64_t source = 0;          ///< index of the data set
  int64_t line = 0;            ///< in its file
  uint64_t prompt_digest = 0;  ///< of the prompt as the model gets it (without one: of the answer)
};

/// Reads one line of JSON in the set's format. Field names, where the job gives no others:
///   text            text
///   prompt-answer   prompt, answer (may be absent: a prompt for rollouts)
///   pairs           prompt, chosen, rejected
///   hh-dialogue     chosen, rejected: whole dialogues, whose prompt is the longest beginning
///                   that they share and that ends in "\n\nAssistant:"
///   conversations   conversations (or messages): list of {from, value} or {role, content};
///                   chosen, rejected: one such turn or a text, optional. Without them the last
///                   turn is the answer, if it is the assistant's
///   instruction     instruction, input (optional), output
///   question-answer question, answer
/// The prompt is put into prompt_template ("{prompt}"), answers into answer_template ("{answer}").
/// instruction and question-answer hold bare speech: their templates are by default
/// "\n\nHuman: {prompt}\n\nAssistant:" and " {answer}". Conversations are rendered by
/// chat_template (tokenizer/chat.hpp), by default "dialogue", with " {answer}" after it.
/// `where` is "file, line N".
/// Errors  bad_file with where, field and what was found.
record read_record(const std::string& json_line, const data_section& set, const std::string& where);

}  // namespace troupe::io
