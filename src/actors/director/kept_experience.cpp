#include "actors/director/kept_experience.hpp"

#include "base/error.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/experience_set.hpp"
#include "io/experience/summary.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <vector>

namespace troupe::actors {

namespace {

namespace fs = std::filesystem;

/// A file that is neither among the last nor one of every so many.
struct old_file {
  fs::path path;
  int64_t iteration = 0;
  double reward = 0;  ///< mean
};

bool kept_by_number(int64_t file, int64_t now, const io::experience_section& keeps) {
  return file > now - keeps.keep || (keeps.keep_every > 0 && file % keeps.keep_every == 0);
}

/// Empty: the file cannot be read.
std::optional<double> reward_of(const fs::path& path) {
  try {
    const double mean = io::read_summary(path).reward_mean;
    return std::isfinite(mean) ? mean : -std::numeric_limits<double>::infinity();
  } catch (const error& failure) {
    spdlog::warn("{}: it is left where it is, since its reward is not known", failure.what());
    return std::nullopt;
  }
}

/// Those that only a high reward can save, the best first; of equals the earlier.
std::vector<old_file> old_files(const fs::path& folder, int64_t now, const io::experience_section& keeps) {
  std::vector<old_file> old;
  for (const fs::path& path : io::all_experience_files(folder)) {
    const int64_t file = io::iteration_of(path).value();
    const auto reward = kept_by_number(file, now, keeps) ? std::nullopt
                        : keeps.keep_best > 0            ? reward_of(path)
                                                         : std::optional(0.0);
    if (reward) {
      old.push_back({path, file, *reward});
    }
  }
  std::stable_sort(old.begin(), old.end(), [](const old_file& a, const old_file& b) { return a.reward > b.reward; });
  return old;
}

}  // namespace

void drop_old_experience(const io::run_directory& run, uint64_t iteration, const io::experience_section& keeps,
                         const io::attempt_fence& fence) {
  if (keeps.keep == 0) {
    return;
  }
  const std::vector<old_file> old = old_files(run.experience(), static_cast<int64_t>(iteration), keeps);
  for (size_t i = 0; i < old.size(); ++i) {
    if (i >= static_cast<size_t>(keeps.keep_best) || std::isinf(old[i].reward)) {
      fence.remove(old[i].path);
    }
  }
}

void drop_later_experience(const io::run_directory& run, uint64_t iteration, const io::attempt_fence& fence) {
  for (const auto& folder : {run.experience(), run.root() / "evaluations"}) {
    io::remove_experience_after(folder, static_cast<int64_t>(iteration), fence);
  }
}

std::string set_aside(const io::run_directory& run, uint64_t iteration, int64_t rollback, std::string reason,
                      const io::attempt_fence& fence) {
  const std::filesystem::path kept = run.experience(static_cast<int64_t>(iteration));
  if (!std::filesystem::exists(kept)) {
    return reason;
  }
  const std::string stem = kept.stem().string();
  const std::string aside = fmt::format("{}.diverged-{}.h5", stem, rollback);
  fence.commit(fence.take(kept), kept.parent_path() / aside);
  const std::string named = stem + ".h5";
  if (const size_t at = reason.find(named); at != std::string::npos) {
    return reason.replace(at, named.size(), aside);
  }
  return fmt::format("{}; the experience is kept in experience/{}", reason, aside);
}

}  // namespace troupe::actors
