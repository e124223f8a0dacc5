// Any bytes as lines of rollouts in one of the exchange formats (the first byte says which): read or refused; and what
// was read is valid, and comes back to the byte from what is exported.
#include "base/assert.hpp"
#include "base/error.hpp"
#include "io/experience/exchange.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace troupe::io;  // NOLINT

import_tokens by_bytes(const json_line& prompt, const json_line& answer, bool finished) {
  if (!prompt.is_string() || !answer.is_string()) {
    throw troupe::error(troupe::errc::bad_argument, "no text");
  }
  import_tokens tokens{.prompt_text = prompt.get<std::string>(), .answer_text = answer.get<std::string>()};
  for (const char byte : tokens.prompt_text) {
    tokens.prompt.push_back(static_cast<unsigned char>(byte));
  }
  for (const char byte : tokens.answer_text) {
    tokens.answer.push_back(static_cast<unsigned char>(byte));
  }
  if (finished) {
    tokens.answer.push_back(256);
  }
  return tokens;
}

std::vector<experience> read(const std::string& text, exchange_format format) {
  experience_import import({.format = format, .tokenise = by_bytes});
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    import.add(parse_json_line(line));
  }
  return import.finish();
}

std::string written(const std::vector<experience>& all, exchange_format format) {
  std::string text;
  export_report report;
  for (const experience& e : all) {
    validate(e, "what was read");
    export_lines(e, {.format = format, .threshold = 0.5}, report, [&](const std::string& line) { text += line; });
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const auto format = static_cast<exchange_format>(data[0] % 6);
  std::vector<experience> first;
  try {
    first = read(std::string(reinterpret_cast<const char*>(data + 1), size - 1), format);
  } catch (const troupe::error&) {
    return 0;
  }
  const std::string text = written(first, format);
  TROUPE_ASSERT(written(read(text, format), format) == text);
  return 0;
}
