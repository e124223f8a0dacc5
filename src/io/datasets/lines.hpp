/// Lines of a plain or gzip-compressed text, with a bound on their length.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace troupe::io {

/// Fills the span from its start and returns how many bytes it wrote; 0 at the end. Throws on a
/// read error.
using byte_source = std::function<size_t(std::span<char>)>;

/// A file, decompressed where it is gzip (by its content, not its name).
/// Errors  not_found; bad_file (when a read meets corrupt or truncated compressed data), io_failure.
byte_source open_text(const std::string& path);

/// Bytes in memory; `text` must outlive the source.
byte_source text_source(std::string_view text);

class line_reader {
public:
  static constexpr int64_t default_max_line_bytes = 16 << 20;

  /// `name` is what errors call the text.
  line_reader(byte_source source, std::string name, int64_t max_line_bytes = default_max_line_bytes);

  /// The next line without its end ("\n" or "\r\n"); false at the end.
  /// Errors  bad_file, with the line, when it is longer than the bound or not valid UTF-8.
  bool next(std::string& line);

  int64_t line() const { return line_; }  ///< number of the line last read, from 1
  const std::string& name() const { return name_; }

private:
  bool fill();

  byte_source source_;
  std::string name_;
  int64_t max_line_bytes_;
  int64_t line_ = 0;
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace troupe::io
