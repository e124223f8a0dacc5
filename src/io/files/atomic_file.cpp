#include "io/files/atomic_file.hpp"

#include "base/error.hpp"
#include "base/system_reason.hpp"
#include "io/files/paths.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

fs::path with_suffix(const fs::path& path, const char* suffix) {
  fs::path result = path;
  result += suffix;
  return result;
}

[[noreturn]] void refuse(const char* what, const fs::path& path, int reason) {
  throw error(errc::io_failure, "cannot {} {}: {}", what, path.string(), system_reason(reason));
}

/// Opens, locks and empties the temporary file of `target`.
/// The lock is taken before truncating, and the name checked after locking: another writer may have
/// renamed the very file that was opened to its target in between, and that one must not be
/// emptied.
int open_temporary(const fs::path& path) {
  for (;;) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) {
      refuse("create", path, errno);
    }
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      ::close(descriptor);
      throw error(errc::io_failure, "cannot write {}: another process is writing it", path.string());
    }
    struct stat opened {};
    struct stat named {};
    const bool same = ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
                      opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    if (!same) {
      ::close(descriptor);
      continue;
    }
    if (::ftruncate(descriptor, 0) != 0) {
      const int reason = errno;
      ::close(descriptor);
      refuse("empty", path, reason);
    }
    return descriptor;
  }
}

void sync_path(const fs::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (descriptor < 0) {
    refuse("open", path, errno);
  }
  const int result = ::fsync(descriptor);
  const int reason = errno;
  ::close(descriptor);
  // EINVAL: some network file systems cannot sync a folder; their renames are durable on the
  // server.
  if (result != 0 && !(reason == EINVAL && (flags & O_DIRECTORY) != 0)) {
    refuse("flush", path, reason);
  }
}

void sync_tree(const fs::path& folder) {
  for (const fs::directory_entry& entry : entries_of(folder)) {
    if (entry.is_symlink()) {
      continue;
    }
    if (entry.is_directory()) {
      sync_tree(entry.path());
    } else {
      sync_path(entry.path(), 0);
    }
  }
  sync_path(folder, O_DIRECTORY);
}

/// Swaps two names in one step; false where the file system cannot.
bool exchange(const fs::path& a, const fs::path& b) {
  return ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

fs::path without_trailing_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

void sync_file(const fs::path& file) { sync_path(file, 0); }

void sync_folder(const fs::path& folder) { sync_path(folder.empty() ? fs::path(".") : folder, O_DIRECTORY); }

atomic_file::atomic_file(fs::path target) : atomic_file(target, with_suffix(target, ".tmp")) {}

atomic_file::atomic_file(fs::path target, fs::path workplace)
    : target_(std::move(target)), workplace_(std::move(workplace)), descriptor_(open_temporary(workplace_)) {}

atomic_file::atomic_file(atomic_file&& other) noexcept
    : target_(std::move(other.target_)), workplace_(std::move(other.workplace_)),
      descriptor_(std::exchange(other.descriptor_, -1)), written_(other.written_) {}

atomic_file::~atomic_file() {
  if (descriptor_ >= 0) {
    ::unlink(workplace_.c_str());
    ::close(descriptor_);
  }
}

void atomic_file::write(std::span<const std::byte> bytes) {
  write_at(written_, bytes);
  written_ += static_cast<int64_t>(bytes.size());
}

void atomic_file::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void atomic_file::write_at(int64_t offset, std::span<const std::byte> bytes) {
  constexpr size_t largest_piece = size_t{1} << 30;
  size_t done = 0;
  while (done < bytes.size()) {
    const size_t piece = std::min(bytes.size() - done, largest_piece);
    const ssize_t count =
        ::pwrite(descriptor_, bytes.data() + done, piece, static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      const int reason = count < 0 ? errno : ENOSPC;
      throw error(errc::io_failure, "cannot write {} bytes at offset {} of {}: {}; nothing was changed at {}",
                  bytes.size() - done, offset + static_cast<int64_t>(done), workplace_.string(), system_reason(reason),
                  target_.string());
    }
    done += static_cast<size_t>(count);
  }
}

void atomic_file::commit() {
  if (::fsync(descriptor_) != 0) {
    refuse("flush", workplace_, errno);
  }
  rename_path(workplace_, target_);
  ::close(std::exchange(descriptor_, -1));
  sync_folder(target_.parent_path());
}

void write_file_atomically(const fs::path& target, std::span<const std::byte> bytes) {
  atomic_file file(target);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const fs::path& target, std::string_view text) {
  write_file_atomically(target, std::as_bytes(std::span(text)));
}

namespace {

/// False: something of that name is there.
bool made_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0777) == 0) {
    return true;
  }
  if (errno != EEXIST) {
    refuse("create the folder", path, errno);
  }
  return false;
}

