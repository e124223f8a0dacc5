#include "actors/hosts/last_words.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace troupe::actors {

constexpr size_t most_kept = 4096;
constexpr size_t most_lines = 3;
constexpr size_t longest_line = 200;
constexpr std::string_view parting_word = "troupe worker: ";

static void keep_last(std::vector<std::string>& lines, std::string_view line) {
  lines.emplace_back(line);
  if (lines.size() > most_lines) {
    lines.erase(lines.begin());
  }
}

static std::string joined(const std::vector<std::string>& lines) { return fmt::format("{}", fmt::join(lines, "; ")); }

void last_words::hear(std::string_view line) {
  text_.append(line).append("\n");
  text_.erase(0, text_.size() - std::min(text_.size(), most_kept));
  const bool is_of_launcher = talk_.is_own(line);
  if (line.find_first_not_of(" \t\r-") == std::string_view::npos || is_log_detail(line)) {
    return;
  }
  line = line.substr(0, longest_line);
  if (is_of_launcher) {
    keep_last(of_launcher_, line);
  } else if (line.starts_with(parting_word)) {
    keep_last(reasons_, line.substr(parting_word.size()));
  } else if (line.find("error") != std::string_view::npos) {
    keep_last(errors_, line);
  } else {
    keep_last(others_, line);
  }
}

std::string last_words::of_ranks() const {
  return joined(!reasons_.empty() ? reasons_ : !errors_.empty() ? errors_ : others_);
}

std::string last_words::of_anybody() const {
  const std::string of_ranks = this->of_ranks();
  return of_ranks.empty() ? joined(of_launcher_) : of_ranks;
}

}  // namespace troupe::actors
