#include "io/weights/safetensors.hpp"

#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace troupe::io {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and mapped as they are");

constexpr uint64_t header_limit_bytes = 100'000'000;  // the reference library's own limit
constexpr uint64_t length_bytes = 8;

struct type_name {
  dtype type;
  const char* name;
};

/// In the reference library's order, which decides the order of the data: later ones come first.
constexpr type_name type_names[] = {
    {dtype::boolean, "BOOL"}, {dtype::u8, "U8"},     {dtype::i8, "I8"},   {dtype::i16, "I16"}, {dtype::u16, "U16"},
    {dtype::f16, "F16"},      {dtype::bf16, "BF16"}, {dtype::i32, "I32"}, {dtype::u32, "U32"}, {dtype::f32, "F32"},
    {dtype::f64, "F64"},      {dtype::i64, "I64"},   {dtype::u64, "U64"}};

size_t rank_of(dtype type) {
  const auto* found =
      std::find_if(std::begin(type_names), std::end(type_names), [&](const type_name& t) { return t.type == type; });
  return static_cast<size_t>(found - std::begin(type_names));
}

dtype parse_type(const std::string& name, const std::string& tensor, const std::string& where) {
  for (const type_name& known : type_names) {
    if (name == known.name) {
      return known.type;
    }
  }
  throw error(errc::unsupported, "{}: tensor {} has the type {}, which is not one that Troupe reads", where, tensor,
              name);
}

/// One tensor's entry of the header, checked against the size of the data.
struct entry {
  host_array array;
  uint64_t begin = 0, end = 0;
};

class header_reader {
public:
  header_reader(std::span<const std::byte> data, std::shared_ptr<const void> owner, const std::string& where)
      : data_(data), owner_(std::move(owner)), where_(where) {}

  entry read(const std::string& name, const nlohmann::json& fields) const {
    require(fields.is_object() && fields.size() == 3 && fields.contains("dtype") && fields.contains("shape") &&
                fields.contains("data_offsets"),
            name, "needs exactly dtype, shape and data_offsets");
    require(fields["dtype"].is_string(), name, "has a dtype that is no text");
    entry result;
    result.array.name = name;
    result.array.type = parse_type(fields["dtype"].get<std::string>(), name, where_);
    for (const uint64_t extent : unsigned_list(name, fields["shape"], "shape")) {
      require(extent <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), name, "has an extent beyond int64");
      result.array.shape.push_back(static_cast<int64_t>(extent));
    }
    const std::vector<uint64_t> offsets = unsigned_list(name, fields["data_offsets"], "data_offsets");
    require(offsets.size() == 2 && offsets[0] <= offsets[1], name, "needs two ascending data_offsets");
    result.begin = offsets[0];
    result.end = offsets[1];
    attach_bytes(result);
    return result;
  }

private:
  void attach_bytes(entry& item) const {
    host_array& array = item.array;
    if (item.end > data_.size()) {
      throw error(errc::bad_file,
                  "{}: tensor {} ends at byte {} of the data, which has only {}: the file is truncated, copy it again",
                  where_, array.name, item.end, data_.size());
    }
    const int64_t needed = tensor_shape{array.name, array.type, array.shape}.bytes();
    if (static_cast<uint64_t>(needed) != item.end - item.begin) {
      throw error(errc::bad_file, "{}: tensor {} has {} bytes, its shape needs {}", where_, array.name,
                  item.end - item.begin, needed);
    }
    array.bytes = data_.subspan(item.begin, item.end - item.begin);
    array.owner = owner_;
  }

  std::vector<uint64_t> unsigned_list(const std::string& name, const nlohmann::json& list, const char* what) const {
    std::vector<uint64_t> values;
    require(list.is_array(), name, fmt::format("has a {} that is no list", what));
    for (const nlohmann::json& value : list) {
      require(value.is_number_unsigned(), name, fmt::format("has a {} that is not all unsigned integers", what));
      values.push_back(value.get<uint64_t>());
    }
    return values;
  }

  void require(bool condition, const std::string& tensor, const std::string& complaint) const {
    if (!condition) {
      throw error(errc::bad_file, "{}: tensor {} {}", where_, tensor, complaint);
    }
  }

  std::span<const std::byte> data_;
  std::shared_ptr<const void> owner_;
  const std::string& where_;
};

