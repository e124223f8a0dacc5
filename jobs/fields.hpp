/// Fields of JSON lines, and the inputs that `score`, `generate` and `tokenize` have in common.
#pragma once

#include "io/chat/chat.hpp"
#include "io/json/jsonl_filter.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// The value of a field.
/// Errors  bad_argument, naming the field: missing, or of another type.
std::string text_field(const io::json_line& line, const char* name);
std::vector<int32_t> ids_field(const io::json_line& line, const char* name);

/// A JSON array of numbers, each in the shortest form that reads back as the same float.
io::json_line float_array(std::span<const float> values);

/// The values of a model, where all are numbers.
/// Errors  not_finite, naming the model's folder: NaN or infinity would be a verdict of no meaning.
std::span<const float> require_finite(std::span<const float> values, const std::string& folder);

/// A folder's tokenizer, loaded when it is first needed: a line of ids needs none.
class lazy_tokenizer {
public:
  explicit lazy_tokenizer(std::string folder, io::chat_settings settings = {})
      : folder_(std::move(folder)), settings_(std::move(settings)) {}

  const std::shared_ptr<const io::tokenizer>& get();

  /// The ids of line["messages"], and "tools" and "documents" where the line has them, by the chosen chat template.
  std::vector<int32_t> encode_messages(const io::json_line& line, bool add_generation_prompt,
                                       std::string* text = nullptr);

  /// The ids of a rendered conversation: what the tokenizer puts before a text is added where the format writes no
  /// special token of its own. Special tokens that messages spell out are counted: see spelled().
  std::vector<int32_t> encode_rendered(const io::jinja::text& rendered);

  const io::chat_format& format();

  /// The special token that ends an assistant's turn in the chat format, where there is one.
  std::optional<int32_t> end_of_turn_token();

  /// Of all conversations so far.
  int64_t spelled() const { return spelled_; }

private:
  std::string folder_;
  io::chat_settings settings_;
  std::shared_ptr<const io::tokenizer> tokens_;
  std::optional<io::chat_format> format_;  // a template that cannot be read matters only to those who chat
  std::optional<io::special_token_counter> counter_;
  int64_t spelled_ = 0;
};

}  // namespace troupe
