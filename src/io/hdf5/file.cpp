// The file itself: create, open, close, and what it holds.
#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"
#include "io/hdf5/hdf5.hpp"
#include "io/hdf5/objects.hpp"

#include <algorithm>
#include <new>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

static_assert(sizeof(hid_t) == sizeof(int64_t));  // so the public header need not know HDF5's

const std::string root_name = "/";

/// Our files are renamed when whole and never read while they are written, so HDF5's own file locks
/// add nothing, and some cluster file systems have none.
h5::handle access_properties(const h5::place& at) {
  h5::handle properties(at.check_id(H5Pcreate(H5P_FILE_ACCESS)), H5Pclose);
  at.check(H5Pset_file_locking(properties, 0, 1));
  return properties;
}

herr_t collect_data_set(hid_t, const char* name, const H5O_info_t* info, void* names) {
  if (info->type == H5O_TYPE_DATASET) {
    try {
      static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    } catch (const std::bad_alloc&) {
      return -1;
    }
  }
  return 0;
}

}  // namespace

int64_t hdf5_shape::elements() const { return h5::product(shape, "shape"); }

hdf5_file hdf5_file::create(const fs::path& path, int64_t user_block_bytes) {
  const h5::library_lock lock;
  const h5::place at{path, true, "create", root_name};
  const h5::handle access = access_properties(at);
  // No buffer for small pieces: HDF5 writes it when the data set is closed, and where the disk is full for that moment
  // only, the piece is lost and nothing later fails.
  at.check(H5Pset_sieve_buf_size(access, 0));
  const h5::handle creation(at.check_id(H5Pcreate(H5P_FILE_CREATE)), H5Pclose);
  at.check(H5Pset_obj_track_times(creation, 0));
  at.check(H5Pset_userblock(creation, static_cast<hsize_t>(user_block_bytes)));
  return {path, at.check_id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access)), true};
}

hdf5_file hdf5_file::open(const fs::path& path) {
  if (!is_there(path)) {
    throw error(errc::not_found, "{} does not exist", path.string());
  }
  const h5::library_lock lock;
  const h5::place at{path, false, "open", root_name};
  const h5::handle access = access_properties(at);
  return {path, at.check_id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access)), false};
}

hdf5_file::hdf5_file(hdf5_file&& other) noexcept
    : path_(std::move(other.path_)), id_(std::exchange(other.id_, -1)), writable_(other.writable_) {}

hdf5_file::~hdf5_file() {
  if (id_ >= 0) {
    const h5::library_lock lock;
    H5Fclose(id_);
  }
}

void hdf5_file::sync() {
  {
    const h5::library_lock lock;
    h5::place{path_, true, "flush", root_name}.check(H5Fflush(id_, H5F_SCOPE_LOCAL));
  }
  sync_file(path_);  // which may take long: others may use the library meanwhile
}

void hdf5_file::close() {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "close", root_name};
  // Flushed first: when the disk is full the flush fails, and the file is still released by the
  // close.
  const herr_t flushed = writable_ ? H5Fflush(id_, H5F_SCOPE_LOCAL) : 0;
  const std::string reason = flushed < 0 ? h5::failure_reason() : "";
  const herr_t closed = H5Fclose(std::exchange(id_, -1));
  if (flushed < 0) {
    throw error(errc::io_failure, "cannot flush {}: {}", path_.string(), reason);
  }
  at.check(closed);
}

bool hdf5_file::exists(const std::string& object) const {
  const h5::library_lock lock;
  return h5::link_exists(id_, object);
}

std::vector<std::string> hdf5_file::data_sets() const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "list", root_name};
  std::vector<std::string> names;
  at.check(H5Ovisit2(id_, H5_INDEX_NAME, H5_ITER_INC, collect_data_set, &names, H5O_INFO_BASIC));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace troupe::io
