/// The HDF5 that files are read and written by.
#pragma once

#include <string>

namespace troupe::io {

/// Of the library that runs: "1.10.8".
std::string hdf5_version();

}  // namespace troupe::io