/// The folders in the making, and the right to begin one, to finish it, or to remove it.
struct unfinished_folders {
  std::mutex mutex;
  std::set<fs::path> paths;
};

/// Never destroyed: a thread may discard them while the process ends.
unfinished_folders& unfinished() {
  static auto* const all = new unfinished_folders;
  return *all;
}

/// A new folder beside `target`, of a name that nothing else has: what lies there is somebody's.
fs::path new_folder_beside(const fs::path& target) {
  make_folder(target.parent_path());
  const std::lock_guard lock(unfinished().mutex);
  for (int i = 0;; ++i) {
    fs::path path = target.parent_path() / fmt::format(".{}.{}-{}", target.filename().string(), ::getpid(), i);
    if (made_folder(path)) {
      unfinished().paths.insert(path);
      return path;
    }
  }
}

/// The folder of that name, new.
fs::path emptied_folder(fs::path path) {
  const std::lock_guard lock(unfinished().mutex);
  remove_tree(path);
  if (!made_folder(path)) {  // and not the place that it is in, which may be gone for a reason
    throw error(errc::io_failure, "cannot create the folder {}: another process has", path.string());
  }
  unfinished().paths.insert(path);
  return path;
}

}  // namespace

void discard_unfinished_folders() {
  unfinished().mutex.lock();  // for good
  for (const fs::path& folder : unfinished().paths) {
    std::error_code failure;
    do {
      fs::remove_all(folder, failure);
    } while (failure == std::errc::directory_not_empty);  // another thread still writes there
  }
}

atomic_folder::atomic_folder(const fs::path& target)
    : target_(without_trailing_slash(target)), replaces_(is_there(target_)), staging_(new_folder_beside(target_)) {
  require_no_file();
}

atomic_folder::atomic_folder(const fs::path& target, fs::path staging)
    : target_(without_trailing_slash(target)), replaces_(is_there(target_)),
      staging_(emptied_folder(std::move(staging))) {
  require_no_file();
}

void atomic_folder::require_no_file() const {
  if (replaces_ && !is_folder(target_)) {
    discard();
    throw error(errc::io_failure, "cannot write the folder {}: a file of that name is there", target_.string());
  }
}

atomic_folder::~atomic_folder() { discard(); }

void atomic_folder::discard() const {
  const std::lock_guard lock(unfinished().mutex);
  if (unfinished().paths.erase(staging_) > 0) {
    std::error_code ignored;
    fs::remove_all(staging_, ignored);
  }
}

/// Where the file system has no exchange: both names in turn. The older folder comes back where the second step fails.
void atomic_folder::replace_in_two_steps() const {
  const fs::path old = with_suffix(staging_, ".old");
  rename_path(target_, old);
  try {
    rename_path(staging_, target_);
  } catch (const error&) {
    rename_path(old, target_);
    throw;
  }
  rename_path(old, staging_);
}

void atomic_folder::commit() {
  sync_tree(staging_);
  const std::lock_guard lock(unfinished().mutex);
  if (!replaces_) {
    rename_path(staging_, target_);  // fails where something has come to be there
  } else if (!exchange(staging_, target_)) {
    replace_in_two_steps();
  }
  sync_folder(target_.parent_path());
  remove_tree(staging_);  // the older folder by now, or nothing
  unfinished().paths.erase(staging_);
}

}  // namespace troupe::io
