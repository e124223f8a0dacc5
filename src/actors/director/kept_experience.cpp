#include "actors/director/kept_experience.hpp"

#include "io/experience/experience.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace troupe::actors {

void drop_old_experience(const io::run_directory& run, uint64_t iteration, int64_t keep,
                         const io::attempt_fence& fence) {
  const auto kept = static_cast<uint64_t>(keep);
  if (kept > 0 && iteration > kept) {
    const auto old = run.experience(static_cast<int64_t>(iteration - kept));
    if (std::filesystem::exists(old)) {
      fence.remove(old);
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
