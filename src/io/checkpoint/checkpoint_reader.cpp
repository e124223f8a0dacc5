#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/checkpoint/checkpoint_files.hpp"
#include "io/hdf5/hdf5.hpp"

#include <algorithm>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

struct array_entry {
  std::vector<int64_t> shape;
  std::vector<int64_t> ranks, begins;  ///< of the pieces, in order

  int64_t elements() const { return hdf5_shape{.shape = shape}.elements(); }
  int64_t end(size_t piece) const { return piece + 1 < begins.size() ? begins[piece + 1] : elements(); }
};

}  // namespace

struct checkpoint_reader::state {
  fs::path folder;
  bool verified = false;
  checkpoint_manifest manifest;
  std::map<std::string, array_entry> arrays;
  std::map<int64_t, hdf5_file> rank_files;

  const array_entry& find(const std::string& name) const;
  const hdf5_file& rank_file(int64_t rank);
  void read_layout();
};

const array_entry& checkpoint_reader::state::find(const std::string& name) const {
  const auto found = arrays.find(name);
  if (found == arrays.end()) {
    throw error(errc::not_found, "checkpoint {} has no array '{}'", folder.string(), name);
  }
  return found->second;
}

const hdf5_file& checkpoint_reader::state::rank_file(int64_t rank) {
  const auto found = rank_files.find(rank);
  if (found != rank_files.end()) {
    return found->second;
  }
  if (rank < 0 || rank >= manifest.ranks) {
    throw error(errc::not_found, "checkpoint {} has {} ranks, none with number {}", folder.string(), manifest.ranks,
                rank);
  }
  const checkpoint_file& entry = manifest.files[static_cast<size_t>(rank)];
  if (!verified) {
    check_file(folder, entry);
  }
  return rank_files.emplace(rank, hdf5_file::open(folder / entry.name)).first->second;
}

void checkpoint_reader::state::read_layout() {
  const hdf5_file whole = hdf5_file::open(folder / whole_file_name);
  int64_t room = 0;  // values
  for (const checkpoint_file& entry : manifest.files) {
    room += entry.bytes / static_cast<int64_t>(sizeof(float));
  }
  for (const std::string& name : whole.data_sets()) {
    array_entry entry{whole.shape(name).shape, whole.read_ints_attribute(name, piece_rank_attribute),
                      whole.read_ints_attribute(name, piece_begin_attribute)};
    if (entry.ranks.size() != entry.begins.size() || !std::is_sorted(entry.begins.begin(), entry.begins.end()) ||
        entry.begins.empty() || entry.begins.front() != 0) {
      throw error(errc::bad_file, "{}: the pieces of '{}' contradict each other", whole.path().string(), name);
    }
    if (entry.elements() > room) {
      throw error(errc::bad_file, "{}: '{}' announces {} values, but the checkpoint's files have room for {}",
                  whole.path().string(), name, entry.elements(), room);
    }
    arrays.emplace(name, std::move(entry));
  }
}

checkpoint_reader::checkpoint_reader(fs::path folder, bool verified) : state_(std::make_unique<state>()) {
  state_->folder = std::move(folder);
  state_->verified = verified;
  state_->manifest = read_manifest(state_->folder);
  if (!verified) {
    for (const checkpoint_file& entry : state_->manifest.files) {
      check_size(state_->folder, entry);
    }
    check_file(state_->folder, state_->manifest.files.back());
  }
  state_->read_layout();
}

checkpoint_reader::~checkpoint_reader() = default;
checkpoint_reader::checkpoint_reader(checkpoint_reader&&) noexcept = default;

const checkpoint_manifest& checkpoint_reader::manifest() const { return state_->manifest; }

std::vector<std::string> checkpoint_reader::array_names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : state_->arrays) {
    names.push_back(name);
  }
  return names;
}

bool checkpoint_reader::has_array(const std::string& name) const { return state_->arrays.count(name) != 0; }

const std::vector<int64_t>& checkpoint_reader::shape(const std::string& name) const { return state_->find(name).shape; }

void checkpoint_reader::read(const std::string& name, int64_t begin, std::span<float> out) const {
  const array_entry& array = state_->find(name);
  const auto count = static_cast<int64_t>(out.size());
  if (begin < 0 || begin > array.elements() || count > array.elements() - begin) {
    throw error(errc::shape_mismatch, "array '{}' of {} has {} elements: [{}, {}) is not inside", name,
                state_->folder.string(), array.elements(), begin, begin + count);
  }
  for (size_t piece = 0; piece < array.begins.size(); ++piece) {
    const int64_t from = std::max(begin, array.begins[piece]);
    const int64_t to = std::min(begin + count, array.end(piece));
    if (from < to) {
      const hdf5_file& file = state_->rank_file(array.ranks[piece]);
      const auto part = out.subspan(static_cast<size_t>(from - begin), static_cast<size_t>(to - from));
      file.read_range(name, dtype::f32, from - array.begins[piece], std::as_writable_bytes(part));
    }
  }
}

std::vector<float> checkpoint_reader::read(const std::string& name) const {
  std::vector<float> values(static_cast<size_t>(state_->find(name).elements()));
  read(name, 0, values);
  return values;
}

int checkpoint_reader::writer(const std::string& name) const {
  return static_cast<int>(state_->find(name).ranks.front());
}

int64_t checkpoint_reader::integer(const std::string& name, int rank) const {
  int64_t value = 0;
  state_->rank_file(rank).read(name, dtype::i64, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

double checkpoint_reader::real(const std::string& name, int rank) const {
  double value = 0;
  state_->rank_file(rank).read(name, dtype::f64, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

std::string checkpoint_reader::text(const std::string& name, int rank) const {
  return state_->rank_file(rank).read_text(name);
}

bool checkpoint_reader::has(const std::string& name, int rank) const { return state_->rank_file(rank).exists(name); }

std::vector<std::string> checkpoint_reader::scalar_names(int rank) const {
  std::vector<std::string> names = state_->rank_file(rank).data_sets();
  std::erase_if(names, [this](const std::string& name) { return has_array(name); });
  return names;
}

}  // namespace troupe::io
