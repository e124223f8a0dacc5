#include "io/hdf5/objects.hpp"

#include "base/error.hpp"
#include "io/hdf5/foreign.hpp"

#include <optional>

namespace troupe::io::h5 {
namespace {

/// The dtype of a stored type, whatever its byte order; none where we have no such type.
std::optional<dtype> dtype_of_stored(hid_t type) {
  const size_t size = H5Tget_size(type);
  const H5T_class_t kind = H5Tget_class(type);
  if (kind == H5T_FLOAT) {
    return size == 4   ? std::optional(dtype::f32)
           : size == 8 ? std::optional(dtype::f64)
           : size == 2 ? std::optional(dtype::f16)
                       : std::nullopt;
  }
  if (kind != H5T_INTEGER) {
    return std::nullopt;
  }
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  switch (size) {
  case 8:
    return is_signed ? dtype::i64 : dtype::u64;
  case 4:
    return is_signed ? dtype::i32 : dtype::u32;
  case 2:
    return is_signed ? dtype::i16 : dtype::u16;
  case 1:
    return is_signed ? dtype::i8 : dtype::u8;
  default:
    return std::nullopt;
  }
}

}  // namespace

hid_t native_type(dtype type) {
  switch (type) {
  case dtype::f32:
    return H5T_NATIVE_FLOAT;
  case dtype::f64:
    return H5T_NATIVE_DOUBLE;
  case dtype::i64:
    return H5T_NATIVE_INT64;
  case dtype::i32:
    return H5T_NATIVE_INT32;
  case dtype::i16:
    return H5T_NATIVE_INT16;
  case dtype::i8:
    return H5T_NATIVE_INT8;
  case dtype::u64:
    return H5T_NATIVE_UINT64;
  case dtype::u32:
    return H5T_NATIVE_UINT32;
  case dtype::u16:
    return H5T_NATIVE_UINT16;
  case dtype::u8:
  case dtype::boolean:
    return H5T_NATIVE_UINT8;
  case dtype::f16:
  case dtype::bf16:
    break;
  }
  throw error(errc::unsupported, "HDF5 files hold no {} here: convert to f32", to_string(type));
}

std::vector<hsize_t> to_hsize(const std::vector<int64_t>& values) { return {values.begin(), values.end()}; }

int64_t product(const std::vector<int64_t>& shape, const std::string& name) {
  constexpr int64_t limit = int64_t{1} << 48;
  int64_t elements = 1;
  for (const int64_t extent : shape) {
    if (extent < 0 || (extent > 0 && elements > limit / extent)) {
      throw error(errc::shape_mismatch, "'{}' has an impossible extent {}", name, extent);
    }
    elements *= extent;
  }
  return elements;
}

handle space_of(const std::vector<int64_t>& shape, const place& at) {
  if (shape.empty()) {
    return {at.check_id(H5Screate(H5S_SCALAR)), H5Sclose};
  }
  const std::vector<hsize_t> extents = to_hsize(shape);
  return {at.check_id(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr)), H5Sclose};
}

std::vector<int64_t> extents_of(hid_t space, const place& at) {
  const int rank = H5Sget_simple_extent_ndims(space);
  at.check(rank);
  std::vector<hsize_t> extents(static_cast<size_t>(rank));
  at.check(H5Sget_simple_extent_dims(space, extents.data(), nullptr));
  return {extents.begin(), extents.end()};
}

bool link_exists(hid_t file, const std::string& object) {
  for (size_t end = object.find('/', 1);; end = object.find('/', end + 1)) {
    const std::string prefix = object.substr(0, end);
    if (prefix != "/" && !prefix.empty() && H5Lexists(file, prefix.c_str(), H5P_DEFAULT) <= 0) {
      H5Eclear2(H5E_DEFAULT);
      return false;
    }
    if (end == std::string::npos) {
      return true;
    }
  }
}

handle link_properties(const place& at) {
  handle properties(at.check_id(H5Pcreate(H5P_LINK_CREATE)), H5Pclose);
  at.check(H5Pset_create_intermediate_group(properties, 1));
  at.check(H5Pset_char_encoding(properties, H5T_CSET_UTF8));
  return properties;
}

handle creation_properties(const place& at) {
  handle properties(at.check_id(H5Pcreate(H5P_DATASET_CREATE)), H5Pclose);
  at.check(H5Pset_obj_track_times(properties, 0));
  return properties;
}

handle create_data_set(hid_t file, hid_t type, hid_t space, hid_t properties, const place& at) {
  const handle links = link_properties(at);
  return {at.check_id(H5Dcreate2(file, at.object.c_str(), type, space, links, properties, H5P_DEFAULT)), H5Dclose};
}

handle open_object(hid_t file, const place& at) {
  if (!link_exists(file, at.object)) {
    throw error(errc::not_found, "{} has no '{}'", at.file.string(), at.object);
  }
  require_plain_path(file, at);
  return {at.check_id(H5Oopen(file, at.object.c_str(), H5P_DEFAULT)), H5Oclose};
}

handle open_data_set(hid_t file, const place& at) {
  if (!link_exists(file, at.object)) {
    throw error(errc::not_found, "{} has no data set '{}'", at.file.string(), at.object);
  }
  require_plain_path(file, at);
  return {at.check_id(H5Dopen2(file, at.object.c_str(), H5P_DEFAULT)), H5Dclose};
}

handle open_values(hid_t file, const place& at) {
  handle data_set = open_data_set(file, at);
  if (!at.writing) {
    require_values_within(file, data_set, at);
  }
  return data_set;
}

hdf5_shape shape_of(hid_t data_set, const place& at) {
  const handle type(at.check_id(H5Dget_type(data_set)), H5Tclose);
  const handle space(at.check_id(H5Dget_space(data_set)), H5Sclose);
  hdf5_shape result;
  result.shape = extents_of(space, at);
  product(result.shape, at.object);
  if (H5Tget_class(type) == H5T_STRING) {
    result.text = true;
    return result;
  }
  const std::optional<dtype> known = dtype_of_stored(type);
  if (!known) {
    throw error(errc::unsupported, "'{}' of {} has a type that is neither number nor text", at.object,
                at.file.string());
  }
  result.type = *known;
  return result;
}

void require_type(const hdf5_shape& shape, dtype type, const place& at) {
  if (shape.text || shape.type != type) {
    throw error(errc::shape_mismatch, "'{}' of {} is {}, not {}", at.object, at.file.string(),
                shape.text ? "text" : to_string(shape.type), to_string(type));
  }
}

}  // namespace troupe::io::h5