std::map<std::string, std::string> read_metadata(const nlohmann::json& fields, const std::string& where) {
  std::map<std::string, std::string> metadata;
  if (!fields.is_object()) {
    throw error(errc::bad_file, "{}: __metadata__ is no object", where);
  }
  for (const auto& [key, value] : fields.items()) {
    if (!value.is_string()) {
      throw error(errc::bad_file, "{}: __metadata__ {} is no text", where, key);
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

/// The data must be covered exactly once: a gap could hide bytes, an overlap is never written.
void check_coverage(std::vector<entry>& entries, uint64_t data_bytes, const std::string& where) {
  std::sort(entries.begin(), entries.end(), [](const entry& a, const entry& b) {
    return std::tie(a.begin, a.end, a.array.name) < std::tie(b.begin, b.end, b.array.name);
  });
  uint64_t covered = 0;
  for (const entry& item : entries) {
    if (item.begin != covered) {
      throw error(errc::bad_file, "{}: tensor {} starts at byte {} of the data, {} where the one before ends at {}",
                  where, item.array.name, item.begin, item.begin < covered ? "an overlap," : "a gap,", covered);
    }
    covered = item.end;
  }
  if (covered != data_bytes) {
    throw error(errc::bad_file, "{}: the tensors end at byte {} of the data, which has {}", where, covered, data_bytes);
  }
}

std::span<const std::byte> header_bytes(std::span<const std::byte> bytes, const std::string& where) {
  if (bytes.size() < length_bytes) {
    throw error(errc::bad_file, "{}: {} bytes are too few for a safetensors file", where, bytes.size());
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), length_bytes);
  if (length > header_limit_bytes || length > bytes.size() - length_bytes) {
    throw error(errc::bad_file, "{}: a header of {} bytes is announced at byte 0, but the file has {} (limit {})",
                where, length, bytes.size(), header_limit_bytes);
  }
  const auto header = bytes.subspan(length_bytes, length);
  if (header.empty() || header.front() != std::byte{'{'}) {
    throw error(errc::bad_file, "{}: no JSON object at byte 8: this is not a safetensors file", where);
  }
  return header;
}

}  // namespace

int64_t tensor_shape::bytes() const {
  int64_t total = size_of(type);
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(total, extent, &total)) {
      throw error(errc::bad_file, "tensor {} has a shape beyond what can be addressed", name);
    }
  }
  return total;
}

safetensors_file safetensors_file::open(const std::filesystem::path& path) {
  auto file = mapped_file::open(path);
  const auto bytes = file->bytes();
  return parse(bytes, std::move(file), path.string());
}

safetensors_file safetensors_file::parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                         const std::string& where) {
  const auto header = header_bytes(bytes, where);
  const auto data = bytes.subspan(length_bytes + header.size());
  const nlohmann::json root =
      parse_json({reinterpret_cast<const char*>(header.data()), header.size()}, where + " (header, from byte 8)");
  const header_reader reader(data, std::move(owner), where);
  safetensors_file file;
  std::vector<entry> entries;
  for (const auto& [name, fields] : root.items()) {
    if (name == "__metadata__") {
      file.metadata_ = read_metadata(fields, where);
    } else {
      entries.push_back(reader.read(name, fields));
    }
  }
  check_coverage(entries, data.size(), where);
  for (entry& item : entries) {
    file.names_.push_back(item.array.name);
    file.arrays_.emplace(item.array.name, std::move(item.array));
  }
  return file;
}

std::optional<host_array> safetensors_file::find(std::string_view name) const {
  const auto found = arrays_.find(name);
  return found == arrays_.end() ? std::nullopt : std::optional<host_array>(found->second);
}

