#include "io/checkpoint/checkpoint_replace.hpp"

#include "io/checkpoint/checkpoint_files.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"

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

private:
  fs::path path_;
};

void remove_manifest(const fs::path& folder, const attempt_fence& fence) {
  if (is_there(folder / manifest_name)) {
    fence.remove(folder / manifest_name);
  }
}

}  // namespace

checkpoint_file replace_hdf5(const fs::path& folder, const std::string& name,
                             const std::function<void(hdf5_file&)>& fill, const attempt_fence& fence) {
  const temporary_file temporary(fence.workplace(folder / name));
  hdf5_file file = hdf5_file::create(temporary.path());
  fill(file);
  file.close();
  sync_file(temporary.path());
  checkpoint_file entry = measure_file(temporary.path().parent_path(), temporary.path().filename().string());
  entry.name = name;
  remove_manifest(folder, fence);
  fence.commit(temporary.path(), folder / name);
  return entry;
}

}  // namespace troupe::io
