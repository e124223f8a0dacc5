// From the ranks' files to a checkpoint: checkpoint.h5, which shows whole arrays, and the manifest.
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/checkpoint/checkpoint_files.hpp"
#include "io/checkpoint/checkpoint_replace.hpp"
#include "io/files/atomic_file.hpp"
#include "io/hdf5/hdf5.hpp"

#include <algorithm>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

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

void commit_checkpoint(const fs::path& folder, checkpoint_manifest manifest, const attempt_fence& fence) {
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
  manifest.files.push_back(replace_hdf5(
      folder, whole_file_name,
      [&](hdf5_file& file) {
        for (const auto& [name, array] : arrays) {
          write_whole(file, name, array);
        }
      },
      fence));
  const std::string text = manifest_text(manifest);
  parse_manifest(text,
                 (folder / manifest_name).string());  // what is not readable must not be written
  atomic_file file(folder / manifest_name, fence.workplace(folder / manifest_name));
  file.write(text);
  fence.require();
  file.commit();
}

}  // namespace troupe::io
