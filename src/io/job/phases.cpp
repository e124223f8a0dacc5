#include "io/job/phases.hpp"

#include "io/job/options.hpp"

#include <algorithm>

namespace troupe::io {

std::optional<phase> phase_of(std::string_view name) {
  const std::span<const std::string_view> words = words_of<phase>();
  const auto found = std::find(words.begin(), words.end(), name);
  return found != words.end() ? std::optional(static_cast<phase>(found - words.begin())) : std::nullopt;
}

std::vector<phase> phases_after(std::span<const phase> of_run, phase first) {
  const auto found = std::find(of_run.begin(), of_run.end(), first);
  return {found != of_run.end() ? found + 1 : found, of_run.end()};
}

}  // namespace troupe::io
