#include "io/hdf5/foreign.hpp"

#include "base/error.hpp"
#include "io/hdf5/objects.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <filesystem>
#include <set>
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

/// Where a piece of a virtual data set comes from.
struct piece_source {
  std::string file, data_set;
  auto operator<=>(const piece_source&) const = default;
};

/// One of the two names of a piece, as `get` tells it.
std::string name_of_piece(ssize_t (*get)(hid_t, size_t, char*, size_t), hid_t creation, size_t index, const place& at) {
  const ssize_t length = get(creation, index, nullptr, 0);
  at.check(static_cast<herr_t>(std::min<ssize_t>(length, 0)));
  std::string name(static_cast<size_t>(length) + 1, '\0');
  at.check(static_cast<herr_t>(std::min<ssize_t>(get(creation, index, name.data(), name.size()), 0)));
  name.resize(static_cast<size_t>(length));
  return name;
}

std::set<piece_source> sources_of(hid_t creation, const place& at) {
  size_t pieces = 0;
  at.check(H5Pget_virtual_count(creation, &pieces));
  std::set<piece_source> sources;
  for (size_t i = 0; i < pieces; ++i) {
    sources.insert({name_of_piece(H5Pget_virtual_filename, creation, i, at),
                    name_of_piece(H5Pget_virtual_dsetname, creation, i, at)});
  }
  return sources;
}

/// A plain name, of a file that really lies in the folder of the file that names it. HDF5 would look elsewhere for one
/// that is not there, and read numbers into a name with a '%'.
bool lies_beside(const fs::path& file, const std::string& name) {
  if (name == ".") {
    return true;  // HDF5's word for the file itself
  }
  if (name.empty() || name == ".." || name.find_first_of("/%") != std::string::npos) {
    return false;
  }
  std::error_code missing;
  const fs::path folder = fs::canonical(fs::absolute(file).parent_path(), missing);
  const fs::path source = fs::canonical(folder / name, missing);
  return !missing && source.parent_path() == folder;
}

/// Errors  unsupported: the values of a data set with these properties lie in files that are no HDF5 files.
void require_own_values(hid_t creation, const place& at) {
  const int outside = H5Pget_external_count(creation);
  at.check(outside);
  if (outside > 0) {
    throw error(errc::unsupported, "'{}' of {} keeps its values in another file: only what lies in the file is read",
                at.object, at.file.string());
  }
}

/// HDF5 opens a source by itself and follows what it finds there. A source of virtual values could lead in circles.
void require_plain_source(hid_t file, const std::string& object, const place& at) {
  const place there{at.file, false, "read", object};
  require_plain_path(file, there);
  const handle data_set(there.check_id(H5Dopen2(file, object.c_str(), H5P_DEFAULT)), H5Dclose);
  const handle creation(there.check_id(H5Dget_create_plist(data_set)), H5Pclose);
  require_own_values(creation, there);
  compressed(creation, there);
  if (H5Pget_layout(creation) == H5D_VIRTUAL) {
    throw error(errc::unsupported, "'{}' of {} takes its values from other data sets, and others take theirs from it",
                object, at.file.string());
  }
}

/// Bytes of the files beside that a virtual data set is made of.
uint64_t room_of_sources(hid_t file, hid_t creation, const place& at) {
  uint64_t bytes = size_of_file(file, at);
  std::set<std::string> counted = {"."};
  for (const piece_source& from : sources_of(creation, at)) {
    if (!lies_beside(at.file, from.file)) {
      throw error(errc::unsupported, "'{}' of {} takes its values from \"{}\", which does not lie beside it", at.object,
                  at.file.string(), from.file);
    }
    if (from.file == ".") {
      require_plain_source(file, from.data_set, at);
      continue;
    }
    const fs::path path = at.file.parent_path() / from.file;
    const place beside{path, false, "open", from.data_set};
    const handle access(at.check_id(H5Fget_access_plist(file)), H5Pclose);
    const handle source(beside.check_id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access)), H5Fclose);
    require_plain_source(source, from.data_set, beside);
    bytes += counted.insert(from.file).second ? size_of_file(source, beside) : 0;
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
  require_own_values(creation, at);
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
