/// Curves of characters, for a terminal.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace troupe {

struct chart_size {
  int64_t columns = 64, rows = 6;
};

/// A bar chart of values over x, with title, range and the first and last x. More values than columns are averaged
/// into them; NaN leaves a gap. Empty where no value is finite.
std::string chart(const std::string& title, std::span<const int64_t> x, std::span<const double> values,
                  const chart_size& size = {});

}  // namespace troupe
