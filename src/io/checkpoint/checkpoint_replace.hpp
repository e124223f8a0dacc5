/// How a file comes into a checkpoint's folder. Internal to io/checkpoint.
#pragma once

#include "io/checkpoint/checkpoint.hpp"
#include "io/hdf5/hdf5.hpp"

#include <filesystem>
#include <functional>
#include <string>

namespace troupe::io {

/// Puts a new HDF5 file in the place of folder/name, complete or not at all, and removes the manifest, which speaks of
/// the old one:
///   write -> flush -> digest -> rename
/// Errors  io_failure, whatever `fill` and the fence throw (nothing has its final name then).
checkpoint_file replace_hdf5(const std::filesystem::path& folder, const std::string& name,
                             const std::function<void(hdf5_file&)>& fill, const attempt_fence& fence);

}  // namespace troupe::io
