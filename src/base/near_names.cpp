#include "base/near_names.hpp"

#include <algorithm>
#include <vector>

namespace troupe {

size_t edit_distance(std::string_view a, std::string_view b) {
  constexpr size_t longest_compared = 100;
  a = a.substr(0, longest_compared);
  b = b.substr(0, longest_compared);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string near_name(std::string_view word, std::span<const std::string> known) {
  const size_t most = std::max<size_t>(2, word.size() / 3);
  std::string best;
  size_t distance = std::min(most, word.empty() ? 0 : word.size() - 1) + 1;
  for (const std::string& name : known) {
    if (const size_t apart = edit_distance(word, name); apart < distance) {
      distance = apart;
      best = name;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> known) {
  const std::string near = near_name(word, known);
  return near.empty() ? "" : "; did you mean " + near + "?";
}

}  // namespace troupe
