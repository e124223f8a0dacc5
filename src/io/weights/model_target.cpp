#include "io/weights/model_target.hpp"

#include "base/error.hpp"
#include "io/files/paths.hpp"
#include "io/weights/model_folder.hpp"

#include <algorithm>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// Without links, ".." and a slash at the end, as far as the path is there.
fs::path real_path(const fs::path& path) {
  std::error_code failure;
  const fs::path real = fs::weakly_canonical(fs::absolute(path), failure);
  if (failure) {
    throw error(errc::io_failure, "cannot look up {}: {}", path.string(), failure.message());
  }
  return real.has_filename() ? real : real.parent_path();
}

/// Whether `inner` is `outer`, or lies in it.
bool lies_in(const fs::path& inner, const fs::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

/// What is read of a source: itself, and where the links in a folder lead.
std::vector<fs::path> real_paths_of(const fs::path& source) {
  std::vector<fs::path> all = {real_path(source)};
  if (is_folder(source)) {
    for (const fs::directory_entry& entry : entries_of(source)) {
      all.push_back(real_path(entry.path()));
    }
  }
  return all;
}

void require_apart(const fs::path& target, const fs::path& source) {
  for (const fs::path& read : real_paths_of(source)) {
    if (lies_in(read, target)) {
      throw error(errc::bad_argument, "{}: the target contains the source {}, which would be lost: name another folder",
                  target.string(), source.string());
    }
    if (lies_in(target, read)) {
      throw error(errc::bad_argument, "{}: the target lies in the source {}: name another folder", target.string(),
                  source.string());
    }
  }
}

void require_replaceable(const fs::path& target, bool overwrite) {
  if (!is_folder(target)) {
    throw error(errc::bad_argument, "{}: a file of that name is there: name another folder", target.string());
  }
  if (entries_of(target).empty()) {
    return;
  }
  if (const auto stranger = stranger_in_model_folder(target)) {
    throw error(errc::bad_argument,
                "{}: this folder holds {}, which is no part of a model that troupe writes: name a folder that is not "
                "there yet",
                target.string(), *stranger);
  }
  if (!is_there(target / "config.json")) {
    throw error(errc::bad_argument, "{}: this folder holds no whole model: name a folder that is not there yet",
                target.string());
  }
  if (!overwrite) {
    throw error(errc::bad_argument, "{}: there is a model already: --overwrite replaces it", target.string());
  }
}

}  // namespace

fs::path model_target(const fs::path& target, std::span<const fs::path> sources, bool overwrite) {
  if (target.empty()) {
    throw error(errc::bad_argument, "the target has no name: name a folder");
  }
  const fs::path real = real_path(target);
  if (fs::is_symlink(real)) {
    throw error(errc::bad_argument, "{}: a link that leads nowhere: name another folder", real.string());
  }
  for (const fs::path& source : sources) {
    require_apart(real, source);
  }
  if (is_there(real)) {
    require_replaceable(real, overwrite);
  }
  return real;
}

}  // namespace troupe::io
