#include "io/experience/user_block.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/paths.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "troupe experience ";
constexpr std::string_view hdf5_signature = "\x89HDF\r\n\x1a\n";
constexpr std::string_view own_digest = "xxh3-64 of the lines above: ";
constexpr std::string_view size_label = "bytes after this block: ";

std::string head_of(int format, std::span<const std::byte> rest) {
  return fmt::format("{}{}\n{}{}\nxxh3-64 of them: {}\n", magic, format, size_label, rest.size(),
                     digest_text(digest(rest)));
}

std::string padded(std::string block, size_t bytes) {
  if (block.size() > bytes) {
    throw error(errc::bad_argument, "the summary of the experience is {} bytes too long", block.size() - bytes);
  }
  block.resize(bytes, '\0');
  return block;
}

/// Format 1: 512 bytes, nothing but size and digest.
std::string first_block_of(std::span<const std::byte> rest) { return padded(head_of(1, rest), 512); }

/// Format 2: `lines`, then their digest.
std::string sealed(std::string_view lines) {
  return fmt::format("{}{}{}\n", lines, own_digest, digest_text(digest(std::as_bytes(std::span(lines)))));
}

enum class start { plain_hdf5, format_1, format_2 };

start start_of(std::string_view bytes, const fs::path& path) {
  if (bytes.starts_with(hdf5_signature)) {
    return start::plain_hdf5;
  }
  const size_t line_end = bytes.find('\n');
  if (!bytes.starts_with(magic) || line_end == std::string_view::npos || line_end > magic.size() + 9) {
    throw error(errc::bad_file,
                "{} is not an experience file, or its first bytes are damaged (a model is read by its folder: GGUF and "
                "single safetensors files become one by troupe convert)",
                path.string());
  }
  const std::string_view format = bytes.substr(magic.size(), line_end - magic.size());
  if (format == "1") {
    return start::format_1;
  }
  if (format == "2") {
    return start::format_2;
  }
  throw error(errc::unsupported, "{}: format {}, this Troupe reads formats 1 and 2", path.string(), format);
}

[[noreturn]] void fail_damaged(const fs::path& path, uintmax_t bytes) {
  throw error(errc::bad_file,
              "{}: its {} bytes do not agree with the digest at its start: it is damaged, or was "
              "changed (write changed experience to a new HDF5 file without user block)",
              path.string(), bytes);
}

/// The lines of a block of format 2 above its own digest.
/// Errors  bad_file: that digest is another.
std::string_view sound_lines(std::string_view block, const fs::path& path, uintmax_t file_bytes) {
  const size_t at = block.rfind(own_digest);
  if (block.size() < experience_block_bytes || at == std::string_view::npos) {
    fail_damaged(path, file_bytes);
  }
  const std::string_view lines = block.substr(0, at);
  std::string wanted = sealed(lines);
  wanted.resize(std::max(wanted.size(), experience_block_bytes), '\0');
  if (block.substr(0, experience_block_bytes) != wanted) {
    fail_damaged(path, file_bytes);
  }
  return lines;
}

}  // namespace

std::string user_block_of(std::span<const std::byte> rest, std::string_view summary) {
  return padded(sealed(head_of(2, rest) + std::string(summary)), experience_block_bytes);
}

void check_user_block(const fs::path& path) {
  const auto file = mapped_file::open(path);
  const std::span<const std::byte> bytes = file->bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  switch (start_of(text, path)) {
  case start::plain_hdf5:
    return;
  case start::format_1:
    if (bytes.size() < 512 || text.substr(0, 512) != first_block_of(bytes.subspan(512))) {
      fail_damaged(path, bytes.size());
    }
    return;
  case start::format_2:
    if (bytes.size() < experience_block_bytes) {
      fail_damaged(path, bytes.size());
    }
    const std::string_view lines = sound_lines(text.substr(0, experience_block_bytes), path, bytes.size());
    if (!lines.starts_with(head_of(2, bytes.subspan(experience_block_bytes)))) {
      fail_damaged(path, bytes.size());
    }
    return;
  }
}

std::optional<std::string> read_block_summary(const fs::path& path) {
  if (is_there(path) && !fs::is_regular_file(path)) {
    throw error(errc::io_failure, "cannot read {}: it is not a regular file", path.string());  // opening a pipe waits
  }
  std::ifstream file(path, std::ios::binary);
  std::string block(experience_block_bytes, '\0');
  file.read(block.data(), static_cast<std::streamsize>(block.size()));
  if (!file.is_open() || file.bad()) {
    throw error(is_there(path) ? errc::io_failure : errc::not_found, "{}: cannot be read: {}", path.string(),
                std::strerror(errno));
  }
  block.resize(static_cast<size_t>(file.gcount()));
  if (start_of(block, path) != start::format_2) {
    return std::nullopt;
  }
  const uintmax_t bytes = fs::file_size(path);
  const std::string_view lines = sound_lines(block, path, bytes);
  const std::string size_line = fmt::format("\n{}{}\n", size_label, bytes - experience_block_bytes);
  if (lines.find(size_line) == std::string_view::npos) {
    throw error(errc::bad_file, "{} has {} bytes, and another number was written: it was cut", path.string(), bytes);
  }
  size_t summary = 0;  // after the third line
  for (int line = 0; line < 3; ++line) {
    summary = lines.find('\n', summary) + 1;
  }
  return std::string(lines.substr(summary));
}

}  // namespace troupe::io
