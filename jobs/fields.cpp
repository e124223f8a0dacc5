#include "jobs/fields.hpp"

#include "base/error.hpp"
#include "io/datasets/joiner.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

static const io::json_line& field(const io::json_line& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end()) {
    throw error(errc::bad_argument, "\"{}\" is missing", name);
  }
  return *found;
}

std::string text_field(const io::json_line& line, const char* name) {
  const io::json_line& value = field(line, name);
  if (!value.is_string()) {
    throw error(errc::bad_argument, "\"{}\" is of type {}, not text", name, value.type_name());
  }
  return value.get<std::string>();
}

std::vector<int32_t> ids_field(const io::json_line& line, const char* name) {
  const io::json_line& value = field(line, name);
  if (!value.is_array()) {
    throw error(errc::bad_argument, "\"{}\" is of type {}, not an array", name, value.type_name());
  }
  std::vector<int32_t> ids;
  for (const io::json_line& id : value) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
      throw error(errc::bad_argument, "\"{}\"[{}] is {}, not an id", name, ids.size(), id.dump());
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

io::json_line float_array(std::span<const float> values) {
  io::json_line array = io::json_line::array();
  for (const float value : values) {
    array.push_back(io::shortest_float(value));
  }
  return array;
}

std::span<const float> require_finite(std::span<const float> values, const std::string& folder) {
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    throw error(errc::not_finite, "{}: gives NaN or infinity: its weights are damaged", folder);
  }
  return values;
}

const std::shared_ptr<const io::tokenizer>& lazy_tokenizer::get() {
  if (!tokens_) {
    tokens_ = io::load_tokenizer(folder_);
  }
  return tokens_;
}

const io::chat_format& lazy_tokenizer::format() {
  if (!format_) {
    format_ = io::chat_format::chosen(settings_, *get());
  }
  return *format_;
}

std::optional<int32_t> lazy_tokenizer::end_of_turn_token() { return io::end_of_turn_token(format(), *get()); }

std::vector<int32_t> lazy_tokenizer::encode_rendered(const io::jinja::text& rendered) {
  if (!counter_) {
    counter_.emplace(*get());
  }
  spelled_ += counter_->count(rendered);
  std::vector<int32_t> ids = io::encode_chat(*get(), rendered);
  if (std::none_of(ids.begin(), ids.end(), [&](int32_t id) { return get()->is_special(id); })) {
    const std::vector<int32_t> start = io::frame_of(*get()).before;
    ids.insert(ids.begin(), start.begin(), start.end());
  }
  return ids;
}

std::vector<int32_t> lazy_tokenizer::encode_messages(const io::json_line& line, bool add_generation_prompt,
                                                     std::string* text) {
  const io::jinja::text rendered = format().render(line, add_generation_prompt);
  if (text != nullptr) {
    *text = rendered.bytes();
  }
  return encode_rendered(rendered);
}

}  // namespace troupe
