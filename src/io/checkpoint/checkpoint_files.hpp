/// What the sources of checkpoints share.
#pragma once

#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"

#include <filesystem>
#include <string>

namespace troupe::io {

/// "rank-00000.h5" and the others' names in a checkpoint's folder.
std::string rank_file_name(int64_t rank);
inline constexpr const char* whole_file_name = "checkpoint.h5";
inline constexpr const char* manifest_name = "manifest.json";

/// Size and digest of a file as it is on disk.
/// Errors  not_found, io_failure.
checkpoint_file measure_file(const std::filesystem::path& folder, const std::string& name);

/// Errors  not_found, io_failure, bad_file: the size differs from the entry's.
void check_size(const std::filesystem::path& folder, const checkpoint_file& entry);

/// check_size, and the digest.
void check_file(const std::filesystem::path& folder, const checkpoint_file& entry);

/// Whether an error met in reading a checkpoint says that it is damaged: wrong contents, or a file missing
/// beside a manifest that is there. All else (a read that fails, a file system that is not mounted here)
/// says nothing of it, and nobody may remove it.
bool is_damage(const std::filesystem::path& folder, const error& failure);

/// Attributes of a rank's data sets: the shape of the whole array and the flat range that is here.
inline constexpr const char* global_shape_attribute = "global_shape";
inline constexpr const char* begin_attribute = "begin";
inline constexpr const char* end_attribute = "end";

/// Attributes of checkpoint.h5's data sets: which rank's file holds the values from which flat
/// position on.
inline constexpr const char* piece_rank_attribute = "piece_rank";
inline constexpr const char* piece_begin_attribute = "piece_begin";

}  // namespace troupe::io
