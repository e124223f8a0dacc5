#include "io/files/paths.hpp"

#include "base/error.hpp"
#include "base/system_reason.hpp"

#include <algorithm>
#include <system_error>

namespace troupe::io {

namespace fs = std::filesystem;

static void require(const std::error_code& failure, const char* what, const fs::path& path) {
  if (failure) {
    throw error(errc::io_failure, "cannot {} {}: {}", what, path.string(), system_reason(failure.value()));
  }
}

/// Of a path with nothing there it is no error.
static fs::file_status status_of(const fs::path& path) {
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  if (status.type() == fs::file_type::none) {
    require(failure, "look up", path);
  }
  return status;
}

bool is_there(const fs::path& path) { return fs::exists(status_of(path)); }

bool is_folder(const fs::path& path) { return fs::is_directory(status_of(path)); }

void make_folder(const fs::path& path) {
  std::error_code failure;
  fs::create_directories(path.empty() ? "." : path, failure);
  require(failure, "create the folder", path);
}

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure)) {
    entries.push_back(*entry);
  }
  if (failure != std::errc::no_such_file_or_directory) {
    require(failure, "list", folder);
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

void rename_path(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) {
    throw error(errc::io_failure, "cannot rename {} to {}: {}", from.string(), to.string(),
                system_reason(failure.value()));
  }
}

void remove_tree(const fs::path& path) {
  std::error_code failure;
  fs::remove_all(path, failure);
  require(failure, "remove", path);
}

}  // namespace troupe::io
