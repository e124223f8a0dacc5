#include "engine/objectives/moments.hpp"

#include "engine/objectives/checks.hpp"

namespace troupe::engine {

void moments::merge(const moments& other) {
  if (other.count == 0) {
    return;
  }
  const auto here = static_cast<double>(count);
  const auto there = static_cast<double>(other.count);
  const double total = here + there;
  const double apart = other.mean - mean;
  mean += apart * (there / total);
  squares += other.squares + apart * apart * (here * there / total);
  count += other.count;
}

moments moments_of(std::span<const float> values, std::span<const uint8_t> counts) {
  if (!counts.empty()) {
    check_size("counts", counts.size(), "values", values.size());
  }
  const auto counted = [&](size_t i) { return counts.empty() || counts[i] != 0; };
  moments m;
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (counted(i)) {
      sum += values[i];
      ++m.count;
    }
  }
  if (m.count == 0) {
    return m;
  }
  m.mean = sum / static_cast<double>(m.count);
  for (size_t i = 0; i < values.size(); ++i) {
    if (counted(i)) {
      const double apart = values[i] - m.mean;
      m.squares += apart * apart;
    }
  }
  return m;
}

}  // namespace troupe::engine
