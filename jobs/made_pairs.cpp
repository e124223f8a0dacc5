#include "jobs/made_pairs.hpp"

#include "base/error.hpp"
#include "io/experience/pairs_file.hpp"
#include "io/job/phases.hpp"

#include <filesystem>

namespace troupe {

made_pairs made_pairs_of(const io::job& job, io::phase wanted) {
  if (!io::feeds(job, io::phase::pairs, wanted)) {
    return {};
  }
  try {
    const std::filesystem::path file = io::pairs_file(io::run_directory::open(job.run.dir));
    return {.wanted = true, .file = std::filesystem::exists(file) ? file.string() : ""};
  } catch (const error&) {  // the run has not begun
    return {.wanted = true, .file = ""};
  }
}

}  // namespace troupe
