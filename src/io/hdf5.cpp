#include "io/hdf5.hpp"

#include "kernels/base/assert.hpp"
#include "kernels/base/error.hpp"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

static_assert(sizeof(hid_t) == sizeof(int64_t));

/// Debian's serial HDF5 has a lock of its own, others have none: one at a time, everywhere. HDF5
/// keeps its error stack, and whether to print it, per thread; so printing is turned off at each
/// entry.
class library_lock {
public:
  library_lock() : lock_(mutex()) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5Eclear2(H5E_DEFAULT);
  }

private:
  static std::mutex& mutex() {
    static std::mutex the_mutex;
    // A file whose close fails (full disk) stays in HDF5's table although its memory is gone, and HDF5's cleanup at
    // exit would close it again and crash (HDFGroup/hdf5 pull request 2291). We close every file ourselves.
    [[maybe_unused]] static const herr_t no_cleanup_at_exit = H5dont_atexit();
    return the_mutex;
  }
  std::lock_guard<std::mutex> lock_;
};

class handle {
public:
  using closer = herr_t (*)(hid_t);
  handle(hid_t id, closer close) : id_(id), close_(close) {}
  handle(handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  handle& operator=(handle&&) = delete;
  ~handle() {
    if (id_ >= 0) {
      close_(id_);
    }
  }
  operator hid_t() const { return id_; }  // NOLINT: to be passed to HDF5 as it is

private:
  hid_t id_;
  closer close_;
};

/// The innermost entry of the error stack, which has the cause, and the outermost, which has the
/// operation.
struct stack_text {
  std::string inner, outer;
};

herr_t collect(unsigned, const H5E_error2_t* entry, void* data) {
  auto* text = static_cast<stack_text*>(data);
  const char* description = entry->desc == nullptr ? "" : entry->desc;
  if (text->inner.empty()) {
    text->inner = description;
  }
  text->outer = description;
  return 0;
}

/// HDF5 reports system errors as "..., errno = 28, error message = 'No space left on device', buf =
/// 0x...".
std::string hdf5_reason() {
  stack_text text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &text);
  H5Eclear2(H5E_DEFAULT);
  const std::string marker = "error message = '";
  const size_t found = text.inner.find(marker);
  if (found != std::string::npos) {
    const size_t begin = found + marker.size();
    text.inner = text.inner.substr(begin, text.inner.find('\'', begin) - begin);
  }
  return text.outer == text.inner ? text.inner : text.inner + " (" + text.outer + ")";
}

/// What is being done to which object of which file, for errors.
struct place {
  const fs::path& file;
  bool writing = false;
  const char* action = "";
  const std::string& object;

  [[noreturn]] void fail() const {
    throw error(writing ? errc::io_failure : errc::bad_file, "cannot {} '{}' of {}: {}", action, object, file.string(),
                hdf5_reason());
  }
  hid_t check_id(hid_t id) const {
    if (id < 0) {
      fail();
    }
    return id;
  }
  void check(herr_t status) const {
    if (status < 0) {
      fail();
    }
  }
};

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

handle utf8_type(H5T_cset_t set = H5T_CSET_UTF8) {
  handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, set);
  return type;
}

std::vector<hsize_t> to_hsize(const std::vector<int64_t>& values) { return {values.begin(), values.end()}; }

/// Number of elements. Errors  shape_mismatch: a negative extent, or more than 2^48.
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

/// A property list for creating a data set: no time stamp, so that equal data gives equal bytes.
handle creation_properties(const place& at) {
  handle properties(at.check_id(H5Pcreate(H5P_DATASET_CREATE)), H5Pclose);
  at.check(H5Pset_obj_track_times(properties, 0));
  return properties;
}

handle link_properties(const place& at) {
  handle properties(at.check_id(H5Pcreate(H5P_LINK_CREATE)), H5Pclose);
  at.check(H5Pset_create_intermediate_group(properties, 1));
  at.check(H5Pset_char_encoding(properties, H5T_CSET_UTF8));
  return properties;
}

