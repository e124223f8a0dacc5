/// The directory of a zip archive, as far as uncompressed entries go (zip64 included).
/// Source  pkware APPNOTE.TXT 6.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace troupe::io {

struct zip_entry {
  std::span<const std::byte> bytes;
  uint32_t crc32 = 0;
};

/// Entries by name. Everything is bounds-checked; checksums are the caller's to verify
/// (verify_crc32).
/// Errors  bad_file; unsupported: compressed or encrypted entries, archives in several parts.
std::map<std::string, zip_entry, std::less<>> read_zip_directory(std::span<const std::byte> bytes,
                                                                 const std::string& where);

/// Errors  bad_file, naming `where` and `entry_name`.
void verify_crc32(const zip_entry& entry, const std::string& entry_name, const std::string& where);

}  // namespace troupe::io
