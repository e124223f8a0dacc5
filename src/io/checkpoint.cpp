#include "io/checkpoint.hpp"

#include "io/atomic_file.hpp"
#include "io/checkpoint_files.hpp"
#include "io/hdf5.hpp"
#include "kernels/base/error.hpp"
#include "kernels/base/host_name.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
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

void write_filled(hdf5_file& file, const checkpoint_array& array, const std::vector<int64_t>& stored) {
  constexpr int64_t piece = int64_t{1} << 20;
  file.create(array.name, dtype::f32, stored);
  const int64_t end = end_of(array);
  std::vector<float> buffer(static_cast<size_t>(std::min(piece, end - array.begin)));
  for (int64_t at = array.begin; at < end; at += piece) {
    const auto part = std::span(buffer).first(static_cast<size_t>(std::min(piece, end - at)));
    array.fill(at, part);
    file.write_range(array.name, dtype::f32, at - array.begin, std::as_bytes(part));
  }
}

/// A whole array keeps its shape; a part of one is flat. A rank without a part has no data set.
void write_array(hdf5_file& file, const checkpoint_array& array) {
  const int64_t whole = elements_of(array);
  const int64_t end = end_of(array);
  if (end == array.begin && whole > 0) {
    return;
  }
  const bool complete = end - array.begin == whole;
  const std::vector<int64_t> stored = complete ? array.shape : std::vector{end - array.begin};
  if (array.fill) {
    write_filled(file, array, stored);
  } else {
    file.write<float>(array.name, stored, array.values);
  }
  file.write_attribute(array.name, global_shape_attribute, std::span<const int64_t>(array.shape));
  file.write_attribute(array.name, begin_attribute, array.begin);
  file.write_attribute(array.name, end_attribute, end);
}

void write_content(hdf5_file& file, const checkpoint_content& content) {
  for (const checkpoint_array& array : content.arrays) {
    write_array(file, array);
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

/// Removes its file unless it was renamed.
class temporary_file {
public:
  explicit temporary_file(fs::path path) : path_(std::move(path)) {}
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }

  const fs::path& path() const { return path_; }

  void sync() const {
    const int descriptor = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    const int status = descriptor < 0 ? -1 : ::fsync(descriptor);
    const int reason = errno;
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    if (status != 0) {
      throw error(errc::io_failure, "cannot flush {}: {}", path_.string(), std::strerror(reason));
    }
  }

  void rename_to(const fs::path& target) const {
    if (::rename(path_.c_str(), target.c_str()) != 0) {
      throw error(errc::io_failure, "cannot rename {} to {}: {}", path_.string(), target.string(),
                  std::strerror(errno));
    }
    sync_folder(target.parent_path());
  }

private:
  fs::path path_;
};

/// Each writer has a temporary file of its own: one left over from a stopped process, which may
/// wake up again, must neither block nor touch this one. Its name is taken from it, so it cannot be
/// renamed later either.
fs::path fresh_temporary(const fs::path& folder, const std::string& name) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string other = entry.path().filename().string();
    if (other.rfind(name + ".", 0) == 0 && entry.path().extension() == ".tmp") {
      std::error_code ignored;
      fs::remove(entry.path(), ignored);
    }
  }
  return folder / fmt::format("{}.{}-{}.tmp", name, host_name(), ::getpid());
}

void remove_manifest(const fs::path& folder) {
  std::error_code failure;
  if (fs::remove(folder / manifest_name, failure)) {
    sync_folder(folder);
  }
  if (failure) {
    throw error(errc::io_failure, "cannot remove {}: {}", (folder / manifest_name).string(), failure.message());
  }
}

/// write -> flush -> digest -> still allowed? -> rename.
checkpoint_file write_hdf5(const fs::path& folder, const std::string& name, const std::function<void(hdf5_file&)>& fill,
                           const commit_check& still_allowed) {
  const temporary_file temporary(fresh_temporary(folder, name));
  hdf5_file file = hdf5_file::create(temporary.path());
  fill(file);
  file.close();
  temporary.sync();
  checkpoint_file entry = measure_file(folder, temporary.path().filename().string());
  entry.name = name;
  still_allowed();
  remove_manifest(folder);
  temporary.rename_to(folder / name);
  return entry;
}

/// Creates the folder and makes each new name on the way durable.
void create_folder(const fs::path& folder) {
  if (fs::is_directory(folder)) {
    return;
  }
  const fs::path parent = folder.parent_path();
  if (!parent.empty()) {
    create_folder(parent);
  }
  std::error_code failure;
  fs::create_directory(folder, failure);
  if (failure) {
    throw error(errc::io_failure, "cannot create {}: {}", folder.string(), failure.message());
  }
  sync_folder(parent);
}

struct piece {
  int64_t begin, end, rank;
  bool operator<(const piece& other) const { return std::pair(begin, end) < std::pair(other.begin, other.end); }
};

struct whole_array {
  std::vector<int64_t> shape;
  std::vector<piece> pieces;
};