handle create_data_set(hid_t file, const std::string& name, hid_t type, hid_t space, hid_t properties,
                       const place& at) {
  const handle links = link_properties(at);
  return {at.check_id(H5Dcreate2(file, name.c_str(), type, space, links, properties, H5P_DEFAULT)), H5Dclose};
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

handle open_object(hid_t file, const std::string& name, const place& at) {
  if (!link_exists(file, name)) {
    throw error(errc::not_found, "{} has no '{}'", at.file.string(), name);
  }
  return {at.check_id(H5Oopen(file, name.c_str(), H5P_DEFAULT)), H5Oclose};
}

handle open_data_set(hid_t file, const std::string& name, const place& at) {
  if (!link_exists(file, name)) {
    throw error(errc::not_found, "{} has no data set '{}'", at.file.string(), name);
  }
  return {at.check_id(H5Dopen2(file, name.c_str(), H5P_DEFAULT)), H5Dclose};
}

/// Type, text or not, and shape of an open data set.
hdf5_shape shape_of(hid_t data_set, const std::string& name, const place& at) {
  const handle type(at.check_id(H5Dget_type(data_set)), H5Tclose);
  const handle space(at.check_id(H5Dget_space(data_set)), H5Sclose);
  hdf5_shape result;
  result.shape = extents_of(space, at);
  product(result.shape, name);
  if (H5Tget_class(type) == H5T_STRING) {
    result.text = true;
    return result;
  }
  const std::optional<dtype> known = dtype_of_stored(type);
  if (!known) {
    throw error(errc::unsupported, "'{}' of {} has a type that is neither number nor text", name, at.file.string());
  }
  result.type = *known;
  return result;
}

void require_type(const hdf5_shape& shape, dtype type, const std::string& name, const place& at) {
  if (shape.text || shape.type != type) {
    throw error(errc::shape_mismatch, "'{}' of {} is {}, not {}", name, at.file.string(),
                shape.text ? "text" : to_string(shape.type), to_string(type));
  }
}

void require_bytes(size_t bytes, int64_t elements, dtype type, const std::string& name, const place& at) {
  if (bytes != static_cast<size_t>(elements) * static_cast<size_t>(size_of(type))) {
    throw error(errc::shape_mismatch, "'{}' of {} has {} elements of {}, the buffer {} bytes", name, at.file.string(),
                elements, to_string(type), bytes);
  }
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

/// All strings of a data set or attribute of `count` elements, of variable or fixed length; `read`
/// is H5Dread or H5Aread with everything but the memory type and the buffer bound.
template <class Read>
std::vector<std::string> strings_of(hid_t stored, hid_t space, size_t count, const place& at, Read read) {
  if (H5Tget_class(stored) != H5T_STRING) {
    throw error(errc::shape_mismatch, "'{}' of {} is not text", at.object, at.file.string());
  }
  std::vector<std::string> texts;
  if (count == 0) {
    return texts;
  }
  if (H5Tis_variable_str(stored) > 0) {
    const handle type = utf8_type(H5Tget_cset(stored));
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

void write_attribute_of(hid_t file, const std::string& object, const std::string& name, hid_t type,
                        const std::vector<int64_t>& shape, const void* values, const place& at) {
  const handle owner = open_object(file, object, at);
  const handle space = space_of(shape, at);
  const handle attribute(at.check_id(H5Acreate2(owner, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT)), H5Aclose);
  if (values != nullptr) {
    at.check(H5Awrite(attribute, type, values));
  }
}

/// An attribute opened for reading.
struct opened_attribute {
  handle id, type, space;
  std::vector<int64_t> shape;
  int64_t elements;
};

opened_attribute open_attribute(hid_t file, const std::string& object, const std::string& name, const place& at) {
  const handle owner = open_object(file, object, at);
  if (H5Aexists(owner, name.c_str()) <= 0) {
    throw error(errc::not_found, "'{}' of {} has no attribute '{}'", object, at.file.string(), name);
  }
  handle id(at.check_id(H5Aopen(owner, name.c_str(), H5P_DEFAULT)), H5Aclose);
  handle type(at.check_id(H5Aget_type(id)), H5Tclose);
  handle space(at.check_id(H5Aget_space(id)), H5Sclose);
  std::vector<int64_t> shape = extents_of(space, at);
  const int64_t elements = product(shape, name);
  return {std::move(id), std::move(type), std::move(space), std::move(shape), elements};
}

/// Reads a numeric attribute converted to `type`.
void read_numbers(const opened_attribute& attribute, hid_t type, bool integers_only, void* values,
                  const std::string& name, const place& at) {
  const H5T_class_t kind = H5Tget_class(attribute.type);
  if (kind != H5T_INTEGER && (integers_only || kind != H5T_FLOAT)) {
    throw error(errc::shape_mismatch, "attribute '{}' of '{}' in {} is not {}", name, at.object, at.file.string(),
                integers_only ? "an integer" : "a number");
  }
  at.check(H5Aread(attribute.id, type, values));
}

void require_single(const opened_attribute& attribute, const std::string& name, const place& at) {
  if (attribute.elements != 1) {
    throw error(errc::shape_mismatch, "attribute '{}' of '{}' in {} has {} values, not 1", name, at.object,
                at.file.string(), attribute.elements);
  }
}

void select_block(hid_t space, const std::vector<int64_t>& start, const std::vector<int64_t>& extent, const place& at) {
  const std::vector<hsize_t> from = to_hsize(start);
  const std::vector<hsize_t> count = to_hsize(extent);
  at.check(H5Sselect_hyperslab(space, H5S_SELECT_SET, from.data(), nullptr, count.data(), nullptr));
}

/// Calls transfer(memory_space, file_space, byte_offset) for each block of the flat range.
template <class Transfer>
void for_each_block(const std::vector<int64_t>& shape, int64_t begin, int64_t end, dtype type, const place& at,
                    Transfer transfer) {
  const handle file_space = space_of(shape, at);
  size_t offset = 0;
  for (const array_block& block : blocks_of_range(shape, begin, end)) {
    const int64_t elements = product(block.extent, at.object);
    const handle memory_space = space_of({elements}, at);
    if (!shape.empty()) {
      select_block(file_space, block.start, block.extent, at);
    }
    at.check(transfer(memory_space, file_space, offset));
    offset += static_cast<size_t>(elements * size_of(type));
  }
}

int64_t range_end(const hdf5_shape& shape, dtype type, int64_t begin, size_t bytes, const std::string& name,
                  const place& at) {
  require_type(shape, type, name, at);
  const auto count = static_cast<int64_t>(bytes / static_cast<size_t>(size_of(type)));
  require_bytes(bytes, count, type, name, at);
  const int64_t elements = shape.elements();
  if (begin < 0 || begin > elements || count > elements - begin) {
    throw error(errc::shape_mismatch, "'{}' of {} has {} elements: [{}, {}) is not inside", name, at.file.string(),
                elements, begin, begin + count);
  }
  return begin + count;
}

/// Text is stored with a fill value (HDF5 needs one to follow its references).
void write_strings(hid_t file, const std::string& name, const std::vector<int64_t>& shape,
                   std::span<const std::string> texts, const place& at) {
  const std::vector<const char*> pointers = pointers_to(texts, name);
  const handle type = utf8_type();
  const handle space = space_of(shape, at);
  const handle properties = creation_properties(at);
  const handle data_set = create_data_set(file, name, type, space, properties, at);
  if (!pointers.empty()) {
    at.check(H5Dwrite(data_set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()));
  }
}

std::vector<std::string> read_strings(hid_t file, const std::string& name, const place& at) {
  const handle data_set = open_data_set(file, name, at);
  const handle stored(at.check_id(H5Dget_type(data_set)), H5Tclose);
  const handle space(at.check_id(H5Dget_space(data_set)), H5Sclose);
  const int64_t count = product(extents_of(space, at), name);
  return strings_of(stored, space, static_cast<size_t>(count), at, [&](hid_t type, void* buffer) {
    return H5Dread(data_set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
  });
}

herr_t collect_data_set(hid_t, const char* name, const H5O_info_t* info, void* names) {
  if (info->type == H5O_TYPE_DATASET) {
    try {
      static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    } catch (const std::bad_alloc&) {
      return -1;
    }
  }
  return 0;
}

/// Our files are renamed when whole and never read while they are written, so HDF5's own file locks
/// add nothing, and some cluster file systems have none.
handle access_properties(const place& at) {
  handle properties(at.check_id(H5Pcreate(H5P_FILE_ACCESS)), H5Pclose);
  at.check(H5Pset_file_locking(properties, 0, 1));
  return properties;
}

const std::string root_name = "/";

}  // namespace

int64_t hdf5_shape::elements() const { return product(shape, "shape"); }

hdf5_file hdf5_file::create(const fs::path& path, int64_t user_block_bytes) {
  const library_lock lock;
  const place at{path, true, "create", root_name};
  const handle access = access_properties(at);
  // No buffer for small pieces: HDF5 writes it when the data set is closed, and where the disk is full for that moment
  // only, the piece is lost and nothing later fails.
  at.check(H5Pset_sieve_buf_size(access, 0));
  const handle creation(at.check_id(H5Pcreate(H5P_FILE_CREATE)), H5Pclose);
  at.check(H5Pset_obj_track_times(creation, 0));
  at.check(H5Pset_userblock(creation, static_cast<hsize_t>(user_block_bytes)));
  return {path, at.check_id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access)), true};
}

hdf5_file hdf5_file::open(const fs::path& path) {
  if (!fs::exists(path)) {
    throw error(errc::not_found, "{} does not exist", path.string());
  }
  const library_lock lock;
  const place at{path, false, "open", root_name};
  const handle access = access_properties(at);
  return {path, at.check_id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access)), false};
}

