#include "base/durations.hpp"

#include <fmt/format.h>

namespace troupe {

std::string duration_text(double seconds) {
  constexpr double minute = 60, hour = 60 * minute, day = 24 * hour;
  return seconds < 10           ? fmt::format("{:.1f} s", seconds)
         : seconds < 2 * minute ? fmt::format("{:.0f} s", seconds)
         : seconds < 2 * hour   ? fmt::format("{:.0f} min", seconds / minute)
         : seconds < 2 * day    ? fmt::format("{:.1f} h", seconds / hour)
                                : fmt::format("{:.1f} days", seconds / day);
}

}  // namespace troupe
