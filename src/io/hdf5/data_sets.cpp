// Data sets of numbers: whole, in pieces of the flattened array, and virtual ones, whose values lie in other files.
#include "base/error.hpp"
#include "io/hdf5/hdf5.hpp"
#include "io/hdf5/objects.hpp"

namespace troupe::io {
namespace {

void require_bytes(size_t bytes, int64_t elements, dtype type, const h5::place& at) {
  if (bytes != static_cast<size_t>(elements) * static_cast<size_t>(size_of(type))) {
    throw error(errc::shape_mismatch, "'{}' of {} has {} elements of {}, the buffer {} bytes", at.object,
                at.file.string(), elements, to_string(type), bytes);
  }
}

/// Numbers are stored without fill value: who creates the data set writes every element.
h5::handle create_numbers(hid_t file, dtype type, const std::vector<int64_t>& shape, const h5::place& at) {
  const h5::handle space = h5::space_of(shape, at);
  const h5::handle properties = h5::creation_properties(at);
  at.check(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER));
  return h5::create_data_set(file, h5::native_type(type), space, properties, at);
}

void select_block(hid_t space, const std::vector<int64_t>& start, const std::vector<int64_t>& extent,
                  const h5::place& at) {
  const std::vector<hsize_t> from = h5::to_hsize(start);
  const std::vector<hsize_t> count = h5::to_hsize(extent);
  at.check(H5Sselect_hyperslab(space, H5S_SELECT_SET, from.data(), nullptr, count.data(), nullptr));
}

/// Calls transfer(memory_space, file_space, byte_offset) for each block of the flat range.
template <class Transfer>
void for_each_block(const std::vector<int64_t>& shape, int64_t begin, int64_t end, dtype type, const h5::place& at,
                    Transfer transfer) {
  const h5::handle file_space = h5::space_of(shape, at);
  size_t offset = 0;
  for (const array_block& block : blocks_of_range(shape, begin, end)) {
    const int64_t elements = h5::product(block.extent, at.object);
    const h5::handle memory_space = h5::space_of({elements}, at);
    if (!shape.empty()) {
      select_block(file_space, block.start, block.extent, at);
    }
    at.check(transfer(memory_space, file_space, offset));
    offset += static_cast<size_t>(elements * size_of(type));
  }
}

/// Where a piece of so many bytes from `begin` on ends.
/// Errors  shape_mismatch: not inside the data set.
int64_t range_end(const hdf5_shape& shape, dtype type, int64_t begin, size_t bytes, const h5::place& at) {
  h5::require_type(shape, type, at);
  const auto count = static_cast<int64_t>(bytes / static_cast<size_t>(size_of(type)));
  require_bytes(bytes, count, type, at);
  const int64_t elements = shape.elements();
  if (begin < 0 || begin > elements || count > elements - begin) {
    throw error(errc::shape_mismatch, "'{}' of {} has {} elements: [{}, {}) is not inside", at.object, at.file.string(),
                elements, begin, begin + count);
  }
  return begin + count;
}

}  // namespace

hdf5_shape hdf5_file::shape(const std::string& data_set) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "open", data_set};
  return h5::shape_of(h5::open_data_set(id_, at), at);
}

int64_t hdf5_file::readable_elements(const std::string& name, dtype type) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "read", name};
  const hdf5_shape found = h5::shape_of(h5::open_values(id_, at), at);
  h5::require_type(found, type, at);
  return found.elements();
}

void hdf5_file::write(const std::string& name, dtype type, const std::vector<int64_t>& shape,
                      std::span<const std::byte> bytes) {
  const h5::library_lock lock;
  const h5::place at{path_, true, "write", name};
  require_bytes(bytes.size(), h5::product(shape, name), type, at);
  const h5::handle data_set = create_numbers(id_, type, shape, at);
  if (!bytes.empty()) {
    at.check(H5Dwrite(data_set, h5::native_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()));
  }
}

void hdf5_file::read(const std::string& name, dtype type, std::span<std::byte> bytes) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "read", name};
  const h5::handle data_set = h5::open_values(id_, at);
  const hdf5_shape found = h5::shape_of(data_set, at);
  h5::require_type(found, type, at);
  require_bytes(bytes.size(), found.elements(), type, at);
  if (!bytes.empty()) {
    at.check(H5Dread(data_set, h5::native_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()));
  }
}

void hdf5_file::create(const std::string& name, dtype type, const std::vector<int64_t>& shape) {
  const h5::library_lock lock;
  const h5::place at{path_, true, "create", name};
  h5::product(shape, name);
  create_numbers(id_, type, shape, at);
}

void hdf5_file::write_range(const std::string& name, dtype type, int64_t begin, std::span<const std::byte> bytes) {
  const h5::library_lock lock;
  const h5::place at{path_, true, "write", name};
  const h5::handle data_set = h5::open_data_set(id_, at);
  const hdf5_shape whole = h5::shape_of(data_set, at);
  const int64_t end = range_end(whole, type, begin, bytes.size(), at);
  for_each_block(whole.shape, begin, end, type, at, [&](hid_t memory, hid_t file, size_t offset) {
    return H5Dwrite(data_set, h5::native_type(type), memory, file, H5P_DEFAULT, bytes.data() + offset);
  });
}

void hdf5_file::read_range(const std::string& name, dtype type, int64_t begin, std::span<std::byte> bytes) const {
  const h5::library_lock lock;
  const h5::place at{path_, writable_, "read", name};
  const h5::handle data_set = h5::open_values(id_, at);
  const hdf5_shape whole = h5::shape_of(data_set, at);
  const int64_t end = range_end(whole, type, begin, bytes.size(), at);
  for_each_block(whole.shape, begin, end, type, at, [&](hid_t memory, hid_t file, size_t offset) {
    return H5Dread(data_set, h5::native_type(type), memory, file, H5P_DEFAULT, bytes.data() + offset);
  });
}

void hdf5_file::write_virtual(const std::string& name, const std::vector<int64_t>& shape,
                              std::span<const hdf5_virtual_piece> pieces) {
  const h5::library_lock lock;
  const h5::place at{path_, true, "write", name};
  h5::product(shape, name);
  const h5::handle properties = h5::creation_properties(at);
  for (const hdf5_virtual_piece& piece : pieces) {
    const h5::handle target = h5::space_of(shape, at);
    select_block(target, piece.start, piece.extent, at);
    const h5::handle source = h5::space_of(piece.source_shape, at);
    if (piece.source_shape.size() == 1) {
      select_block(source, {piece.source_begin}, {h5::product(piece.extent, name)}, at);
    }
    at.check(H5Pset_virtual(properties, target, piece.file.c_str(), piece.data_set.c_str(), source));
  }
  const h5::handle space = h5::space_of(shape, at);
  h5::create_data_set(id_, H5T_NATIVE_FLOAT, space, properties, at);
}

}  // namespace troupe::io
