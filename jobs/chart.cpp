#include "jobs/chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace troupe {
namespace {

constexpr int64_t levels = 8;  // of one character
constexpr std::array<const char*, levels + 1> bars = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Means of as many neighbours as fall into a column.
std::vector<double> columns_of(std::span<const double> values, int64_t columns) {
  const auto count = static_cast<int64_t>(values.size());
  const int64_t wide = std::min(columns, count);
  std::vector<double> means;
  for (int64_t c = 0; c < wide; ++c) {
    double sum = 0;
    int64_t finite = 0;
    for (int64_t i = c * count / wide; i < (c + 1) * count / wide; ++i) {
      const double value = values[static_cast<size_t>(i)];
      sum += std::isfinite(value) ? value : 0;
      finite += std::isfinite(value) ? 1 : 0;
    }
    means.push_back(finite > 0 ? sum / static_cast<double>(finite) : nan);
  }
  return means;
}

/// Height in levels; at least one where there is a value.
int64_t height_of(double value, double low, double high, int64_t most) {
  if (!std::isfinite(value)) {
    return 0;
  }
  const double share = high > low ? (value - low) / (high - low) : 0.5;
  return 1 + std::llround(share * static_cast<double>(most - 1));
}

}  // namespace

std::string chart(const std::string& title, std::span<const int64_t> x, std::span<const double> values,
                  const chart_size& size) {
  const std::vector<double> columns = columns_of(values, size.columns);
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const double value : columns) {
    low = std::isfinite(value) ? std::min(low, value) : low;
    high = std::isfinite(value) ? std::max(high, value) : high;
  }
  if (low > high) {
    return "";
  }
  std::string text = title + "\n";
  for (int64_t row = size.rows - 1; row >= 0; --row) {
    const bool labelled = row == size.rows - 1 || row == 0;
    text += labelled ? fmt::format("{:>10.4g} |", row == 0 ? low : high) : fmt::format("{:>10} |", "");
    for (const double value : columns) {
      const int64_t above = height_of(value, low, high, size.rows * levels) - row * levels;
      text += bars[static_cast<size_t>(std::clamp<int64_t>(above, 0, levels))];
    }
    text += "\n";
  }
  const std::string first = std::to_string(x.front());
  const std::string last = std::to_string(x.back());
  const auto width = static_cast<int64_t>(columns.size());
  const int64_t gap = std::max<int64_t>(1, width - static_cast<int64_t>(first.size() + last.size()));
  return text + fmt::format("{:>10}  {}{}\n", "", first, x.size() > 1 ? std::string(gap, ' ') + last : "");
}

}  // namespace troupe
