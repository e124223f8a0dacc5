/// How a file comes into a checkpoint's folder, where a stopped process may still be writing an older one.
/// Internal to io.
#pragma once

#include "io/checkpoint.hpp"
#include "io/hdf5.hpp"

#include <filesystem>
#include <functional>
#include <string>

namespace troupe::io {

/// Puts a new HDF5 file in the place of folder/name, complete or not at all, and removes the manifest, which speaks of
/// the old one:
///   write -> flush -> digest -> still allowed? -> rename
/// Errors  io_failure, whatever `fill` and `still_allowed` throw (nothing has its final name then).
checkpoint_file replace_hdf5(const std::filesystem::path& folder, const std::string& name,
                             const std::function<void(hdf5_file&)>& fill, const commit_check& still_allowed);

}  // namespace troupe::io