hdf5_file::hdf5_file(hdf5_file&& other) noexcept
    : path_(std::move(other.path_)), id_(std::exchange(other.id_, -1)), writable_(other.writable_) {}

hdf5_file::~hdf5_file() {
  if (id_ >= 0) {
    const library_lock lock;
    H5Fclose(id_);
  }
}

void hdf5_file::close() {
  const library_lock lock;
  const place at{path_, writable_, "close", root_name};
  // Flushed first: when the disk is full the flush fails, and the file is still released by the
  // close.
  const herr_t flushed = writable_ ? H5Fflush(id_, H5F_SCOPE_LOCAL) : 0;
  const std::string reason = flushed < 0 ? hdf5_reason() : "";
  const herr_t closed = H5Fclose(std::exchange(id_, -1));
  if (flushed < 0) {
    throw error(errc::io_failure, "cannot flush {}: {}", path_.string(), reason);
  }
  at.check(closed);
}

bool hdf5_file::exists(const std::string& object) const {
  const library_lock lock;
  return link_exists(id_, object);
}

void hdf5_file::create_group(const std::string& name) {
  const library_lock lock;
  const place at{path_, true, "create group", name};
  const handle links = link_properties(at);
  const handle group(at.check_id(H5Gcreate2(id_, name.c_str(), links, H5P_DEFAULT, H5P_DEFAULT)), H5Gclose);
}

