#include "io/files/near_file.hpp"

#include "base/near_names.hpp"

#include <system_error>
#include <vector>

namespace troupe::io {

namespace fs = std::filesystem;

std::string did_you_mean_file(const fs::path& missing) {
  constexpr size_t most_entries = 10'000;
  const fs::path folder = missing.has_parent_path() ? missing.parent_path() : fs::path(".");
  std::vector<std::string> names;
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure)) {
    if (names.size() == most_entries) {
      return "";
    }
    if (entry->path().filename() != missing.filename()) {  // there it is, but not what is wanted
      names.push_back(entry->path().filename().string());
    }
  }
  const std::string near = near_name(missing.filename().string(), names);
  return near.empty() ? "" : "; did you mean " + (missing.parent_path() / near).string() + "?";
}

}  // namespace troupe::io
