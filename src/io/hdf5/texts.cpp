// Data sets of strings.
#include "io/hdf5/texts.hpp"

#include "base/error.hpp"
#include "io/hdf5/foreign.hpp"
#include "io/hdf5/hdf5.hpp"
#include "io/hdf5/objects.hpp"

#include <cstring>

namespace troupe::io {

namespace h5 {

handle text_type(H5T_cset_t set) {
  handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, set);
  return type;
}

std::vector<const char*> pointers_to(std::span<const std::string> texts, const std::string& name) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos) {
      throw error(errc::bad_argument, "a text of '{}' contains a NUL: HDF5 strings end there", name);
    }
    pointers.push_back(text.c_str());
  }
  return pointers;
}

std::vector<std::string> strings_of(hid_t stored, hid_t space, size_t count, const place& at, const text_source& read) {
  if (H5Tget_class(stored) != H5T_STRING) {
    throw error(errc::shape_mismatch, "'{}' of {} is not text", at.object, at.file.string());
  }
  std::vector<std::string> texts;
  if (count == 0) {
    return texts;
  }
  if (H5Tis_variable_str(stored) > 0) {
    const handle type = text_type(H5Tget_cset(stored));
    std::vector<char*> pointers(count, nullptr);
    at.check(read(type, pointers.data()));
    for (const char* pointer : pointers) {
      texts.emplace_back(pointer == nullptr ? "" : pointer);
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
    return texts;
  }
  const size_t width = H5Tget_size(stored);
  std::vector<char> buffer(count * width);
  at.check(read(stored, buffer.data()));
  for (size_t i = 0; i < count; ++i) {
    const char* begin = buffer.data() + i * width;
    texts.emplace_back(begin, strnlen(begin, width));
  }
  return texts;
}

}  // namespace h5

namespace {

/// Text is stored with a fill value (HDF5 needs one to follow its references).
void write_strings(hid_t file, const std::vector<int64_t>& shape, std::span<const std::string> texts,
                   const h5::place& at) {
  const std::vector<const char*> pointers = h5::pointers_to(texts, at.object);
  const h5::handle type = h5::text_type();
  const h5::handle space = h5::space_of(shape, at);
  const h5::handle properties = h5::creation_properties(at);
  const h5::handle data_set = h5::create_data_set(file, type, space, properties, at);
  if (!pointers.empty()) {
    at.check(H5Dwrite(data_set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()));
  }
}

}  // namespace

void hdf5_file::write_texts(const std::string& name, std::span<const std::string> texts) {
  const h5::library_lock lock;
  write_strings(id_, {static_cast<int64_t>(texts.size())}, texts, {path_, true, "write", name});
}

std::vector<std::string> hdf5_file::read_texts(const std::string& name) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "read", name};
  const h5::handle data_set = h5::open_values(id_, at);
  const h5::handle stored(at.check_id(H5Dget_type(data_set)), H5Tclose);
  const h5::handle space(at.check_id(H5Dget_space(data_set)), H5Sclose);
  const std::vector<int64_t> extents = h5::extents_of(space, at);
  const int64_t count = h5::product(extents, name);
  // Several may all be the same text of the file. Of a scalar, one text, HDF5 1.10 must not be asked: it then writes
  // beyond its own memory.
  if (H5Tis_variable_str(stored) > 0 && !extents.empty() && count > 0) {
    hsize_t bytes = 0;
    at.check(H5Dvlen_get_buf_size(data_set, stored, space, &bytes));
    h5::require_room(id_, bytes, at);
  }
  return h5::strings_of(stored, space, static_cast<size_t>(count), at, [&](hid_t type, void* buffer) {
    return H5Dread(data_set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
  });
}

void hdf5_file::write_text(const std::string& name, const std::string& text) {
  const h5::library_lock lock;
  write_strings(id_, {}, std::span(&text, 1), {path_, true, "write", name});
}

std::string hdf5_file::read_text(const std::string& name) const {
  std::vector<std::string> texts = read_texts(name);
  if (texts.size() != 1) {
    throw error(errc::shape_mismatch, "'{}' of {} has {} texts, not 1", name, path_.string(), texts.size());
  }
  return std::move(texts.front());
}

}  // namespace troupe::io
