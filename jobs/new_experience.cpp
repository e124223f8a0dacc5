#include "jobs/new_experience.hpp"

#include "base/error.hpp"
#include "io/experience/capabilities.hpp"

#include <fmt/format.h>

namespace troupe {

namespace fs = std::filesystem;

static const fs::path& require_new(const fs::path& folder) {
  if (fs::exists(folder) && (!fs::is_directory(folder) || !fs::is_empty(folder))) {
    throw error(errc::bad_argument, "{} is there already: name a new folder", folder.string());
  }
  return folder;
}

new_experience::new_experience(const fs::path& folder) : folder_(require_new(folder)) {}

void new_experience::add(const io::experience& e) {
  const fs::path file = folder_.staging() / fmt::format("iteration-{:06}.h5", e.iteration);
  if (fs::exists(file)) {
    throw error(errc::bad_argument, "two files hold iteration {}: leave one of them out", e.iteration);
  }
  io::write_experience(file, e);
  ++files_;
  answers_ += e.sequences();
  serves_.insert(describe(io::capabilities_of(e)));
}

std::string new_experience::serves() const {
  std::string lines;
  for (const std::string& what : serves_) {
    lines += (lines.empty() ? "it has " : "\nit has ") + what;
  }
  return lines;
}

}  // namespace troupe
