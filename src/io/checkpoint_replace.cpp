#include "io/checkpoint_replace.hpp"

#include "io/atomic_file.hpp"
#include "io/checkpoint_files.hpp"
#include "kernels/base/error.hpp"
#include "kernels/base/host_name.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// Removes its file unless it was renamed.
class temporary_file {
public:
  explicit temporary_file(fs::path path) : path_(std::move(path)) {}
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }

  const fs::path& path() const { return path_; }

  void sync() const {
    const int descriptor = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    const int status = descriptor < 0 ? -1 : ::fsync(descriptor);
    const int reason = errno;
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    if (status != 0) {
      throw error(errc::io_failure, "cannot flush {}: {}", path_.string(), std::strerror(reason));
    }
  }

  void rename_to(const fs::path& target) const {
    if (::rename(path_.c_str(), target.c_str()) != 0) {
      throw error(errc::io_failure, "cannot rename {} to {}: {}", path_.string(), target.string(),
                  std::strerror(errno));
    }
    sync_folder(target.parent_path());
  }

private:
  fs::path path_;
};

/// Each writer has a temporary file of its own: one left over from a stopped process, which may
/// wake up again, must neither block nor touch this one. Its name is taken from it, so it cannot be
/// renamed later either.
fs::path fresh_temporary(const fs::path& folder, const std::string& name) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string other = entry.path().filename().string();
    if (other.rfind(name + ".", 0) == 0 && entry.path().extension() == ".tmp") {
      std::error_code ignored;
      fs::remove(entry.path(), ignored);
    }
  }
  return folder / fmt::format("{}.{}-{}.tmp", name, host_name(), ::getpid());
}

void remove_manifest(const fs::path& folder) {
  std::error_code failure;
  if (fs::remove(folder / manifest_name, failure)) {
    sync_folder(folder);
  }
  if (failure) {
    throw error(errc::io_failure, "cannot remove {}: {}", (folder / manifest_name).string(), failure.message());
  }
}

}  // namespace

checkpoint_file replace_hdf5(const fs::path& folder, const std::string& name,
                             const std::function<void(hdf5_file&)>& fill, const commit_check& still_allowed) {
  const temporary_file temporary(fresh_temporary(folder, name));
  hdf5_file file = hdf5_file::create(temporary.path());
  fill(file);
  file.close();
  temporary.sync();
  checkpoint_file entry = measure_file(folder, temporary.path().filename().string());
  entry.name = name;
  still_allowed();
  remove_manifest(folder);
  temporary.rename_to(folder / name);
  return entry;
}

}  // namespace troupe::io
