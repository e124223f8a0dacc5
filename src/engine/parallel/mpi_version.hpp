/// The MPI that ranks are joined by.
#pragma once

#include <string>

namespace troupe::engine {

/// Of the library that runs: "Open MPI v4.1.4". "none" in a program that was built without.
std::string mpi_version();

}  // namespace troupe::engine
