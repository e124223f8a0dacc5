/// Where experience lies.
#pragma once

#include <filesystem>
#include <vector>

namespace troupe::io {

/// The experience files that a path of the user's means, by iteration: a run, its folder experience/ or another folder
/// of iteration-N.h5, or one file, whatever its name.
/// Errors  not_found: nothing is there, or no such file in it.
std::vector<std::filesystem::path> find_experience(const std::filesystem::path& path);

/// The files iteration-N.h5 of a folder as experience_files() lists them, but with those that are there twice: for who
/// removes them.
/// Errors  io_failure: it cannot be listed.
std::vector<std::filesystem::path> all_experience_files(const std::filesystem::path& folder);

}  // namespace troupe::io
