/// Strings as HDF5 takes and gives them; shared by data sets and attributes. Internal to io/hdf5.
#pragma once

#include "io/hdf5/library.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace troupe::io::h5 {

/// Strings of variable length.
handle text_type(H5T_cset_t set = H5T_CSET_UTF8);

/// What HDF5 writes `texts` from, which must live on.
/// Errors  bad_argument: a NUL inside.
std::vector<const char*> pointers_to(std::span<const std::string> texts, const std::string& name);

/// H5Dread or H5Aread with everything but the memory type and the buffer bound.
using text_source = std::function<herr_t(hid_t, void*)>;

/// All strings of a data set or attribute of `count` elements, of variable or fixed length, stored as `stored` in
/// `space`.
/// Errors  shape_mismatch: it is not text.
std::vector<std::string> strings_of(hid_t stored, hid_t space, size_t count, const place& at, const text_source& read);

}  // namespace troupe::io::h5
