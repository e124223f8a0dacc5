#include "actors/cast/stop_strings.hpp"

#include <algorithm>
#include <span>

namespace troupe::actors {

engine::stop_check make_stop_check(std::shared_ptr<const io::tokenizer> tokens, std::vector<std::string> stops) {
  if (stops.empty()) {
    return {};
  }
  size_t longest = 0;
  for (const std::string& stop : stops) {
    longest = std::max(longest, stop.size());
  }
  // A stop string that the newest token completes lies within the last `longest` tokens, each of which brings at
  // least one byte or nothing; some more cover tokens that decode to nothing and characters split over tokens.
  const size_t window = 2 * longest + 8;
  return [tokens = std::move(tokens), stops = std::move(stops), window](std::span<const int32_t> answer) {
    const auto tail = answer.last(std::min(window, answer.size()));
    const std::string text = tokens->decode(tail, false);
    return std::any_of(stops.begin(), stops.end(),
                       [&](const std::string& stop) { return text.find(stop) != std::string::npos; });
  };
}

}  // namespace troupe::actors