void add_pieces(std::map<std::string, whole_array>& arrays, const hdf5_file& file, int rank) {
  for (const std::string& name : file.data_sets()) {
    if (!file.has_attribute(name, global_shape_attribute)) {
      continue;  // an integer, a real or a text
    }
    const std::vector<int64_t> shape = file.read_ints_attribute(name, global_shape_attribute);
    const auto [found, added] = arrays.try_emplace(name, whole_array{shape, {}});
    if (found->second.shape != shape) {
      throw error(errc::bad_file, "array '{}' has shape [{}] at rank {}, [{}] at another", name, fmt::join(shape, ", "),
                  rank, fmt::join(found->second.shape, ", "));
    }
    found->second.pieces.push_back(
        {file.read_int_attribute(name, begin_attribute), file.read_int_attribute(name, end_attribute), rank});
  }
}

void check_coverage(const std::string& name, whole_array& array) {
  std::sort(array.pieces.begin(), array.pieces.end());
  int64_t covered = 0;
  for (const piece& p : array.pieces) {
    if (p.begin != covered) {
      throw error(errc::bad_file, "array '{}': the part of rank {} begins at {}, {} is {}", name, p.rank, p.begin,
                  covered, p.begin > covered ? "missing" : "where the one before ends");
    }
    covered = p.end;
  }
  const int64_t whole = hdf5_shape{.shape = array.shape}.elements();
  if (covered != whole) {
    throw error(errc::bad_file, "array '{}': {} of its {} values were written", name, covered, whole);
  }
}

std::vector<hdf5_virtual_piece> virtual_pieces(const std::string& name, const whole_array& array) {
  std::vector<hdf5_virtual_piece> pieces;
  for (const piece& p : array.pieces) {
    if (array.pieces.size() == 1) {
      pieces.push_back({rank_file_name(p.rank), "/" + name, array.shape, std::vector<int64_t>(array.shape.size(), 0),
                        array.shape, 0});
      break;
    }
    int64_t source = 0;
    for (const array_block& block : blocks_of_range(array.shape, p.begin, p.end)) {
      pieces.push_back({rank_file_name(p.rank), "/" + name, {p.end - p.begin}, block.start, block.extent, source});
      source += hdf5_shape{.shape = block.extent}.elements();
    }
  }
  return pieces;
}

void write_whole(hdf5_file& file, const std::string& name, const whole_array& array) {
  if (hdf5_shape{.shape = array.shape}.elements() == 0) {
    file.write<float>(name, array.shape, {});
  } else {
    file.write_virtual(name, array.shape, virtual_pieces(name, array));
  }
  std::vector<int64_t> ranks, begins;
  for (const piece& p : array.pieces) {
    ranks.push_back(p.rank);
    begins.push_back(p.begin);
  }
  file.write_attribute(name, piece_rank_attribute, std::span<const int64_t>(ranks));
  file.write_attribute(name, piece_begin_attribute, std::span<const int64_t>(begins));
}

}  // namespace

checkpoint_file write_checkpoint(const fs::path& folder, const checkpoint_content& content, int rank, int ranks,
                                 const commit_check& still_allowed) {
  if (rank < 0 || rank >= ranks) {
    throw error(errc::bad_argument, "checkpoint: rank {} of {}", rank, ranks);
  }
  std::for_each(content.arrays.begin(), content.arrays.end(), check_array);
  check_names(content);
  create_folder(folder);
  return write_hdf5(
      folder, rank_file_name(rank),
      [&](hdf5_file& file) {
        file.write_attribute("/", "format", int64_t{1});
        file.write_attribute("/", "rank", int64_t{rank});
        file.write_attribute("/", "ranks", int64_t{ranks});
        write_content(file, content);
      },
      still_allowed);
}

void commit_checkpoint(const fs::path& folder, checkpoint_manifest manifest, const commit_check& still_allowed) {
  if (manifest.ranks < 1 || manifest.files.size() != static_cast<size_t>(manifest.ranks)) {
    throw error(errc::bad_argument, "checkpoint {}: {} files for {} ranks", folder.string(), manifest.files.size(),
                manifest.ranks);
  }
  std::map<std::string, whole_array> arrays;
  for (int rank = 0; rank < manifest.ranks; ++rank) {
    const checkpoint_file& entry = manifest.files[static_cast<size_t>(rank)];
    if (entry.name != rank_file_name(rank)) {
      throw error(errc::bad_argument, "checkpoint {}: file {} stands in the place of {}", folder.string(), entry.name,
                  rank_file_name(rank));
    }
    check_size(folder, entry);
    add_pieces(arrays, hdf5_file::open(folder / entry.name), rank);
  }
  std::for_each(arrays.begin(), arrays.end(), [](auto& a) { check_coverage(a.first, a.second); });
  manifest.files.push_back(write_hdf5(
      folder, whole_file_name,
      [&](hdf5_file& file) {
        for (const auto& [name, array] : arrays) {
          write_whole(file, name, array);
        }
      },
      still_allowed));
  const std::string text = manifest_text(manifest);
  parse_manifest(text,
                 (folder / manifest_name).string());  // what is not readable must not be written
  atomic_file file(folder / manifest_name);
  file.write(text);
  still_allowed();
  file.commit();
}

}  // namespace troupe::io
