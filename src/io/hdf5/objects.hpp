/// Types, shapes and property lists of HDF5, and the opening and creating of objects by their path. Each call needs the
/// library_lock. Internal to io/hdf5.
#pragma once

#include "io/hdf5/hdf5.hpp"
#include "io/hdf5/library.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::io::h5 {

/// The type of a value in memory.
/// Errors  unsupported: 16-bit floats.
hid_t native_type(dtype type);

std::vector<hsize_t> to_hsize(const std::vector<int64_t>& values);

/// Number of elements.
/// Errors  shape_mismatch: a negative extent, or more than 2^48.
int64_t product(const std::vector<int64_t>& shape, const std::string& name);

/// A data space of this shape; an empty one is a scalar.
handle space_of(const std::vector<int64_t>& shape, const place& at);
std::vector<int64_t> extents_of(hid_t space, const place& at);

/// Whether each link on the path is there.
bool link_exists(hid_t file, const std::string& object);

/// For new objects: groups missing on the way are made, names are UTF-8.
handle link_properties(const place& at);

/// For new data sets: no time stamp, so that equal data gives equal bytes.
handle creation_properties(const place& at);

/// Creates the data set `at.object`.
handle create_data_set(hid_t file, hid_t type, hid_t space, hid_t properties, const place& at);

/// Opens `at.object`, a group or data set.
/// Errors  not_found; unsupported: it is a link to something else.
handle open_object(hid_t file, const place& at);

/// Opens the data set `at.object`, for what it says of itself or to write to it.
/// Errors  not_found; unsupported: it is a link to something else.
handle open_data_set(hid_t file, const place& at);

/// Opens the data set `at.object` to read its values.
/// Errors  as open_data_set; of a file that is not being written, those of require_values_within (foreign.hpp).
handle open_values(hid_t file, const place& at);

/// Type, text or not, and shape of the open data set `at.object`.
/// Errors  unsupported: neither number nor text.
hdf5_shape shape_of(hid_t data_set, const place& at);

/// Errors  shape_mismatch: `at.object` is text or of another type.
void require_type(const hdf5_shape& shape, dtype type, const place& at);

}  // namespace troupe::io::h5