struct safetensors_writer::state {
  struct slot {
    tensor_shape tensor;
    int64_t offset = 0;  ///< in the file
    bool written = false;
  };
  atomic_file file;
  std::map<std::string, slot, std::less<>> slots;
};

/// The header's text, padded; fills in where each tensor goes, counted from the start of the data.
static std::string compose_header(const std::vector<tensor_shape>& tensors,
                                  const std::map<std::string, std::string>& metadata, std::vector<int64_t>& offsets) {
  const auto quoted = [](const std::string& text) { return json_quoted(text, "safetensors header"); };
  std::string header = "{";
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    pairs.reserve(metadata.size());
    for (const auto& [key, value] : metadata) {
      pairs.push_back(quoted(key) + ":" + quoted(value));
    }
    header += fmt::format("\"__metadata__\":{{{}}}", fmt::join(pairs, ","));
  }
  int64_t begin = 0;
  for (const tensor_shape& tensor : tensors) {
    int64_t end = 0;
    if (tensor.name == "__metadata__" || __builtin_add_overflow(begin, tensor.bytes(), &end)) {
      throw error(errc::bad_file,
                  "tensor {}: its name is reserved, or the tensors up to it are beyond what a file "
                  "can hold",
                  tensor.name);
    }
    header += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          header.size() > 1 ? "," : "", quoted(tensor.name), type_names[rank_of(tensor.type)].name,
                          fmt::join(tensor.shape, ","), begin, end);
    offsets.push_back(begin);
    begin = end;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

safetensors_writer::safetensors_writer(const std::filesystem::path& target, std::vector<tensor_shape> tensors,
                                       const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const tensor_shape& a, const tensor_shape& b) {
    return rank_of(a.type) != rank_of(b.type) ? rank_of(a.type) > rank_of(b.type) : a.name < b.name;
  });
  std::vector<int64_t> offsets;
  const std::string header = compose_header(tensors, metadata, offsets);
  state_ = std::make_unique<state>(state{.file = atomic_file(target), .slots = {}});
  const auto data_start = static_cast<int64_t>(length_bytes + header.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string name = tensors[i].name;
    if (!state_->slots.emplace(name, state::slot{std::move(tensors[i]), data_start + offsets[i], false}).second) {
      throw error(errc::bad_argument, "{}: two tensors are named {}", target.string(), name);
    }
  }
  const uint64_t length = header.size();
  state_->file.write(std::as_bytes(std::span(&length, 1)));
  state_->file.write(header);
}

safetensors_writer::~safetensors_writer() = default;
safetensors_writer::safetensors_writer(safetensors_writer&&) noexcept = default;

void safetensors_writer::write(const host_array& array) {
  const auto found = state_->slots.find(array.name);
  const std::string target = state_->file.target().string();
  if (found == state_->slots.end()) {
    throw error(errc::bad_argument, "{}: tensor {} is not in the list that the file was begun with", target,
                array.name);
  }
  state::slot& slot = found->second;
  if (slot.written) {
    throw error(errc::bad_argument, "{}: tensor {} comes twice", target, array.name);
  }
  if (array.type != slot.tensor.type || array.shape != slot.tensor.shape ||
      static_cast<int64_t>(array.bytes.size()) != slot.tensor.bytes()) {
    throw error(errc::shape_mismatch, "{}: tensor {} is {} [{}] in {} bytes, announced was {} [{}]", target, array.name,
                to_string(array.type), fmt::join(array.shape, ", "), array.bytes.size(), to_string(slot.tensor.type),
                fmt::join(slot.tensor.shape, ", "));
  }
  state_->file.write_at(slot.offset, array.bytes);
  slot.written = true;
}

void safetensors_writer::commit() {
  for (const auto& [name, slot] : state_->slots) {
    if (!slot.written) {
      throw error(errc::bad_argument, "{}: tensor {} was announced but never written", state_->file.target().string(),
                  name);
    }
  }
  state_->file.commit();
}

}  // namespace troupe::io
