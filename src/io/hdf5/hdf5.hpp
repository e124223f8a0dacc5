/// A small wrapper over the serial HDF5 C API. All calls of a process share one mutex, and a call blocks on the disk:
/// make them from a thread that may wait.
#pragma once

#include "base/host_array.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace troupe::io {

namespace hdf5_detail {
template <class T> struct dtype_of;
template <> struct dtype_of<float> { static constexpr dtype value = dtype::f32; };
template <> struct dtype_of<double> { static constexpr dtype value = dtype::f64; };
template <> struct dtype_of<int64_t> { static constexpr dtype value = dtype::i64; };
template <> struct dtype_of<int32_t> { static constexpr dtype value = dtype::i32; };
template <> struct dtype_of<uint64_t> { static constexpr dtype value = dtype::u64; };
template <> struct dtype_of<uint32_t> { static constexpr dtype value = dtype::u32; };
template <> struct dtype_of<uint16_t> { static constexpr dtype value = dtype::u16; };
template <> struct dtype_of<uint8_t> { static constexpr dtype value = dtype::u8; };
}  // namespace hdf5_detail

/// What a data set is without its values.
struct hdf5_shape {
  bool text = false;  ///< variable-length UTF-8 strings; `type` means nothing then
  dtype type = dtype::f32;
  std::vector<int64_t> shape;  ///< empty: one scalar

  int64_t elements() const;
};

/// A regular block of an array, [start, start + extent) in each dimension, whose values are those of another file's
/// data set: from `source_begin` on where that has one dimension, else all of them.
struct hdf5_virtual_piece {
  std::string file;  ///< beside the file that refers to it: a name without folder
  std::string data_set;
  std::vector<int64_t> source_shape;   ///< of that data set
  std::vector<int64_t> start, extent;  ///< the block of the virtual array
  int64_t source_begin = 0;            ///< where the block's values begin in the flattened source
};

/// An open HDF5 file. Object names are paths ("policy/weights/x"); missing groups on the way are
/// created. Data sets are contiguous, without time stamps and fill values, so the same values give
/// the same bytes.
/// Errors  of every member: io_failure or bad_file, naming file and object, with HDF5's own reason; not_found for an
///         object that is not there; shape_mismatch where sizes or types disagree.
class hdf5_file {
public:
  /// Creates or empties the file. `user_block_bytes` (0, or a power of two from 512) are left free
  /// at its start.
  static hdf5_file create(const std::filesystem::path& path, int64_t user_block_bytes = 0);

  /// Opens for reading. Give it only files whose digest was verified: HDF5 1.10 itself can crash on
  /// malformed bytes.
  static hdf5_file open(const std::filesystem::path& path);

  ~hdf5_file();
  hdf5_file(hdf5_file&& other) noexcept;
  hdf5_file& operator=(hdf5_file&&) = delete;

  /// Makes what was written so far durable.
  void sync();

  /// Flushes and closes; the destructor does so too, but swallows errors.
  void close();

  const std::filesystem::path& path() const { return path_; }

  bool exists(const std::string& object) const;

  /// Paths of all data sets, sorted, without a leading slash.
  std::vector<std::string> data_sets() const;
  hdf5_shape shape(const std::string& data_set) const;

  /// Whole data sets. A reader's type must be the stored one.
  void write(const std::string& name, dtype type, const std::vector<int64_t>& shape, std::span<const std::byte> bytes);
  void read(const std::string& name, dtype type, std::span<std::byte> bytes) const;
  template <class T> void write(const std::string& name, const std::vector<int64_t>& shape, std::span<const T> values) {
    write(name, hdf5_detail::dtype_of<T>::value, shape, std::as_bytes(values));
  }
  template <class T> std::vector<T> read(const std::string& name) const {
    std::vector<T> values(static_cast<size_t>(readable_elements(name, hdf5_detail::dtype_of<T>::value)));
    read(name, hdf5_detail::dtype_of<T>::value, std::as_writable_bytes(std::span(values)));
    return values;
  }

  /// A data set to be written in pieces: `bytes` are the elements from `begin` on of the flattened
  /// whole. Every element must be written once. Pieces of a multi-dimensional data set are split
  /// into blocks.
  void create(const std::string& name, dtype type, const std::vector<int64_t>& shape);
  void write_range(const std::string& name, dtype type, int64_t begin, std::span<const std::byte> bytes);
  void read_range(const std::string& name, dtype type, int64_t begin, std::span<std::byte> bytes) const;

  /// Variable-length UTF-8 strings, one-dimensional; or one string as a scalar.
  /// Errors  bad_argument: a NUL inside.
  void write_texts(const std::string& name, std::span<const std::string> texts);
  std::vector<std::string> read_texts(const std::string& name) const;
  void write_text(const std::string& name, const std::string& text);
  std::string read_text(const std::string& name) const;

  /// A float32 data set whose values lie in other files. It reads as zeros in a process that has
  /// one of these files open itself: HDF5 opens them with other properties and then gives up.
  void write_virtual(const std::string& name, const std::vector<int64_t>& shape,
                     std::span<const hdf5_virtual_piece> pieces);

  /// Attributes of a group or data set; "/" is the file's own.
  bool has_attribute(const std::string& object, const std::string& name) const;
  void write_attribute(const std::string& object, const std::string& name, int64_t value);
  void write_attribute(const std::string& object, const std::string& name, uint64_t value);
  void write_attribute(const std::string& object, const std::string& name, double value);
  void write_attribute(const std::string& object, const std::string& name, const std::string& value);
  void write_attribute(const std::string& object, const std::string& name, std::span<const std::string> values);
  void write_attribute(const std::string& object, const std::string& name, std::span<const int64_t> values);
  int64_t read_int_attribute(const std::string& object, const std::string& name) const;
  uint64_t read_unsigned_attribute(const std::string& object, const std::string& name) const;
  double read_double_attribute(const std::string& object, const std::string& name) const;
  std::string read_text_attribute(const std::string& object, const std::string& name) const;
  std::vector<std::string> read_texts_attribute(const std::string& object, const std::string& name) const;
  std::vector<int64_t> read_ints_attribute(const std::string& object, const std::string& name) const;

private:
  hdf5_file(std::filesystem::path path, int64_t id, bool writable)
      : path_(std::move(path)), id_(id), writable_(writable) {}
  int64_t readable_elements(const std::string& name, dtype type) const;

  std::filesystem::path path_;
  int64_t id_ = -1;
  bool writable_ = false;
};

/// The flat range [begin, end) of a row-major array as at most 2 * rank - 1 regular blocks, in
/// order.
struct array_block {
  std::vector<int64_t> start, extent;
};
std::vector<array_block> blocks_of_range(const std::vector<int64_t>& shape, int64_t begin, int64_t end);

}  // namespace troupe::io
