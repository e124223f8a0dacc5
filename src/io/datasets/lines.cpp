#include "io/datasets/lines.hpp"

#include "base/error.hpp"
#include "io/files/byte_order_mark.hpp"
#include "io/files/git_lfs.hpp"
#include "io/tokenizer/utf8.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace troupe::io {

namespace {

/// A file as it is, or unpacked where it begins as gzip does. zlib's own reader of files passes over whatever follows
/// the compressed data, be it the rest of a damaged file.
class text_file {
public:
  explicit text_file(std::string path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "rb")) {
    if (file_ == nullptr) {
      throw error(errc::not_found, "{}: cannot be opened: {}", path_, std::strerror(errno));
    }
  }
  ~text_file() {
    if (packed_) {
      ::inflateEnd(&stream_);
    }
    std::fclose(file_);
  }
  text_file(const text_file&) = delete;
  text_file& operator=(const text_file&) = delete;

  size_t read(std::span<char> into) {
    if (!begun_) {
      begin();
    }
    return packed_ ? unpack(into) : copy(into);
  }

private:
  [[noreturn]] void fail_damaged(const char* reason) const {
    throw error(errc::bad_file, "{}: its compressed data is damaged or cut off: {}", path_, reason);
  }

  void begin() {
    begun_ = true;
    fill();
    if (stream_.avail_in >= 2 && buffer_[0] == 0x1F && buffer_[1] == 0x8B) {
      constexpr int gzip_of_any_window = 15 + 16;
      if (::inflateInit2(&stream_, gzip_of_any_window) != Z_OK) {
        throw error(errc::out_of_memory, "{}: cannot be unpacked: out of memory", path_);
      }
      packed_ = true;
    }
  }

  /// Takes the next bytes of the file; false at its end.
  bool fill() {
    errno = 0;
    stream_.avail_in = static_cast<unsigned>(std::fread(buffer_.data(), 1, buffer_.size(), file_));
    stream_.next_in = buffer_.data();
    if (std::ferror(file_) != 0) {
      throw error(errc::io_failure, "{}: cannot be read: {}", path_, std::strerror(errno));
    }
    return stream_.avail_in > 0;
  }

  size_t copy(std::span<char> into) {
    if (stream_.avail_in == 0 && !fill()) {
      return 0;
    }
    const size_t count = std::min<size_t>(into.size(), stream_.avail_in);
    std::copy_n(stream_.next_in, count, into.begin());
    stream_.next_in += count;
    stream_.avail_in -= static_cast<unsigned>(count);
    return count;
  }

  size_t unpack(std::span<char> into) {
    const auto size = static_cast<unsigned>(into.size());
    stream_.next_out = reinterpret_cast<unsigned char*>(into.data());
    stream_.avail_out = size;
    while (stream_.avail_out == size) {
      if (between_members_ && !begin_member()) {
        return 0;
      }
      if (stream_.avail_in == 0 && !fill()) {
        fail_damaged("unexpected end of file");
      }
      const int code = ::inflate(&stream_, Z_NO_FLUSH);
      between_members_ = code == Z_STREAM_END;
      if (!between_members_ && code != Z_OK && code != Z_BUF_ERROR) {
        fail_damaged(stream_.msg != nullptr ? stream_.msg : "it needs a dictionary");
      }
    }
    return size - stream_.avail_out;
  }

  /// Packed files can be joined, and padded with zeros. False: nothing follows.
  bool begin_member() {
    do {
      while (stream_.avail_in > 0 && *stream_.next_in == 0) {
        ++stream_.next_in;
        --stream_.avail_in;
      }
    } while (stream_.avail_in == 0 && fill());
    if (stream_.avail_in == 0) {
      return false;
    }
    ::inflateReset(&stream_);
    return true;
  }

  std::string path_;
  std::FILE* file_;
  std::array<unsigned char, 1 << 16> buffer_{};
  z_stream stream_{};
  bool begun_ = false, packed_ = false, between_members_ = false;
};

}  // namespace

byte_source open_text(const std::string& path) {
  const auto file = std::make_shared<text_file>(path);
  return [file](std::span<char> into) { return file->read(into); };
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

/// Files that are no text, by how they begin.
static void require_text(std::string_view begin, const std::string& name) {
  struct kind {
    std::string_view mark;
    const char* what;
  };
  using namespace std::string_view_literals;
  constexpr auto others = std::to_array<kind>({
      {"PAR1"sv, "a Parquet file: make it JSON Lines with jobs/recipes/parquet_to_jsonl.py"},
      {"ARROW1"sv, "an Arrow file: make it JSON Lines"},
      {"\xFF\xFE"sv, "UTF-16 text: convert it with iconv -f UTF-16 -t UTF-8"},
      {"\xFE\xFF"sv, "UTF-16 text: convert it with iconv -f UTF-16 -t UTF-8"},
      {"\x28\xB5\x2F\xFD"sv, "compressed by zstd, and only gzip is read: unpack it with unzstd"},
      {"\xFD"
       "7zXZ"sv,
       "compressed by xz, and only gzip is read: unpack it with unxz"},
      {"BZh91AY&SY"sv, "compressed by bzip2, and only gzip is read: unpack it with bunzip2"},
      {"PK\x03\x04"sv, "a zip archive: unpack it"},
      {lfs_pointer, lfs_pointer_told},
  });
  for (const kind& other : others) {
    if (begin.starts_with(other.mark)) {
      throw error(errc::bad_file, "{}: is {}", name, other.what);
    }
  }
}

bool line_reader::fill() {
  constexpr size_t step_bytes = 1 << 16;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t old = buffer_.size();
  buffer_.resize(old + step_bytes);
  const size_t count = source_(std::span<char>(buffer_).subspan(old));
  buffer_.resize(old + count);
  if (line_ == 0 && old == 0) {
    require_text(buffer_, name_);
  }
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