std::vector<std::string> hdf5_file::data_sets() const {
  const library_lock lock;
  const place at{path_, writable_, "list", root_name};
  std::vector<std::string> names;
  at.check(H5Ovisit2(id_, H5_INDEX_NAME, H5_ITER_INC, collect_data_set, &names, H5O_INFO_BASIC));
  std::sort(names.begin(), names.end());
  return names;
}

hdf5_shape hdf5_file::shape(const std::string& data_set) const {
  const library_lock lock;
  const place at{path_, writable_, "open", data_set};
  const handle id = open_data_set(id_, data_set, at);
  return shape_of(id, data_set, at);
}

int64_t hdf5_file::readable_elements(const std::string& name, dtype type) const {
  const hdf5_shape found = shape(name);
  require_type(found, type, name, place{path_, writable_, "read", name});
  return found.elements();
}

void hdf5_file::write(const std::string& name, dtype type, const std::vector<int64_t>& shape,
                      std::span<const std::byte> bytes) {
  const library_lock lock;
  const place at{path_, true, "write", name};
  require_bytes(bytes.size(), product(shape, name), type, name, at);
  const handle space = space_of(shape, at);
  const handle properties = creation_properties(at);
  at.check(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER));
  const handle data_set = create_data_set(id_, name, native_type(type), space, properties, at);
  if (!bytes.empty()) {
    at.check(H5Dwrite(data_set, native_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()));
  }
}

