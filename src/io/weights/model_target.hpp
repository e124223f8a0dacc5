/// Where a command may write a model.
#pragma once

#include <filesystem>
#include <span>

namespace troupe::io {

/// The canonical path of a folder that a user has named for a new model, made from `sources` (files or folders).
/// Nothing may be lost there: the target is free, or an empty folder, or, with `overwrite`, an older model folder,
/// which is to be replaced as a whole.
/// Errors  bad_argument: anything else is there (says what); the target contains a source, or lies in one, by whatever
///         names the two are called. io_failure.
std::filesystem::path model_target(const std::filesystem::path& target, std::span<const std::filesystem::path> sources,
                                   bool overwrite);

}  // namespace troupe::io
