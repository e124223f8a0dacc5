/// How errors call a card, so that who counts failures can tell which it was.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// "card 0 (NVIDIA H100 80GB HBM3, host node7)". `number`: among those that the process is shown. Of an empty model:
/// "card 0 (of unknown model, host node7)".
std::string card_name(int number, std::string_view model, std::string_view host);

struct named_card {
  int64_t number = 0;
  std::string host;  ///< as gethostname gives it there
};

/// The first card that a text names by card_name; none: it names none.
std::optional<named_card> find_card_name(std::string_view text);

}  // namespace troupe
