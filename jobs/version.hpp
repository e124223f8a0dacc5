/// What this program is made of, for reports of errors.
#pragma once

#include <string>
#include <string_view>

namespace troupe {

/// Version and build, the libraries that it was built with (MPI and HDF5: that it runs with), the instruction sets of
/// this CPU that kernels use, and the cards that are here, or why there are none. A line each.
std::string version_text(std::string_view build);

}  // namespace troupe
