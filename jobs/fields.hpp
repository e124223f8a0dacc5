/// Fields of JSON lines, and the inputs that `score`, `generate` and `tokenize` have in common.
#pragma once

#include "io/json/jsonl_filter.hpp"
#include "io/chat/chat.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Errors  bad_argument, naming the field: missing, or of another type.
std::string text_field(const io::json_line& line, const char* name);
std::vector<int32_t> ids_field(const io::json_line& line, const char* name);

/// Each in the shortest form that reads back as the same float.
io::json_line float_array(std::span<const float> values);

/// A folder's tokenizer, loaded when it is first needed: a line of ids needs none.
class lazy_tokenizer {
public:
  explicit lazy_tokenizer(std::string folder) : folder_(std::move(folder)) {}

  const std::shared_ptr<const io::tokenizer>& get();

  /// The ids of line["messages"] by the folder's chat template, ready for an answer.
  std::vector<int32_t> encode_messages(const io::json_line& line, bool add_generation_prompt,
                                       std::string* text = nullptr);

  const io::chat_format& format();

  /// The special token that ends an assistant's turn in the folder's chat format, where there is one.
  std::optional<int32_t> end_of_turn_token();

private:
  std::string folder_;
  std::shared_ptr<const io::tokenizer> tokens_;
  std::optional<io::chat_format> format_;  // an unknown template matters only to those who chat
};

}  // namespace troupe
