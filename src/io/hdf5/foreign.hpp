/// What a file that others have made may hold: values that lie in it, or beside it, and no more of them than there are
/// bytes for. HDF5 itself follows links to other files, reads values from any path that a file names, loads filters as
/// programs, and believes every size. Internal to io/hdf5.
#pragma once

#include "io/hdf5/library.hpp"

#include <cstdint>

namespace troupe::io::h5 {

/// Errors  unsupported: a link on the way to `at.object` leads elsewhere (a soft or an external link).
void require_plain_path(hid_t file, const place& at);

/// Errors  unsupported: the values of the open data set `at.object` lie outside the file and its folder, or need a
///         filter other than those that HDF5 brings along; of a virtual data set: those of its sources do, or a source
///         is virtual too.
///         bad_file: the data set announces more values than its file has room for.
void require_values_within(hid_t file, hid_t data_set, const place& at);

/// For texts of any length: `bytes` of them stand in `at.object` of an open file.
/// Errors  bad_file: more than its file has room for.
void require_room(hid_t file, uint64_t bytes, const place& at);

}  // namespace troupe::io::h5