void hdf5_file::read(const std::string& name, dtype type, std::span<std::byte> bytes) const {
  const library_lock lock;
  const place at{path_, writable_, "read", name};
  const handle data_set = open_data_set(id_, name, at);
  const hdf5_shape found = shape_of(data_set, name, at);
  require_type(found, type, name, at);
  require_bytes(bytes.size(), found.elements(), type, name, at);
  if (!bytes.empty()) {
    at.check(H5Dread(data_set, native_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()));
  }
}

void hdf5_file::create(const std::string& name, dtype type, const std::vector<int64_t>& shape) {
  const library_lock lock;
  const place at{path_, true, "create", name};
  product(shape, name);
  const handle space = space_of(shape, at);
  const handle properties = creation_properties(at);
  at.check(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER));
  create_data_set(id_, name, native_type(type), space, properties, at);
}

void hdf5_file::write_range(const std::string& name, dtype type, int64_t begin, std::span<const std::byte> bytes) {
  const library_lock lock;
  const place at{path_, true, "write", name};
  const handle data_set = open_data_set(id_, name, at);
  const hdf5_shape whole = shape_of(data_set, name, at);
  const int64_t end = range_end(whole, type, begin, bytes.size(), name, at);
  for_each_block(whole.shape, begin, end, type, at, [&](hid_t memory, hid_t file, size_t offset) {
    return H5Dwrite(data_set, native_type(type), memory, file, H5P_DEFAULT, bytes.data() + offset);
  });
}

void hdf5_file::read_range(const std::string& name, dtype type, int64_t begin, std::span<std::byte> bytes) const {
  const library_lock lock;
  const place at{path_, writable_, "read", name};
  const handle data_set = open_data_set(id_, name, at);
  const hdf5_shape whole = shape_of(data_set, name, at);
  const int64_t end = range_end(whole, type, begin, bytes.size(), name, at);
  for_each_block(whole.shape, begin, end, type, at, [&](hid_t memory, hid_t file, size_t offset) {
    return H5Dread(data_set, native_type(type), memory, file, H5P_DEFAULT, bytes.data() + offset);
  });
}

void hdf5_file::write_texts(const std::string& name, std::span<const std::string> texts) {
  const library_lock lock;
  const place at{path_, true, "write", name};
  write_strings(id_, name, {static_cast<int64_t>(texts.size())}, texts, at);
}

std::vector<std::string> hdf5_file::read_texts(const std::string& name) const {
  const library_lock lock;
  return read_strings(id_, name, place{path_, writable_, "read", name});
}

void hdf5_file::write_text(const std::string& name, const std::string& text) {
  const library_lock lock;
  write_strings(id_, name, {}, std::span(&text, 1), place{path_, true, "write", name});
}

std::string hdf5_file::read_text(const std::string& name) const {
  const library_lock lock;
  const place at{path_, writable_, "read", name};
  std::vector<std::string> texts = read_strings(id_, name, at);
  if (texts.size() != 1) {
    throw error(errc::shape_mismatch, "'{}' of {} has {} texts, not 1", name, path_.string(), texts.size());
  }
  return std::move(texts.front());
}

void hdf5_file::write_virtual(const std::string& name, const std::vector<int64_t>& shape,
                              std::span<const hdf5_virtual_piece> pieces) {
  const library_lock lock;
  const place at{path_, true, "write", name};
  product(shape, name);
  const handle properties = creation_properties(at);
  for (const hdf5_virtual_piece& piece : pieces) {
    const handle target = space_of(shape, at);
    select_block(target, piece.start, piece.extent, at);
    const handle source = space_of(piece.source_shape, at);
    if (piece.source_shape.size() == 1) {
      select_block(source, {piece.source_begin}, {product(piece.extent, name)}, at);
    }
    at.check(H5Pset_virtual(properties, target, piece.file.c_str(), piece.data_set.c_str(), source));
  }
  const handle space = space_of(shape, at);
  create_data_set(id_, name, H5T_NATIVE_FLOAT, space, properties, at);
}

