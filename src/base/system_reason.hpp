/// Why the operating system refused, and what can be done about it.
#pragma once

#include <string>

namespace troupe {

/// Of an errno: "No space left on device (make room there; ...)". Those that tell nothing to do are left as they are.
std::string system_reason(int number);

}  // namespace troupe
