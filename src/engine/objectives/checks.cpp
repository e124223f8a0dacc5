#include "engine/objectives/checks.hpp"

namespace troupe::engine {

void check_offsets(std::span<const int64_t> offset_B1, size_t total, std::string_view of) {
  if (offset_B1.empty() || offset_B1.front() != 0 || offset_B1.back() != static_cast<int64_t>(total)) {
    throw error(errc::shape_mismatch, "offsets of {} must run from 0 to its {} elements, not to {}", of, total,
                offset_B1.empty() ? -1 : offset_B1.back());
  }
  for (size_t b = 1; b < offset_B1.size(); ++b) {
    if (offset_B1[b] < offset_B1[b - 1]) {
      throw error(errc::shape_mismatch, "offset {} of {} is {}, after {}: offsets must not fall", b, of, offset_B1[b],
                  offset_B1[b - 1]);
    }
  }
}

}  // namespace troupe::engine
