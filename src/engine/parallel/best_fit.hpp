/// Which piece of memory the next operation takes, of those that earlier ones have left. Internal.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace troupe::engine {

/// Takes the smallest that is large enough out of `free`, else the largest; none: there is none. `bytes_of(one)`: its
/// size.
template <class Room, class Size>
std::optional<Room> take_best_fit(std::vector<Room>& free, int64_t bytes, const Size& bytes_of) {
  if (free.empty()) {
    return std::nullopt;
  }
  const auto found = std::min_element(free.begin(), free.end(), [&](const Room& a, const Room& b) {
    const bool a_fits = bytes_of(a) >= bytes, b_fits = bytes_of(b) >= bytes;
    if (a_fits != b_fits) {
      return a_fits;
    }
    return a_fits ? bytes_of(a) < bytes_of(b) : bytes_of(a) > bytes_of(b);
  });
  Room taken = std::move(*found);
  free.erase(found);
  return taken;
}

}  // namespace troupe::engine
