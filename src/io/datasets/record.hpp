/// What every data format becomes: a prompt and what may be said to it.
#pragma once

#include "io/chat/chat.hpp"
#include "io/job/job.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace troupe::io {

struct record {
  std::string prompt;
  std::string chosen;  ///< or the only answer
  std::string rejected;
  std::string reference;  ///< what a rule reward holds answers against; empty: nothing is known
  /// Of turns: the same texts as their template wrote them, by where their bytes came from.
  struct rendered_turns {
    jinja::text prompt;            ///< as a model is asked
    jinja::text before;            ///< what stands before the answers: nearly always the same
    jinja::text chosen, rejected;  ///< with the end of the turn, where the template writes one
  };
  std::optional<rendered_turns> rendered;
  bool has_answer = false;
  bool has_pair = false;
  int64_t source = 0;          ///< index of the data set
  int64_t line = 0;            ///< in its file
  uint64_t prompt_digest = 0;  ///< of the prompt as the model gets it (without one: of the answer)
};

/// What the set says of its chat template.
chat_settings chat_settings_of(const data_section& set);

/// Reads one line of JSON in the set's format. Field names, where the job gives no others:
///   text            text
///   prompt-answer   prompt, answer (may be absent: a prompt for rollouts)
///   pairs           prompt (may be absent: what chosen and rejected begin with in common), chosen, rejected
///   hh-dialogue     chosen, rejected: whole dialogues, whose prompt is the longest beginning that they share and that
///                   ends in "\n\nAssistant:"
///   conversations   conversations (or messages); chosen, rejected: optional. Without them the last turn is the answer,
///                   if it is the assistant's
///   instruction     instruction, input (optional), output
///   question-answer question, answer
///   auto            as prompt-answer: see recognise.hpp
/// In prompt-answer, pairs and conversations a prompt may be a list of turns, and an answer a turn or a list of turns:
/// a turn is {from, value} or {role, content}. Of a pair, chosen and rejected may hold the prompt's turns as well;
/// they must part at the assistant's last turn. A record with a tool's turn, a call of tools, or a turn without text
/// is refused. The reference is the field `reference` (a.b: the field b of the object a), by default the answer, if it
/// is a text. The prompt is put into prompt_template ("{prompt}"), answers into answer_template ("{answer}").
/// instruction and question-answer hold bare speech: their templates are by default
/// "\n\nHuman: {prompt}\n\nAssistant:" and " {answer}". Turns are rendered by
/// `format`, an answer as the assistant's next turn (an answer_template takes that turn's place); where the job names a
/// chat template, a prompt that is a text is the user's turn.
/// `where` is "file, line N".
/// Errors  bad_file with where, field and what was found.
record read_record(const std::string& json_line, const data_section& set, const std::string& where,
                   const chat_format& format);

}  // namespace troupe::io
