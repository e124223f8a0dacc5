// What one rank writes: its parts of the arrays, and the values that it alone has.
#include "io/checkpoint/checkpoint.hpp"

#include "base/error.hpp"
#include "base/system_reason.hpp"
#include "io/checkpoint/checkpoint_files.hpp"
#include "io/checkpoint/checkpoint_replace.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"
#include "io/hdf5/hdf5.hpp"

#include <algorithm>
#include <set>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

int64_t elements_of(const checkpoint_array& array) { return hdf5_shape{.shape = array.shape}.elements(); }

int64_t end_of(const checkpoint_array& array) { return array.end < 0 ? elements_of(array) : array.end; }

void check_array(const checkpoint_array& array) {
  const int64_t whole = elements_of(array);
  const int64_t end = end_of(array);
  if (array.shape.empty()) {
    throw error(errc::bad_argument, "array '{}' has no dimension: give a single number as a real", array.name);
  }
  if (array.begin < 0 || array.begin > end || end > whole) {
    throw error(errc::bad_argument, "array '{}': range [{}, {}) is not inside its {} elements", array.name, array.begin,
                end, whole);
  }
  if (!array.fill && static_cast<int64_t>(array.values.size()) != end - array.begin) {
    throw error(errc::bad_argument, "array '{}': {} values for the range [{}, {})", array.name, array.values.size(),
                array.begin, end);
  }
}

/// Every name once, and none that is a folder of another.
void check_names(const checkpoint_content& content) {
  std::set<std::string> names;
  const auto add = [&names](const std::string& name) {
    if (name.empty() || name.front() == '/' || name.back() == '/' || name.find("//") != std::string::npos ||
        !names.insert(name).second) {
      throw error(errc::bad_argument, "checkpoint: the name '{}' is malformed or used twice", name);
    }
  };
  std::for_each(content.arrays.begin(), content.arrays.end(), [&](const auto& a) { add(a.name); });
  std::for_each(content.integers.begin(), content.integers.end(), [&](const auto& i) { add(i.first); });
  std::for_each(content.reals.begin(), content.reals.end(), [&](const auto& r) { add(r.first); });
  std::for_each(content.texts.begin(), content.texts.end(), [&](const auto& t) { add(t.first); });
  for (const std::string& name : names) {
    for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
      if (names.count(name.substr(0, slash)) != 0) {
        throw error(errc::bad_argument, "checkpoint: '{}' is both a value and a folder of '{}'", name.substr(0, slash),
                    name);
      }
    }
  }
}

/// Of a large file, most is to be durable before its last flush, which
/// nothing but the file system knows the progress of.
constexpr int64_t bytes_between_syncs = int64_t{1} << 30;

void write_filled(hdf5_file& file, const checkpoint_array& array, const std::vector<int64_t>& stored,
                  int64_t& unsynced) {
  constexpr int64_t piece = int64_t{1} << 20;
  file.create(array.name, dtype::f32, stored);
  const int64_t end = end_of(array);
  std::vector<float> buffer(static_cast<size_t>(std::min(piece, end - array.begin)));
  for (int64_t at = array.begin; at < end; at += piece) {
    const auto part = std::span(buffer).first(static_cast<size_t>(std::min(piece, end - at)));
    array.fill(at, part);
    file.write_range(array.name, dtype::f32, at - array.begin, std::as_bytes(part));
    unsynced += static_cast<int64_t>(part.size_bytes());
    if (unsynced >= bytes_between_syncs) {
      file.sync();
      unsynced = 0;
    }
  }
}

/// A whole array keeps its shape; a part of one is flat. A rank without a part has no data set.
void write_array(hdf5_file& file, const checkpoint_array& array, int64_t& unsynced) {
  const int64_t whole = elements_of(array);
  const int64_t end = end_of(array);
  if (end == array.begin && whole > 0) {
    return;
  }
  const bool complete = end - array.begin == whole;
  const std::vector<int64_t> stored = complete ? array.shape : std::vector{end - array.begin};
  if (array.fill) {
    write_filled(file, array, stored, unsynced);
  } else {
    file.write<float>(array.name, stored, array.values);
  }
  file.write_attribute(array.name, global_shape_attribute, std::span<const int64_t>(array.shape));
  file.write_attribute(array.name, begin_attribute, array.begin);
  file.write_attribute(array.name, end_attribute, end);
}

void write_content(hdf5_file& file, const checkpoint_content& content) {
  int64_t unsynced = 0;
  for (const checkpoint_array& array : content.arrays) {
    write_array(file, array, unsynced);
  }
  for (const auto& [name, value] : content.integers) {
    file.write<int64_t>(name, {}, std::span(&value, 1));
  }
  for (const auto& [name, value] : content.reals) {
    file.write<double>(name, {}, std::span(&value, 1));
  }
  for (const auto& [name, value] : content.texts) {
    file.write_text(name, value);
  }
}

/// Creates the folder and makes each new name on the way durable.
void create_folder(const fs::path& folder) {
  if (is_folder(folder)) {
    return;
  }
  const fs::path parent = folder.parent_path();
  if (!parent.empty()) {
    create_folder(parent);
  }
  std::error_code failure;
  fs::create_directory(folder, failure);
  if (failure) {
    throw error(errc::io_failure, "cannot create {}: {}", folder.string(), system_reason(failure.value()));
  }
  sync_folder(parent);
}

}  // namespace

checkpoint_file write_checkpoint(const fs::path& folder, const checkpoint_content& content, int rank, int ranks,
                                 const attempt_fence& fence) {
  if (rank < 0 || rank >= ranks) {
    throw error(errc::bad_argument, "checkpoint: rank {} of {}", rank, ranks);
  }
  std::for_each(content.arrays.begin(), content.arrays.end(), check_array);
  check_names(content);
  create_folder(folder);
  return replace_hdf5(
      folder, rank_file_name(rank),
      [&](hdf5_file& file) {
        file.write_attribute("/", "format", int64_t{1});
        file.write_attribute("/", "rank", int64_t{rank});
        file.write_attribute("/", "ranks", int64_t{ranks});
        write_content(file, content);
      },
      fence);
}

}  // namespace troupe::io
