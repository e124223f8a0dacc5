#include "io/experience/experience_set.hpp"

#include "base/error.hpp"
#include "io/experience/experience.hpp"
#include "io/files/paths.hpp"

#include <algorithm>
#include <utility>

namespace troupe::io {

namespace fs = std::filesystem;

std::vector<fs::path> all_experience_files(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> found;
  for (const fs::directory_entry& entry : entries_of(folder)) {
    if (const auto iteration = iteration_of(entry.path())) {
      found.emplace_back(*iteration, entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<fs::path> files;
  files.reserve(found.size());
  for (auto& [iteration, path] : found) {
    files.push_back(std::move(path));
  }
  return files;
}

std::vector<fs::path> find_experience(const fs::path& path) {
  if (!is_there(path)) {
    throw error(errc::not_found, "{}: there is nothing", path.string());
  }
  if (!is_folder(path)) {
    return {path};
  }
  for (const fs::path& folder : {path, path / "experience"}) {
    if (std::vector<fs::path> files = experience_files(folder); !files.empty()) {
      return files;
    }
  }
  throw error(errc::not_found, "{}: neither it nor its folder experience/ holds an iteration-N.h5", path.string());
}

}  // namespace troupe::io
