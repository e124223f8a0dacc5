/// Chat templates as named formats. There is no Jinja interpreter: a template is recognised when it
/// says the same as the known template of a format, however it is spelt; one that is not recognised
/// is refused with the list of names.
#pragma once

#include "io/json/jsonl_filter.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

struct chat_message {
  std::string role;  ///< "system" (only as the first message), "user" or "assistant"
  std::string content;
};

/// A way to write a conversation as one text. \n is a line break.
///   chatml          <|im_start|>ROLE\nCONTENT<|im_end|>\n for each message; the generation prompt
///   is
///                   <|im_start|>assistant\n. A template with a system message of its own, for
///                   conversations that do not start with one, is recognised too, whatever that
///                   message says.
///   smollm2, qwen2  chatml with the system message of SmolLM2-Instruct, of Qwen2-Instruct
///   dialogue        \n\nHuman: CONTENT and \n\nAssistant: CONTENT, as hh-rlhf writes it, after the
///   bare text of a
///                   system message; the generation prompt is \n\nAssistant:
///   deepspeed-chat  the same with one space in place of \n\n
///   llama-2         <s>[INST] USER [/INST] ASSISTANT </s> for each exchange, contents stripped; a
///   system message goes
///                   into the first as <<SYS>>\nSYSTEM\n<</SYS>>\n\nUSER; the generation prompt is
///                   nothing
///   llama-3         <|begin_of_text|>, then
///   <|start_header_id|>ROLE<|end_header_id|>\n\nCONTENT<|eot_id|> for each,
///                   contents stripped; the generation prompt is a header with the role assistant
class chat_format {
public:
  /// The format called `name`.
  /// Errors  unsupported, with the list of names.
  static chat_format named(std::string_view name);

  /// The format of a Jinja template.
  /// Errors  unsupported, with the list of names.
  static chat_format recognise(std::string_view jinja);

  /// The format of a tokenizer: its template's, or "dialogue" where it has none.
  static chat_format of(const tokenizer& tokens);

  static std::span<const std::string_view> names();

  std::string_view name() const { return name_; }

  /// The text of a conversation, with the special tokens that the format writes: see encode_chat.
  /// Errors  bad_argument for no messages, a role that is not known, or an order that the format
  /// cannot write.
  std::string render(std::span<const chat_message> messages, bool add_generation_prompt) const;

  /// The text that ends an assistant's turn ("<|im_end|>", "\n\nHuman:"): a stop string for
  /// generation.
  std::string_view end_of_turn() const;

private:
  explicit chat_format(std::string_view name) : name_(name) {}

  std::string render_chatml(std::span<const chat_message> messages, bool prompt) const;

  std::string_view name_;
  std::string system_;  // of the chatml family: the message of those conversations that have none;
                        // empty: none
};

/// The ids of a rendered conversation. Nothing is added; the special tokens in the text are
/// recognised, also where encode() takes them for text (SentencePiece).
std::vector<int32_t> encode_chat(const tokenizer& tokens, std::string_view rendered);

/// [{"role": ..., "content": ...}, ...]; other fields of a message are ignored. Errors
/// bad_argument.
std::vector<chat_message> read_messages(const json_line& value);

}  // namespace troupe::io
