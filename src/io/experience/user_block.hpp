/// The bytes before the HDF5 part of an experience file, which HDF5 tools skip: size and digest of that part, from
/// format 2 on a summary, and a digest of the block itself. Internal to io/experience.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace troupe::io {

inline constexpr size_t experience_block_bytes = 1024;

/// The block of a file whose HDF5 part is `rest`.
std::string user_block_of(std::span<const std::byte> rest, std::string_view summary);

/// Checks the block of a file and the digest of the rest. A plain HDF5 file has no block and passes.
/// Errors  bad_file: the bytes are not those that were written; unsupported: a newer format.
void check_user_block(const std::filesystem::path& path);

/// The summary's text from the block, when only the block is read. None: a plain HDF5 file, or format 1.
/// Errors  bad_file: the block is damaged, or the file has not the size that it tells; unsupported: a newer format.
std::optional<std::string> read_block_summary(const std::filesystem::path& path);

}  // namespace troupe::io
