#include "io/weights/gguf.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"
#include "io/files/mapped_file.hpp"
#include "io/weights/gguf_types.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace troupe::io {

/// Reads a file from front to back.
class gguf_parser {
public:
  gguf_parser(std::span<const std::byte> bytes, const std::string& where) : in_(bytes, where) { file_.where_ = where; }

  gguf_file run(std::shared_ptr<const void> owner) {
    file_.owner_ = std::move(owner);
    read_magic();
    const auto tensors = in_.read<uint64_t>();
    const auto pairs = in_.read<uint64_t>();
    for (uint64_t i = 0; i < pairs; ++i) {
      read_pair();
    }
    std::vector<description> descriptions;
    for (uint64_t i = 0; i < tensors; ++i) {
      descriptions.push_back(read_description());
    }
    place_tensors(std::move(descriptions));
    return std::move(file_);
  }

private:
  struct description {
    std::string name;
    gguf_file::stored_tensor tensor;
    uint64_t offset = 0, bytes = 0;
  };

  // The format's numbers of value types.
  enum : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

  void read_magic() {
    if (in_.left() < 4 || in_.take_text(4) != "GGUF") {
      throw error(errc::bad_file, "{}: does not start with \"GGUF\": this is no GGUF file", in_.where());
    }
    const auto version = in_.read<uint32_t>();
    if (version != 2 && version != 3) {
      throw error(errc::unsupported, "{}: GGUF version {}{}: 2 and 3 in little-endian order are read", in_.where(),
                  version, (version & 0xFFFF) == 0 ? " (big-endian)" : "");
    }
  }

  std::string read_text(uint64_t limit, const char* what) {
    const uint64_t at = in_.position();
    const auto length = in_.read<uint64_t>();
    if (length > limit) {
      throw error(errc::bad_file, "{}: a {} of {} bytes at byte {}, the limit is {}", in_.where(), what, length, at,
                  limit);
    }
    return std::string(in_.take_text(length));
  }

  void read_pair() {
    std::string key = read_text(65535, "metadata key");
    const uint64_t at = in_.position();
    const auto type = in_.read<uint32_t>();
    gguf_value value = type == array ? read_array(key) : read_value(type, key);
    if (!file_.metadata_.emplace(key, std::move(value)).second) {
      throw error(errc::bad_file, "{}: metadata key {} occurs twice, at byte {}", in_.where(), excerpt(key), at);
    }
  }

  gguf_value read_value(uint32_t type, const std::string& key) {
    switch (type) {
    case boolean:
      return in_.read<uint8_t>() != 0;
    case f32:
      return static_cast<double>(in_.read<float>());
    case f64:
      return in_.read<double>();
    case text:
      return read_text(in_.left(), "text");
    default:
      return read_integer(type, key);
    }
  }

