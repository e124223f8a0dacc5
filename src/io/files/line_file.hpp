/// Files of lines that only grow: metrics and ledger.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace troupe::io {

/// Appends whole lines. An unfinished last line, as a crash leaves it, is removed on opening, and a line that could not
/// be written whole is taken back. One writer at a time.
/// Errors  io_failure.
class line_file {
public:
  explicit line_file(std::filesystem::path path);
  ~line_file();
  line_file(const line_file&) = delete;
  line_file& operator=(const line_file&) = delete;

  /// `line` without its end. With `durable` it, and all before it, is on disk when append returns.
  void append(std::string_view line, bool durable);

private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Calls `line(text, number)` for each complete line, the first being number 1; an unfinished last
/// one is left out.
/// Errors  not_found, io_failure.
void for_each_line(const std::filesystem::path& path,
                   const std::function<void(std::string_view text, int64_t number)>& line);

/// Writes all to an open file.
/// Errors  io_failure naming `path`.
void write_all(int descriptor, std::string_view bytes, const std::filesystem::path& path);

}  // namespace troupe::io
