/// Which machine this is.
#pragma once

#include <string>

namespace troupe {

/// As gethostname gives it; empty where it cannot be had.
std::string host_name();

}  // namespace troupe