bool hdf5_file::has_attribute(const std::string& object, const std::string& name) const {
  const library_lock lock;
  const place at{path_, writable_, "read attributes of", object};
  return H5Aexists(open_object(id_, object, at), name.c_str()) > 0;
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, int64_t value) {
  const library_lock lock;
  write_attribute_of(id_, object, name, H5T_NATIVE_INT64, {}, &value,
                     place{path_, true, "write an attribute of", object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, uint64_t value) {
  const library_lock lock;
  write_attribute_of(id_, object, name, H5T_NATIVE_UINT64, {}, &value,
                     place{path_, true, "write an attribute of", object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, double value) {
  const library_lock lock;
  write_attribute_of(id_, object, name, H5T_NATIVE_DOUBLE, {}, &value,
                     place{path_, true, "write an attribute of", object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, const std::string& value) {
  const library_lock lock;
  const std::vector<const char*> pointers = pointers_to(std::span(&value, 1), name);
  write_attribute_of(id_, object, name, utf8_type(), {}, pointers.data(),
                     place{path_, true, "write an attribute of", object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name,
                                std::span<const std::string> values) {
  const library_lock lock;
  const std::vector<const char*> pointers = pointers_to(values, name);
  write_attribute_of(id_, object, name, utf8_type(), {static_cast<int64_t>(values.size())},
                     pointers.empty() ? nullptr : pointers.data(), place{path_, true, "write an attribute of", object});
}

void hdf5_file::write_attribute(const std::string& object, const std::string& name, std::span<const int64_t> values) {
  const library_lock lock;
  write_attribute_of(id_, object, name, H5T_NATIVE_INT64, {static_cast<int64_t>(values.size())},
                     values.empty() ? nullptr : values.data(), place{path_, true, "write an attribute of", object});
}

int64_t hdf5_file::read_int_attribute(const std::string& object, const std::string& name) const {
  const library_lock lock;
  const place at{path_, writable_, "read an attribute of", object};
  const opened_attribute attribute = open_attribute(id_, object, name, at);
  require_single(attribute, name, at);
  int64_t value = 0;
  read_numbers(attribute, H5T_NATIVE_INT64, true, &value, name, at);
  return value;
}

uint64_t hdf5_file::read_unsigned_attribute(const std::string& object, const std::string& name) const {
  const library_lock lock;
  const place at{path_, writable_, "read an attribute of", object};
  const opened_attribute attribute = open_attribute(id_, object, name, at);
  require_single(attribute, name, at);
  uint64_t value = 0;
  read_numbers(attribute, H5T_NATIVE_UINT64, true, &value, name, at);
  return value;
}

double hdf5_file::read_double_attribute(const std::string& object, const std::string& name) const {
  const library_lock lock;
  const place at{path_, writable_, "read an attribute of", object};
  const opened_attribute attribute = open_attribute(id_, object, name, at);
  require_single(attribute, name, at);
  double value = 0;
  read_numbers(attribute, H5T_NATIVE_DOUBLE, false, &value, name, at);
  return value;
}

std::vector<std::string> hdf5_file::read_texts_attribute(const std::string& object, const std::string& name) const {
  const library_lock lock;
  const place at{path_, writable_, "read an attribute of", object};
  const opened_attribute attribute = open_attribute(id_, object, name, at);
  return strings_of(attribute.type, attribute.space, static_cast<size_t>(attribute.elements), at,
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
  const library_lock lock;
  const place at{path_, writable_, "read an attribute of", object};
  const opened_attribute attribute = open_attribute(id_, object, name, at);
  std::vector<int64_t> values(static_cast<size_t>(attribute.elements));
  if (!values.empty()) {
    read_numbers(attribute, H5T_NATIVE_INT64, true, values.data(), name, at);
  }
  return values;
}

}  // namespace troupe::io
