/// Chat templates as named formats. There is no Jinja interpreter: a template is recognised by its text, and one that
/// is not recognised is refused with the list of names.
#pragma once

#include "io/tokenizer/tokenizer.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

struct chat_message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// A way to write a conversation as one text.
///   chatml      <|im_start|>ROLE\nCONTENT<|im_end|>\n for each message; the generation prompt is
///               <|im_start|>assistant\n
///   smollm2     chatml, and where the first message is no system message, first the system message of SmolLM2
///   qwen2       chatml, and where the first message is no system message, first "You are a helpful assistant."
///   dialogue    Human: CONTENT\n\nAssistant: CONTENT\n\n ... as hh-rlhf and DeepSpeed-Chat write it; the generation
///               prompt is "Assistant:"
///   llama-2     <s>[INST] <<SYS>>\nSYSTEM\n<</SYS>>\n\nUSER [/INST] ASSISTANT </s> ...
///   llama-3     <|begin_of_text|>, then <|start_header_id|>ROLE<|end_header_id|>\n\nCONTENT<|eot_id|> for each
///   zephyr      <|ROLE|>\nCONTENT</s>\n for each; the generation prompt is <|assistant|>\n
class chat_format {
 public:
  /// The format called `name`. Errors  unsupported, with the list of names.
  static chat_format named(std::string_view name);

  /// The format of a Jinja template. Errors  unsupported, with the list of names.
  static chat_format recognise(std::string_view jinja);

  /// The format of a tokenizer: its template's, or "dialogue" where it has none.
  static chat_format of(const tokenizer& tokens);

  static std::span<const std::string_view> names();

  std::string_view name() const { return name_; }

  /// The text of a conversation; it holds the special tokens that the format writes, so encode it without adding any.
  /// Errors  bad_argument for no messages, a role that the format does not have, or an order that it cannot write.
  std::string render(std::span<const chat_message> messages, bool add_generation_prompt) const;

  /// The text that ends an assistant's turn ("<|im_end|>", "\n\nHuman:"): a stop string for generation.
  std::string_view end_of_turn() const;

 private:
  explicit chat_format(std::string_view name) : name_(name) {}

  std::string_view name_;
};

}  // namespace troupe::io
