#include "io/hdf5/foreign.hpp"

#include "base/error.hpp"
#include "io/hdf5/objects.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace troupe::io::h5 {
namespace {

namespace fs = std::filesystem;

/// Deflate makes 1 byte of at most 1032.
constexpr uint64_t most_from_a_compressed_byte = 1032;

uint64_t size_of_file(hid_t file, const place& at) {
  hsize_t bytes = 0;
  at.check(H5Fget_filesize(file, &bytes));
  return bytes;
}

[[noreturn]] void refuse_size(uint64_t announced, uint64_t there, const place& at) {
  throw error(errc::bad_file, "'{}' of {} announces {} bytes, but its file has room for {}: it is damaged or forged",
              at.object, at.file.string(), announced, there);
}

/// Filters by their numbers; whether there is one, and all are of those that HDF5 brings along and that no other
/// program has to be loaded for.
bool compressed(hid_t creation, const place& at) {
  const int filters = H5Pget_nfilters(creation);
  at.check(filters);
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, config = 0;
    size_t values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &config);
    constexpr std::array<H5Z_filter_t, 3> known = {H5Z_FILTER_DEFLATE, H5Z_FILTER_SHUFFLE, H5Z_FILTER_FLETCHER32};
    if (std::find(known.begin(), known.end(), filter) == known.end()) {
      throw error(errc::unsupported, "'{}' of {} is stored with HDF5 filter {}: store it plain or with gzip", at.object,
                  at.file.string(), filter);
    }
  }
  return filters > 0;
}

/// H5Pget_virtual_filename or H5Pget_virtual_dsetname.
using name_getter = ssize_t (*)(hid_t creation, size_t index, char* name, size_t size);

std::string name_of(name_getter get, hid_t creation, size_t index, const place& at) {
  const ssize_t length = get(creation, index, nullptr, 0);
  at.check(static_cast<herr_t>(std::min<ssize_t>(length, 0)));
  std::string name(static_cast<size_t>(length) + 1, '\0');
  at.check(static_cast<herr_t>(std::min<ssize_t>(get(creation, index, name.data(), name.size()), 0)));
  name.resize(static_cast<size_t>(length));
  return name;
}

/// A plain name, of a file that really lies in the folder of the file that names it.
bool lies_beside(const fs::path& file, const std::string& name) {
  if (name == ".") {
    return true;  // HDF5's word for the file itself
  }
  if (name.empty() || name == ".." || name.find('/') != std::string::npos) {
    return false;
  }
  std::error_code missing;
  const fs::path folder = fs::canonical(fs::absolute(file).parent_path(), missing);
  const fs::path source = fs::canonical(folder / name, missing);
  return missing || source.parent_path() == folder;  // what is not there is not read
}

/// A data set whose values another one takes must have them itself: one that takes them from a third may lead back to
/// where it began, and HDF5 follows that until the stack is full. One that is not there reads as zeros.
void require_own_values(hid_t file, const place& source) {
  if (!link_exists(file, source.object)) {
    return;
  }
  require_plain_path(file, source);
  const handle data_set(H5Dopen2(file, source.object.c_str(), H5P_DEFAULT), H5Dclose);
  if (data_set < 0) {
    return;  // no data set
  }
  const handle creation(source.check_id(H5Dget_create_plist(data_set)), H5Pclose);
  if (H5Pget_layout(creation) == H5D_VIRTUAL) {
    throw error(errc::unsupported, "'{}' of {} is virtual, and another data set takes its values from it",
                source.object, source.file.string());
  }
}

/// Where a virtual data set takes values from: beside its file, or from it.
struct virtual_source {
  std::string file, data_set;
  bool operator<(const virtual_source& other) const {
    return std::tie(file, data_set) < std::tie(other.file, other.data_set);
  }
};

