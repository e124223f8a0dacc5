#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/checkpoint/checkpoint_files.hpp"
#include "io/files/paths.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// A folder named like a checkpoint, finished or not.
struct candidate {
  fs::path folder;
  std::string unit;
  int64_t counter = 0;

  /// Errors  io_failure: it cannot be looked up, which is not the same as absent.
  bool has_manifest() const { return is_there(folder / manifest_name); }
};

std::optional<candidate> parse_name(const fs::path& folder) {
  const std::string name = folder.filename().string();
  const size_t dash = name.find('-');
  if (dash == std::string::npos) {
    return std::nullopt;
  }
  candidate result{folder, name.substr(0, dash), 0};
  const char* const begin = name.data() + dash + 1;
  const char* const end = name.data() + name.size();
  const auto [stop, failure] = std::from_chars(begin, end, result.counter);
  const bool known = result.unit == "update" || result.unit == "iteration";
  if (!known || failure != std::errc() || stop != end || end - begin < 6 || result.counter < 0) {
    return std::nullopt;
  }
  return result;
}

/// Folders of a phase that are named like checkpoints, by counter, ascending. None where the phase has no folder.
/// Errors  io_failure: what cannot be read must not be taken for what is not there.
std::vector<candidate> candidates(const fs::path& root, const std::string& phase) {
  std::vector<candidate> found;
  for (const fs::directory_entry& entry : entries_of(root / phase)) {
    if (std::optional<candidate> one = parse_name(entry.path()); one && is_folder(entry.path())) {
      found.push_back(std::move(*one));
    }
  }
  std::sort(found.begin(), found.end(), [](const candidate& a, const candidate& b) { return a.counter < b.counter; });
  return found;
}

checkpoint_manifest checked_manifest(const candidate& one, const std::string& phase) {
  checkpoint_manifest manifest = read_manifest(one.folder);
  if (manifest.phase != phase || manifest.unit != one.unit || manifest.counter != one.counter) {
    throw error(errc::bad_file, "{}: its manifest is that of {}/{}-{:06}", one.folder.string(), manifest.phase,
                manifest.unit, manifest.counter);
  }
  for (const checkpoint_file& entry : manifest.files) {
    check_size(one.folder, entry);
  }
  return manifest;
}

/// Whether it can be resumed from, as far as manifest and sizes tell.
/// Errors  io_failure: it cannot be read now, which says nothing of it.
bool is_good(const candidate& one, const std::string& phase) {
  if (!one.has_manifest()) {
    return false;
  }
  try {
    checked_manifest(one, phase);
    return true;
  } catch (const error& failure) {
    if (!is_damage(one.folder, failure)) {
      throw;
    }
    return false;
  }
}

}  // namespace

fs::path checkpoint_folder(const fs::path& checkpoints_root, const std::string& phase, const std::string& unit,
                           int64_t counter) {
  return checkpoints_root / phase / fmt::format("{}-{:06}", unit, counter);
}

std::vector<found_checkpoint> list_checkpoints(const fs::path& checkpoints_root, const std::string& phase,
                                               std::vector<std::string>* problems) {
  std::vector<found_checkpoint> result;
  for (const candidate& one : candidates(checkpoints_root, phase)) {
    if (!one.has_manifest()) {
      continue;
    }
    try {
      result.push_back({one.folder, checked_manifest(one, phase)});
    } catch (const error& failure) {
      if (problems != nullptr) {
        problems->emplace_back(failure.what());
      }
    }
  }
  return result;
}

std::optional<checkpoint_candidate> newest_checkpoint(const fs::path& checkpoints_root, const std::string& phase,
                                                      int64_t counter) {
  const std::vector<candidate> all = candidates(checkpoints_root, phase);
  const auto newest = std::find_if(all.rbegin(), all.rend(), [counter](const candidate& one) {
    return one.counter < counter && one.has_manifest();
  });
  if (newest == all.rend()) {
    return std::nullopt;
  }
  checkpoint_candidate found{.folder = newest->folder, .counter = newest->counter, .files = {}, .problem = ""};
  try {
    found.files = checked_manifest(*newest, phase).files;
  } catch (const error& failure) {
    if (!is_damage(newest->folder, failure)) {
      throw;
    }
    found.problem = failure.what();
  }
  return found;
}

void prune_checkpoints(const fs::path& checkpoints_root, const std::string& phase, int64_t keep,
                       const attempt_fence& fence, const std::optional<fs::path>& best) {
  if (keep < 1) {
    throw error(errc::bad_argument, "cannot keep {} checkpoints: at least 1 is needed to resume", keep);
  }
  const std::vector<candidate> all = candidates(checkpoints_root, phase);
  std::vector<candidate> good;
  std::copy_if(all.begin(), all.end(), std::back_inserter(good),
               [&](const candidate& one) { return is_good(one, phase); });
  if (good.empty()) {
    return;
  }
  const size_t first_kept = good.size() - std::min(good.size(), static_cast<size_t>(keep));
  const auto kept = [&](const fs::path& folder) {
    const auto same = [&](const candidate& one) { return one.folder == folder; };
    return std::any_of(good.begin() + static_cast<ptrdiff_t>(first_kept), good.end(), same) ||
           (best && best->filename() == folder.filename());
  };
  for (const candidate& one : all) {
    if (one.counter < good.back().counter && !kept(one.folder)) {
      fence.remove(one.folder);
    }
  }
}

void remove_checkpoints_after(const fs::path& checkpoints_root, const std::string& phase, int64_t counter,
                              const attempt_fence& fence) {
  for (const candidate& one : candidates(checkpoints_root, phase)) {
    if (one.counter > counter) {
      fence.remove(one.folder);
    }
  }
}

}  // namespace troupe::io
