#include "io/files/line_file.hpp"

#include "base/error.hpp"
#include "base/system_reason.hpp"
#include "io/files/mapped_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// The size of the file up to and including its last end of line.
int64_t complete_size(int descriptor, const fs::path& path) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  std::string buffer(size_t{1} << 16, '\0');
  for (off_t end = size; end > 0;) {
    const off_t begin = std::max<off_t>(0, end - static_cast<off_t>(buffer.size()));
    const auto wanted = static_cast<size_t>(end - begin);
    if (::pread(descriptor, buffer.data(), wanted, begin) != static_cast<ssize_t>(wanted)) {
      throw error(errc::io_failure, "cannot read {}: {}", path.string(), std::strerror(errno));
    }
    const size_t last = std::string_view(buffer.data(), wanted).rfind('\n');
    if (last != std::string_view::npos) {
      return begin + static_cast<off_t>(last) + 1;
    }
    end = begin;
  }
  return 0;
}

}  // namespace

void write_all(int descriptor, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      throw error(errc::io_failure, "cannot append {} bytes to {}: {}", bytes.size(), path.string(),
                  system_reason(count < 0 ? errno : ENOSPC));
    }
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

line_file::line_file(fs::path path)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) {
    throw error(errc::io_failure, "cannot open {}: {}", path_.string(), system_reason(errno));
  }
  try {
    if (::ftruncate(descriptor_, complete_size(descriptor_, path_)) != 0) {
      throw error(errc::io_failure, "cannot cut the unfinished last line of {}: {}", path_.string(),
                  std::strerror(errno));
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

line_file::~line_file() { ::close(descriptor_); }

void line_file::append(std::string_view line, bool durable) {
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  try {
    write_all(descriptor_, std::string(line) + "\n", path_);
    if (durable && ::fsync(descriptor_) != 0) {
      throw error(errc::io_failure, "cannot flush {}: {}", path_.string(), std::strerror(errno));
    }
  } catch (...) {
    if (::ftruncate(descriptor_, before) != 0) {
      // The next opening cuts it.
    }
    throw;
  }
}

void for_each_line(const fs::path& path, const std::function<void(std::string_view text, int64_t number)>& line) {
  const std::string text = read_text_file(path);
  std::string_view rest = text;
  int64_t number = 0;
  for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    line(rest.substr(0, end), ++number);
    rest.remove_prefix(end + 1);
  }
}

}  // namespace troupe::io
