// Attributes of groups and data sets: single numbers and texts, and lists of them.
#include "base/error.hpp"
#include "io/hdf5/foreign.hpp"
#include "io/hdf5/hdf5.hpp"
#include "io/hdf5/objects.hpp"
#include "io/hdf5/texts.hpp"

#include <type_traits>

namespace troupe::io {
namespace {

constexpr const char* reading = "read an attribute of";
constexpr const char* writing = "write an attribute of";

/// Gives `at.object` a new attribute; `values` may be null where the shape has no element.
void write_values(hid_t file, const std::string& name, hid_t type, const std::vector<int64_t>& shape,
                  const void* values, const h5::place& at) {
  const h5::handle owner = h5::open_object(file, at);
  const h5::handle space = h5::space_of(shape, at);
  const h5::handle attribute(at.check_id(H5Acreate2(owner, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT)),
                             H5Aclose);
  if (values != nullptr) {
    at.check(H5Awrite(attribute, type, values));
  }
}

/// An attribute opened for reading.
struct opened_attribute {
  h5::handle id, type, space;
  int64_t elements;
};

opened_attribute open_attribute(hid_t file, const std::string& name, const h5::place& at) {
  const h5::handle owner = h5::open_object(file, at);
  if (H5Aexists(owner, name.c_str()) <= 0) {
    throw error(errc::not_found, "'{}' of {} has no attribute '{}'", at.object, at.file.string(), name);
  }
  h5::handle id(at.check_id(H5Aopen(owner, name.c_str(), H5P_DEFAULT)), H5Aclose);
  h5::handle type(at.check_id(H5Aget_type(id)), H5Tclose);
  h5::handle space(at.check_id(H5Aget_space(id)), H5Sclose);
  const int64_t elements = h5::product(h5::extents_of(space, at), name);
  h5::require_room(file, static_cast<uint64_t>(elements) * H5Tget_size(type), at);
  return {std::move(id), std::move(type), std::move(space), elements};
}

/// Reads an attribute's numbers, converted to T; an integer is never made from a real.
template <class T>
void read_numbers(const opened_attribute& attribute, T* values, const std::string& name, const h5::place& at) {
  constexpr bool integers_only = std::is_integral_v<T>;
  const H5T_class_t kind = H5Tget_class(attribute.type);
  if (kind != H5T_INTEGER && (integers_only || kind != H5T_FLOAT)) {
    throw error(errc::shape_mismatch, "attribute '{}' of '{}' in {} is not {}", name, at.object, at.file.string(),
                integers_only ? "an integer" : "a number");
  }
  at.check(H5Aread(attribute.id, h5::native_type(hdf5_detail::dtype_of<T>::value), values));
}

template <class T> T read_number(hid_t file, const std::string& name, const h5::place& at) {
  const opened_attribute attribute = open_attribute(file, name, at);
  if (attribute.elements != 1) {
    throw error(errc::shape_mismatch, "attribute '{}' of '{}' in {} has {} values, not 1", name, at.object,
                at.file.string(), attribute.elements);
  }
  T value = 0;
  read_numbers(attribute, &value, name, at);
  return value;
}

}  // namespace

bool hdf5_file::has_attribute(const std::string& object, const std::string& name) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "read attributes of", object};
  return H5Aexists(h5::open_object(id_, at), name.c_str()) > 0;
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, int64_t value) {
  const h5::library_lock lock;
  write_values(id_, name, H5T_NATIVE_INT64, {}, &value, {path_, true, writing, object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, uint64_t value) {
  const h5::library_lock lock;
  write_values(id_, name, H5T_NATIVE_UINT64, {}, &value, {path_, true, writing, object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, double value) {
  const h5::library_lock lock;
  write_values(id_, name, H5T_NATIVE_DOUBLE, {}, &value, {path_, true, writing, object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, const std::string& value) {
  const h5::library_lock lock;
  const std::vector<const char*> pointers = h5::pointers_to(std::span(&value, 1), name);
  write_values(id_, name, h5::text_type(), {}, pointers.data(), {path_, true, writing, object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name,
                                std::span<const std::string> values) {
  const h5::library_lock lock;
  const std::vector<const char*> pointers = h5::pointers_to(values, name);
  write_values(id_, name, h5::text_type(), {static_cast<int64_t>(values.size())},
               pointers.empty() ? nullptr : pointers.data(), {path_, true, writing, object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, std::span<const int64_t> values) {
  const h5::library_lock lock;
  write_values(id_, name, H5T_NATIVE_INT64, {static_cast<int64_t>(values.size())},
               values.empty() ? nullptr : values.data(), {path_, true, writing, object});
}

int64_t hdf5_file::read_int_attribute(const std::string& object, const std::string& name) const {
  const h5::library_lock lock;
  return read_number<int64_t>(id_, name, {path_, writable_, reading, object});
}

uint64_t hdf5_file::read_unsigned_attribute(const std::string& object, const std::string& name) const {
  const h5::library_lock lock;
  return read_number<uint64_t>(id_, name, {path_, writable_, reading, object});
}

double hdf5_file::read_double_attribute(const std::string& object, const std::string& name) const {
  const h5::library_lock lock;
  return read_number<double>(id_, name, {path_, writable_, reading, object});
}

std::vector<std::string> hdf5_file::read_texts_attribute(const std::string& object, const std::string& name) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, reading, object};
  const opened_attribute attribute = open_attribute(id_, name, at);
  return h5::strings_of(attribute.type, attribute.space, static_cast<size_t>(attribute.elements), at,
                        [&](hid_t type, void* buffer) { return H5Aread(attribute.id, type, buffer); });
}

std::string hdf5_file::read_text_attribute(const std::string& object, const std::string& name) const {
  std::vector<std::string> texts = read_texts_attribute(object, name);
  if (texts.size() != 1) {
    throw error(errc::shape_mismatch, "attribute '{}' of '{}' in {} has {} texts, not 1", name, object, path_.string(),
                texts.size());
  }
  return std::move(texts.front());
}

std::vector<int64_t> hdf5_file::read_ints_attribute(const std::string& object, const std::string& name) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, reading, object};
  const opened_attribute attribute = open_attribute(id_, name, at);
  std::vector<int64_t> values(static_cast<size_t>(attribute.elements));
  if (!values.empty()) {
    read_numbers(attribute, values.data(), name, at);
  }
  return values;
}

}  // namespace troupe::io
