#include "base/card_name.hpp"

#include <fmt/format.h>

#include <charconv>

namespace troupe {

static constexpr std::string_view word = "card ", before_host = ", host ";

std::string card_name(int number, std::string_view model, std::string_view host) {
  return fmt::format("{}{} ({}{}{})", word, number, model.empty() ? "of unknown model" : model, before_host, host);
}

std::optional<named_card> find_card_name(std::string_view text) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    named_card found;
    const char* const digits = text.data() + at + word.size();
    const auto [end, failure] = std::from_chars(digits, text.data() + text.size(), found.number);
    const std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
    if (failure != std::errc() || found.number < 0 || !rest.starts_with(" (")) {
      continue;
    }
    // A model's name may have brackets of its own, a host's has none.
    const size_t host = rest.find(before_host);
    const size_t close = host == std::string_view::npos ? host : rest.find(')', host);
    if (close != std::string_view::npos) {
      found.host = rest.substr(host + before_host.size(), close - host - before_host.size());
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace troupe
