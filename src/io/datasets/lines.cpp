#include "io/datasets/lines.hpp"

#include "base/error.hpp"
#include "io/files/byte_order_mark.hpp"
#include "io/tokenizer/utf8.hpp"

#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace troupe::io {

static size_t read_compressed(gzFile file, const std::string& path, std::span<char> into) {
  const int count = gzread(file, into.data(), static_cast<unsigned>(into.size()));
  int code = Z_OK;
  const char* reason = gzerror(file, &code);
  if (count > 0) {
    return static_cast<size_t>(count);
  }
  if (code == Z_ERRNO) {
    throw error(errc::io_failure, "{}: cannot be read: {}", path, std::strerror(errno));
  }
  // A truncated file reads as if it ended, but for this code.
  if (count < 0 || code == Z_BUF_ERROR) {
    throw error(errc::bad_file, "{}: its compressed data is damaged or cut off: {}", path, reason);
  }
  return 0;
}

byte_source open_text(const std::string& path) {
  gzFile opened = gzopen(path.c_str(), "rb");
  if (opened == nullptr) {
    throw error(errc::not_found, "{}: cannot be opened: {}", path, std::strerror(errno));
  }
  const std::shared_ptr<gzFile_s> file(opened, gzclose);
  return [file, path](std::span<char> into) { return read_compressed(file.get(), path, into); };
}

byte_source text_source(std::string_view text) {
  return [text](std::span<char> into) mutable {
    const size_t count = std::min(text.size(), into.size());
    std::copy_n(text.begin(), count, into.begin());
    text.remove_prefix(count);
    return count;
  };
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

void require_utf8(std::string_view line, const std::string& where) {
  if (const auto bad = find_invalid_utf8(line)) {
    throw error(errc::bad_file, "{}: byte {} is not valid UTF-8: convert the file to UTF-8", where, *bad + 1);
  }
}

line_reader::line_reader(byte_source source, std::string name, int64_t max_line_bytes)
    : source_(std::move(source)), name_(std::move(name)), max_line_bytes_(max_line_bytes) {}

bool line_reader::fill() {
  constexpr size_t step_bytes = 1 << 16;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t old = buffer_.size();
  buffer_.resize(old + step_bytes);
  const size_t count = source_(std::span<char>(buffer_).subspan(old));
  buffer_.resize(old + count);
  return count > 0;
}

bool line_reader::next(std::string& line) {
  size_t searched = 0;
  size_t end = buffer_.find('\n', begin_);
  while (end == std::string::npos) {
    searched = buffer_.size() - begin_;
    if (static_cast<int64_t>(searched) > max_line_bytes_) {
      break;
    }
    if (!fill()) {
      end = buffer_.size();
      break;
    }
    end = buffer_.find('\n', searched);
  }
  if (begin_ == buffer_.size()) {
    return false;
  }
  ++line_;
  if (end == std::string::npos || static_cast<int64_t>(end - begin_) > max_line_bytes_) {
    throw error(errc::bad_file, "{}, line {}: is longer than {} bytes: is this JSON Lines, one record a line?", name_,
                line_, max_line_bytes_);
  }
  line.assign(buffer_, begin_, end - begin_);
  begin_ = std::min(end + 1, buffer_.size());
  if (!line.empty() && line.back() == '\r') {
    line.pop_back();
  }
  if (line_ == 1) {
    line = std::string(without_byte_order_mark(line));
  }
  return true;
}

}  // namespace troupe::io
