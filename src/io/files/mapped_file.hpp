/// A whole file as read-only memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace troupe::io {

/// Shared by everything that points into it: give the pointer as `owner` of a host_array. The bytes
/// are those of the file as it was opened; a file that another process truncates in place meanwhile
/// is beyond help (SIGBUS), which is why Troupe only ever replaces files by rename.
class mapped_file {
public:
  /// Errors  not_found (no such file); io_failure (not readable, a folder, a pipe, which is not waited for); bad_file
  ///         (a pointer of Git LFS).
  static std::shared_ptr<const mapped_file> open(const std::filesystem::path& path);
  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

private:
  mapped_file() = default;
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// The whole of a small text file.
/// Errors  as mapped_file::open.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace troupe::io
