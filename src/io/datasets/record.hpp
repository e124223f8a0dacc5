/// What every data format becomes: a prompt and what may be said to it.
#pragma once

#include "io/job.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace troupe::io {

struct chat_message {
  std::string role; ///< "system", "user", "assistant"
  std::string text;
};

/// A conversation as the prompt of the next assistant turn. The default writes Anthropic's plain
/// form:
/// "\n\nHuman: …\n\nAssistant: …" and ends with "\n\nAssistant:".
using chat_renderer = std::function<std::string(const std::vector<chat_message>&)>;

struct record {
  std::string prompt;
  std::string chosen; ///< or the only answer
  std::string rejected;
  bool has_answer = false;
  bool has_pair = false;
  int64_t source = 0; ///< index of the data set
  int64_t line = 0;   ///< in its file
  uint64_t prompt_digest =
      0; ///< of the prompt's content (of the whole text where the prompt is empty)
};

/// Reads one line of JSON in the set's format. Field names (empty in the job: the first):
///   text            text
///   prompt-answer   prompt, answer (may be absent: a prompt for rollouts)
///   pairs           prompt, chosen, rejected
///   hh-dialogue     chosen, rejected: whole dialogues; the prompt is their longest common
///   beginning that ends
///                   in "\n\nAssistant:"
///   conversations   conversations (or messages): list of {from, value} or {role, content}; chosen,
///   rejected:
///                   one such turn or a text, optional. Without them the last turn is the answer.
///   instruction     instruction, input (optional), output
///   question-answer question, answer
/// The prompt is put into prompt_template ("{prompt}"), answers into answer_template ("{answer}").
/// Formats whose fields hold bare speech (instruction, question-answer) default to "\n\nHuman:
/// {prompt}\n\nAssistant:" and " {answer}"; the others to what the fields hold. `where` is "file,
/// line N". Errors  bad_file with where, field and what was found.
record read_record(const std::string& json_line, const data_section& set, const std::string& where,
                   const chat_renderer& render = {});

/// The phases that the set serves: as the job says, else all that the format can. conversations
/// serve the reward phase, and pairs are made from a set, only where the job's phases say so.
std::vector<phase> served_phases(const data_section& set);

/// Can records of this format carry what the phase needs?
bool can_serve(data_format format, bool with_prompt_words, phase wanted);

} // namespace troupe::io
