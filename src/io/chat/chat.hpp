/// Conversations as texts: by a model's own Jinja template, by a file's, or by one of the formats that have a name.
#pragma once

#include "io/jinja/template.hpp"
#include "io/jinja/text.hpp"
#include "io/json/jsonl_filter.hpp"
#include "io/tokenizer/added_tokens.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

struct chat_message {
  std::string role;
  std::string content;
};

/// What the user chooses for all conversations.
struct chat_settings {
  std::string format;     ///< the name of a format, "model", or a file with a template; empty: as for "model"
  std::string date;       ///< YYYY-MM-DD, for strftime_now; empty: a template that asks for it is refused
  std::string variables;  ///< a JSON object: further variables of the template; empty: none
};

/// A way to write a conversation as one text.
///   chatml          <|im_start|>ROLE\nCONTENT<|im_end|>\n for each message; the generation prompt is
///                   <|im_start|>assistant\n
///   smollm2, qwen2  chatml with the system message of SmolLM2-Instruct, of Qwen2-Instruct, where there is none
///   dialogue        \n\nHuman: CONTENT and \n\nAssistant: CONTENT, as hh-rlhf writes it, after the bare text of a
///                   system message; the generation prompt is \n\nAssistant:
///   deepspeed-chat  the same with one space in place of \n\n
///   llama-2         <s>[INST] USER [/INST] ASSISTANT </s> for each exchange, contents stripped; a system message goes
///                   into the first as <<SYS>>\nSYSTEM\n<</SYS>>\n\nUSER; the generation prompt is nothing
///   llama-3         <|begin_of_text|>, then <|start_header_id|>ROLE<|end_header_id|>\n\nCONTENT<|eot_id|> for each,
///                   contents stripped; the generation prompt is a header with the role assistant
///   model           the template in the tokenizer's folder; dialogue where it has none
/// A template gets the variables messages, tools, documents, add_generation_prompt, and the tokenizer's bos_token,
/// eos_token, pad_token and unk_token.
class chat_format {
public:
  /// Errors  unsupported, with the list of names.
  static chat_format named(std::string_view name);

  /// As `settings` say, for a model with this tokenizer.
  /// Errors  unsupported: neither a name nor a file; bad_file: what is wrong with the template, and at which line;
  ///         bad_argument: the date, or the variables.
  static chat_format chosen(const chat_settings& settings, const tokenizer& tokens);

  /// The names, without "model".
  static std::span<const std::string_view> names();

  /// A name; of a template "model", or the file's.
  const std::string& name() const { return name_; }

  /// The text of a conversation {"messages": [{"role", "content", ...}, ...], "tools", "documents",
  /// "chat_template_kwargs"}, all but the messages optional. Bytes that come from it are marked from_data; only roles
  /// that are in common use are taken for the template's own.
  /// Errors  bad_argument: no messages, one without a role, or what the template refuses.
  jinja::text render(const json_line& conversation, bool add_generation_prompt) const;
  jinja::text render(std::span<const chat_message> messages, bool add_generation_prompt) const;

  /// What the format writes between an assistant's words and the next of the user; empty where it cannot be told.
  jinja::text after_answer() const;

private:
  chat_format(std::string name, std::string_view source, const std::string& where);

  std::string name_;
  jinja::program program_;
  std::string date_;
  json_line variables_ = json_line::object();
  tokenizer::named_texts special_texts_;
};

/// The Jinja source of a named format, or of a file.
/// Errors  unsupported: neither a name nor a file; io_failure.
std::string chat_template_source(const std::string& name_or_file);

/// Whether this is "model" or a name, and not a file's.
bool is_chat_format(std::string_view name);

/// A conversation that ends in an answer, in two parts.
struct prompt_and_answer {
  jinja::text prompt;
  jinja::text answer;  ///< what a model learns to write: the assistant's words and the end of its turn
};

/// What carries loss is what the template has in its last {% generation %}, or, without any, all that it writes beyond
/// the prompt for an answer to the turns before; never that prompt itself.
/// Errors  bad_argument, as render; where the text with the answer does not begin with the prompt.
prompt_and_answer render_answer(const chat_format& format, std::vector<chat_message> turns, const std::string& answer);

/// The ids of a rendered conversation, nothing added. Special tokens are recognised where the template writes them;
/// what comes from the data is text, however it is spelt.
std::vector<int32_t> encode_chat(const tokenizer& tokens, const jinja::text& rendered);

/// Takes from an answer's `ids` the white space that the template writes after the special token that ends the turn.
void trim_turn_end(const tokenizer& tokens, const jinja::text& answer, std::vector<int32_t>& ids);

/// Counts special tokens that texts spell out.
class special_token_counter {
public:
  explicit special_token_counter(const tokenizer& tokens);

  /// How many encode_chat takes for text, because bytes of them come from the data.
  int64_t count(const jinja::text& rendered) const;

private:
  added_token_finder finder_;
};

/// The special token that ends an assistant's turn, where the format has one.
std::optional<int32_t> end_of_turn_token(const chat_format& format, const tokenizer& tokens);

/// The text that ends an assistant's turn ("\n\nHuman:"), a stop string for formats without such a token; may be empty.
std::string end_of_turn_text(const chat_format& format);

}  // namespace troupe::io
