#include "io/experience/exchange.hpp"

#include "base/error.hpp"

#include <array>
#include <utility>

namespace troupe::io {

static constexpr std::array words = {
    std::pair{exchange_format::troupe, std::string_view("troupe")},
    std::pair{exchange_format::verl, std::string_view("verl")},
    std::pair{exchange_format::open_instruct, std::string_view("open-instruct")},
    std::pair{exchange_format::trl_prompt_completion, std::string_view("trl-prompt-completion")},
    std::pair{exchange_format::trl_preference, std::string_view("trl-preference")},
    std::pair{exchange_format::trl_unpaired, std::string_view("trl-unpaired")}};

std::string_view to_string(exchange_format format) {
  for (const auto& [known, word] : words) {
    if (known == format) {
      return word;
    }
  }
  throw error(errc::bad_argument, "a format without a word");
}

std::string exchange_format_words() {
  std::string list;
  for (const auto& [format, word] : words) {
    list += (list.empty() ? "" : ", ") + std::string(word);
  }
  return list;
}

exchange_format exchange_format_named(std::string_view word) {
  for (const auto& [format, known] : words) {
    if (known == word) {
      return format;
    }
  }
  throw error(errc::bad_argument, "\"{}\" is no format of rollouts: give one of {}", word, exchange_format_words());
}

}  // namespace troupe::io