std::set<virtual_source> sources_of(hid_t creation, const place& at) {
  size_t pieces = 0;
  at.check(H5Pget_virtual_count(creation, &pieces));
  std::set<virtual_source> sources;
  for (size_t i = 0; i < pieces; ++i) {
    sources.insert(
        {name_of(H5Pget_virtual_filename, creation, i, at), name_of(H5Pget_virtual_dsetname, creation, i, at)});
  }
  return sources;
}

void require_sound_source(hid_t file, const virtual_source& source, const place& at) {
  if (!lies_beside(at.file, source.file)) {
    throw error(errc::unsupported, "'{}' of {} takes its values from \"{}\", which does not lie beside it", at.object,
                at.file.string(), source.file);
  }
  if ((source.file + source.data_set).find('%') != std::string::npos) {  // HDF5 may put numbers there
    throw error(errc::unsupported, "'{}' of {} takes its values from a series, \"{}\" of \"{}\"", at.object,
                at.file.string(), source.data_set, source.file);
  }
  const fs::path path = source.file == "." ? at.file : at.file.parent_path() / source.file;
  const place there{path, false, at.action, source.data_set};
  std::error_code missing;
  if (source.file == "." || fs::equivalent(path, at.file, missing)) {
    require_own_values(file, there);
    return;
  }
  const handle other(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (other >= 0) {
    require_own_values(other, there);
  }
}

/// Bytes of the files beside that a virtual data set is made of.
uint64_t room_of_sources(hid_t file, hid_t creation, const place& at) {
  std::set<std::string> files;
  for (const virtual_source& source : sources_of(creation, at)) {
    require_sound_source(file, source, at);
    files.insert(source.file);
  }
  uint64_t bytes = size_of_file(file, at);
  for (const std::string& name : files) {
    std::error_code missing;
    const uintmax_t size = fs::file_size(at.file.parent_path() / name, missing);
    bytes += missing ? 0 : size;
  }
  return bytes;
}

uint64_t announced_bytes(hid_t data_set, const place& at) {
  const handle type(at.check_id(H5Dget_type(data_set)), H5Tclose);
  const handle space(at.check_id(H5Dget_space(data_set)), H5Sclose);
  return static_cast<uint64_t>(product(extents_of(space, at), at.object)) * H5Tget_size(type);
}

}  // namespace

void require_plain_path(hid_t file, const place& at) {
  for (size_t end = at.object.find('/', 1);; end = at.object.find('/', end + 1)) {
    const std::string prefix = at.object.substr(0, end);
    if (prefix != "/" && !prefix.empty()) {
      H5L_info_t link;
      at.check(H5Lget_info(file, prefix.c_str(), &link, H5P_DEFAULT));
      if (link.type != H5L_TYPE_HARD) {
        throw error(errc::unsupported, "'{}' of {} is a link to something else: only what lies in the file is read",
                    prefix, at.file.string());
      }
    }
    if (end == std::string::npos) {
      return;
    }
  }
}

void require_room(hid_t file, uint64_t bytes, const place& at) {
  if (const uint64_t there = size_of_file(file, at); bytes > there) {
    refuse_size(bytes, there, at);
  }
}

void require_values_within(hid_t file, hid_t data_set, const place& at) {
  const handle creation(at.check_id(H5Dget_create_plist(data_set)), H5Pclose);
  const int outside = H5Pget_external_count(creation);
  at.check(outside);
  if (outside > 0) {
    throw error(errc::unsupported, "'{}' of {} keeps its values in another file: only what lies in the file is read",
                at.object, at.file.string());
  }
  const bool is_compressed = compressed(creation, at);
  const uint64_t announced = announced_bytes(data_set, at);
  uint64_t there = 0;
  if (H5Pget_layout(creation) == H5D_VIRTUAL) {
    there = room_of_sources(file, creation, at);
  } else {
    there = std::min<uint64_t>(H5Dget_storage_size(data_set), size_of_file(file, at));
    there *= is_compressed ? most_from_a_compressed_byte : 1;
  }
  if (announced > there) {
    refuse_size(announced, there, at);
  }
}

}  // namespace troupe::io::h5
