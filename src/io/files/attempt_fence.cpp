#include "io/files/attempt_fence.hpp"

#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace troupe::io {

namespace fs = std::filesystem;

attempt_fence::attempt_fence(fs::path folder, std::function<void()> still_allowed)
    : folder_(std::move(folder)), still_allowed_(std::move(still_allowed)) {}

fs::path attempt_fence::workplace(const fs::path& target) const {
  require();
  return folder_ / fmt::format("{}.{}", target.parent_path().filename().string(), target.filename().string());
}

void attempt_fence::rename(const fs::path& from, const fs::path& to) const {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    const int reason = errno;
    require();  // the usual reason, if another attempt has begun since
    throw error(errc::io_failure, "cannot rename {} to {}: {}{}", from.string(), to.string(), std::strerror(reason),
                reason == EXDEV ? "; a run directory must lie on one file system" : "");
  }
}

void attempt_fence::commit(const fs::path& made, const fs::path& target) const {
  require();
  rename(made, target);
  sync_folder(target.parent_path());
}

fs::path attempt_fence::take(const fs::path& path) const {
  fs::path taken = workplace(path);
  taken += ".removed";
  remove_tree(taken);
  rename(path, taken);
  sync_folder(path.parent_path());
  return taken;
}

void attempt_fence::remove(const fs::path& path) const { remove_tree(take(path)); }

}  // namespace troupe::io
