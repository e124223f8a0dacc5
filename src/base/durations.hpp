/// Lengths of time as people read them.
#pragma once

#include <string>

namespace troupe {

/// "0.3 s", "95 s", "12 min", "7.5 h", "3.2 days": two to three digits, in
/// the largest unit of which there are about two.
std::string duration_text(double seconds);

}  // namespace troupe
