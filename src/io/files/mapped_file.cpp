#include "io/files/mapped_file.hpp"

#include "base/error.hpp"
#include "io/files/git_lfs.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace troupe::io {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, int reason) {
  const errc code = reason == ENOENT || reason == ENOTDIR ? errc::not_found : errc::io_failure;
  throw error(code, "cannot read {}: {}", path.string(), std::strerror(reason));
}

/// Maps all of an open file; its size decides, so a special file is refused.
std::span<const std::byte> map(int descriptor, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    refuse(path, errno);
  }
  if (!S_ISREG(status.st_mode)) {
    throw error(errc::io_failure, "cannot read {}: it is not a regular file", path.string());
  }
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) {  // mmap refuses an empty range
    return {};
  }
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (address == MAP_FAILED) {
    refuse(path, errno);
  }
  return {static_cast<const std::byte*>(address), size};
}

void require_contents(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  if (bytes.size() >= lfs_pointer.size() && std::memcmp(bytes.data(), lfs_pointer.data(), lfs_pointer.size()) == 0) {
    throw error(errc::bad_file, "{}: is {}", path.string(), lfs_pointer_told);
  }
}

}  // namespace

std::shared_ptr<const mapped_file> mapped_file::open(const std::filesystem::path& path) {
  // Without O_NONBLOCK a named pipe would be waited for here, before it can be refused.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    refuse(path, errno);
  }
  std::shared_ptr<mapped_file> file(new mapped_file);
  file->path_ = path;
  try {
    file->bytes_ = map(descriptor, path);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  ::close(descriptor);
  require_contents(file->bytes_, path);
  return file;
}

mapped_file::~mapped_file() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

std::string read_text_file(const std::filesystem::path& path) {
  const auto file = mapped_file::open(path);
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

}  // namespace troupe::io