  int64_t read_integer(uint32_t type, const std::string& key) {
    switch (type) {
    case u8:
    case boolean:
      return in_.read<uint8_t>();
    case i8:
      return in_.read<int8_t>();
    case u16:
      return in_.read<uint16_t>();
    case i16:
      return in_.read<int16_t>();
    case u32:
      return in_.read<uint32_t>();
    case i32:
      return in_.read<int32_t>();
    case i64:
      return in_.read<int64_t>();
    case u64: {
      const auto value = in_.read<uint64_t>();
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        throw error(errc::bad_file, "{}: metadata {} is {}, beyond int64", in_.where(), excerpt(key), value);
      }
      return static_cast<int64_t>(value);
    }
    default:
      throw error(errc::unsupported, "{}: metadata {} has the type {}, at byte {}", in_.where(), excerpt(key), type,
                  in_.position());
    }
  }

  // The count is not to be trusted: nothing is reserved, the elements run out first.
  gguf_value read_array(const std::string& key) {
    const auto type = in_.read<uint32_t>();
    const auto count = in_.read<uint64_t>();
    if (type == text) {
      std::vector<std::string> values;
      for (uint64_t i = 0; i < count; ++i) {
        values.push_back(read_text(in_.left(), "text"));
      }
      return values;
    }
    if (type == f32 || type == f64) {
      std::vector<double> values;
      for (uint64_t i = 0; i < count; ++i) {
        values.push_back(type == f32 ? static_cast<double>(in_.read<float>()) : in_.read<double>());
      }
      return values;
    }
    std::vector<int64_t> values;
    for (uint64_t i = 0; i < count; ++i) {
      values.push_back(read_integer(type, key));
    }
    return values;
  }

  description read_description() {
    description result;
    result.name = read_text(64 * 1024, "tensor name");
    const auto dimensions = in_.read<uint32_t>();
    if (dimensions == 0 || dimensions > 4) {
      throw error(errc::bad_file, "{}: tensor {} has {} dimensions, at byte {}", in_.where(), excerpt(result.name),
                  dimensions, in_.position() - 4);
    }
    std::vector<int64_t>& shape = result.tensor.shape;
    for (uint32_t i = 0; i < dimensions; ++i) {
      shape.push_back(read_integer(u64, result.name));
    }
    const auto type = in_.read<uint32_t>();
    result.offset = in_.read<uint64_t>();
    result.tensor.type = &find_gguf_type(type, result.name, in_.where());
    result.bytes = measure(result);
    std::reverse(shape.begin(), shape.end());  // the file has the fastest dimension first
    return result;
  }

  uint64_t measure(const description& item) const {
    const gguf_type& type = *item.tensor.type;
    const std::vector<int64_t>& extents = item.tensor.shape;
    int64_t total = type.bytes;
    bool fits = std::all_of(extents.begin(), extents.end(), [](int64_t n) { return n > 0; }) &&
                extents[0] % type.values == 0 && !__builtin_mul_overflow(total, extents[0] / type.values, &total);
    for (size_t i = 1; i < extents.size(); ++i) {
      fits = fits && !__builtin_mul_overflow(total, extents[i], &total);
    }
    // As f32 it may be larger than in the file.
    if (!fits || total > std::numeric_limits<int64_t>::max() / 8) {
      throw error(errc::bad_file, "{}: tensor {} of type {} cannot have the dimensions [{}]", in_.where(),
                  excerpt(item.name), type.name, fmt::join(extents, ", "));
    }
    return static_cast<uint64_t>(total);
  }

  void place_tensors(std::vector<description> descriptions) {
    const int64_t alignment = file_.get<int64_t>("general.alignment", 32);
    if (alignment < 1 || alignment > (1 << 20) || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
      throw error(errc::bad_file, "{}: general.alignment is {}, a power of two is needed", in_.where(), alignment);
    }
    const auto step = static_cast<uint64_t>(alignment);
    const uint64_t start = std::min<uint64_t>((in_.position() + step - 1) / step * step, in_.all().size());
    const auto data = in_.all().subspan(start);
    check_places(descriptions, step, data.size());
    for (description& item : descriptions) {
      item.tensor.bytes = data.subspan(item.offset, item.bytes);
      file_.names_.push_back(item.name);
      if (!file_.tensors_.emplace(item.name, std::move(item.tensor)).second) {
        throw error(errc::bad_file, "{}: tensor {} occurs twice", in_.where(), excerpt(item.name));
      }
    }
  }

  void check_places(const std::vector<description>& descriptions, uint64_t alignment, uint64_t data_bytes) const {
    std::vector<const description*> in_order;
    for (const description& item : descriptions) {
      if (item.offset % alignment != 0 || item.offset > data_bytes || item.bytes > data_bytes - item.offset) {
        throw error(errc::bad_file,
                    "{}: tensor {} needs {} bytes at byte {} of the data, which has {}: truncated "
                    "or corrupt",
                    in_.where(), excerpt(item.name), item.bytes, item.offset, data_bytes);
      }
      in_order.push_back(&item);
    }
    std::sort(in_order.begin(), in_order.end(),
              [](const description* a, const description* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < in_order.size(); ++i) {
      if (in_order[i]->offset < in_order[i - 1]->offset + in_order[i - 1]->bytes) {
        throw error(errc::bad_file, "{}: tensors {} and {} overlap", in_.where(), excerpt(in_order[i - 1]->name),
                    excerpt(in_order[i]->name));
      }
    }
  }

  byte_reader in_;
  gguf_file file_;
};

gguf_file gguf_file::open(const std::filesystem::path& path) {
  auto file = mapped_file::open(path);
  const auto bytes = file->bytes();
  return parse(bytes, std::move(file), path.string());
}

gguf_file gguf_file::parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                           const std::string& where) {
  return gguf_parser(bytes, where).run(std::move(owner));
}

std::optional<host_array> gguf_file::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return std::nullopt;
  }
  const stored_tensor& stored = found->second;
  if (stored.type->dequantise_block != nullptr) {
    return make_host_array(found->first, stored.shape, dequantise(*stored.type, stored.bytes));
  }
  return host_array{found->first, stored.type->as_found, stored.shape, stored.bytes, owner_};
}

tensor_shape gguf_file::shape_of(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw error(errc::not_found, "{}: no tensor {}", where_, name);
  }
  return {found->first, found->second.type->as_found, found->second.shape};
}

void gguf_file::refuse_missing(std::string_view key) const {
  throw error(errc::not_found, "{}: the metadata has no {}", where_, key);
}

void gguf_file::refuse_type(std::string_view key) const {
  throw error(errc::bad_file, "{}: metadata {} has an unexpected type", where_, key);
}

}  // namespace troupe::io
