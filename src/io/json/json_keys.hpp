/// JSON objects as flat key/value maps, for those who must not know JSON.
#pragma once

#include "base/keys.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace troupe::io {

/// Flattens a JSON object as base/keys.hpp describes. Two additions: an array that is not all
/// integers, but not of containers either, becomes "name.0", "name.1", ... (so `architectures` is
/// "architectures.0"); its length is not kept. An integer beyond int64 becomes a double. `where`
/// names the source in errors.
/// Errors  bad_file: malformed (byte position), no object, nested deeper than 64, a key twice.
key_map parse_json_keys(std::string_view text, const std::string& where);

/// The same of a file.
/// Errors  not_found, io_failure, bad_file.
key_map read_json_keys(const std::filesystem::path& path);

}  // namespace troupe::io
