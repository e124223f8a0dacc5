#include "io/weights/torch_file.hpp"

#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/weights/pickle/pickle.hpp"
#include "io/weights/zip.hpp"

#include <fmt/format.h>

#include <cstring>
#include <mutex>

namespace troupe::io {
namespace {

/// What files of torch.save before 1.6 begin with: a protocol 2 pickle of their magic number, a
/// 10-byte integer.
constexpr std::string_view legacy_start = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Row-major copy of a strided tensor; both are known to fit.
std::shared_ptr<std::vector<std::byte>> gather(const pickled_tensor& tensor, std::span<const std::byte> storage) {
  const auto width = static_cast<size_t>(size_of(tensor.type));
  const auto count = static_cast<size_t>(tensor.elements());
  auto copy = std::make_shared<std::vector<std::byte>>(count * width);
  std::vector<int64_t> index(tensor.shape.size(), 0);
  int64_t element = tensor.offset;
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(copy->data() + i * width, storage.data() + static_cast<size_t>(element) * width, width);
    for (size_t d = index.size(); d-- > 0;) {  // count up like an odometer
      element += tensor.stride[d];
      if (++index[d] < tensor.shape[d]) {
        break;
      }
      element -= index[d] * tensor.stride[d];
      index[d] = 0;
    }
  }
  return copy;
}

std::string find_prefix(const std::map<std::string, zip_entry, std::less<>>& entries, const std::string& where) {
  constexpr std::string_view ending = "/data.pkl";
  std::optional<std::string> prefix;
  for (const auto& [name, entry] : entries) {
    if (name.ends_with(ending)) {
      if (prefix) {
        throw error(errc::bad_file, "{}: two entries are named data.pkl", where);
      }
      prefix = name.substr(0, name.size() - ending.size() + 1);
    }
  }
  if (!prefix) {
    throw error(errc::bad_file, "{}: the archive has no data.pkl: torch.save did not write it", where);
  }
  return *prefix;
}

void check_byte_order(const std::map<std::string, zip_entry, std::less<>>& entries, const std::string& prefix,
                      const std::string& where) {
  const auto found = entries.find(prefix + "byteorder");
  constexpr std::string_view expected = "little";
  if (found == entries.end()) {
    return;  // before torch 2.1: always little
  }
  const auto bytes = found->second.bytes;
  if (bytes.size() != expected.size() || std::memcmp(bytes.data(), expected.data(), expected.size()) != 0) {
    throw error(errc::unsupported, "{}: its values are not in little-endian order", where);
  }
}

}  // namespace

struct torch_file::archive {
  struct storage {
    zip_entry entry;
    std::string entry_name;
    mutable std::once_flag verified;
  };
  std::string where;
  std::shared_ptr<const void> owner;
  std::map<std::string, pickled_tensor, std::less<>> tensors;
  std::map<std::string, storage, std::less<>> storages;  ///< by key

  /// Finds the entry that a tensor's storage is, and checks its size.
  void add_storage(const pickled_tensor& tensor, const std::map<std::string, zip_entry, std::less<>>& entries,
                   const std::string& prefix) {
    const std::string entry_name = prefix + "data/" + tensor.storage_key;
    const auto found = entries.find(entry_name);
    if (found == entries.end()) {
      throw error(errc::bad_file, "{}: the storage {} of tensor {} is missing", where, entry_name, tensor.name);
    }
    int64_t needed = 0;
    if (__builtin_mul_overflow(tensor.storage_elements, size_of(tensor.type), &needed) ||
        found->second.bytes.size() != static_cast<uint64_t>(needed)) {
      throw error(errc::bad_file, "{}: the storage {} of tensor {} has {} bytes, {} elements of {} were announced",
                  where, entry_name, tensor.name, found->second.bytes.size(), tensor.storage_elements,
                  to_string(tensor.type));
    }
    storage& slot = storages[tensor.storage_key];
    slot.entry = found->second;
    slot.entry_name = entry_name;
  }
};

torch_file torch_file::open(const std::filesystem::path& path) {
  auto file = mapped_file::open(path);
  const auto bytes = file->bytes();
  return parse(bytes, std::move(file), path.string());
}

torch_file torch_file::parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                             const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with(legacy_start)) {
    throw error(errc::unsupported,
                "{}: this is the format of torch.save before version 1.6. Rewrite it once with a current PyTorch: "
                "torch.save(torch.load(FILE, weights_only=True), FILE), or as safetensors.",
                where);
  }
  const auto entries = read_zip_directory(bytes, where);
  const std::string prefix = find_prefix(entries, where);
  check_byte_order(entries, prefix, where);
  const std::string pickle_name = prefix + "data.pkl";
  const zip_entry& pickle = entries.find(pickle_name)->second;
  verify_crc32(pickle, pickle_name, where);

  auto contents = std::make_shared<archive>();
  contents->where = where;
  contents->owner = std::move(owner);
  torch_file file;
  for (pickled_tensor& tensor : read_tensor_pickle(pickle.bytes, fmt::format("{} ({})", where, pickle_name))) {
    contents->add_storage(tensor, entries, prefix);
    file.names_.push_back(tensor.name);
    contents->tensors.emplace(tensor.name, std::move(tensor));
  }
  file.archive_ = std::move(contents);
  return file;
}

std::optional<host_array> torch_file::find(std::string_view name) const {
  const auto found = archive_->tensors.find(name);
  if (found == archive_->tensors.end()) {
    return std::nullopt;
  }
  const pickled_tensor& tensor = found->second;
  const archive::storage& storage = archive_->storages.find(tensor.storage_key)->second;
  std::call_once(storage.verified, [&] { verify_crc32(storage.entry, storage.entry_name, archive_->where); });
  host_array array{.name = tensor.name, .type = tensor.type, .shape = tensor.shape, .bytes = {}, .owner = {}};
  if (tensor.contiguous()) {
    const auto width = static_cast<size_t>(size_of(tensor.type));
    array.bytes = storage.entry.bytes.subspan(static_cast<size_t>(tensor.offset) * width,
                                              static_cast<size_t>(tensor.elements()) * width);
    array.owner = archive_->owner;
  } else {
    auto copy = gather(tensor, storage.entry.bytes);
    array.bytes = *copy;
    array.owner = std::move(copy);
  }
  return array;
}

}  // namespace troupe::io
