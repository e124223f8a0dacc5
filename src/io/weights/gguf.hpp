/// GGUF files (versions 2 and 3, little-endian): metadata and tensors.
/// Source  github.com/ggml-org/ggml, docs/gguf.md; block layouts: ggml-common.h.
#pragma once

#include "base/host_array.hpp"
#include "io/weights/safetensors.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::io {

/// Integers of every width are int64, reals double. Arrays of booleans are integers; arrays of
/// arrays are refused.
using gguf_value = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                                std::vector<std::string>>;

struct gguf_type;  // gguf_types.hpp

class gguf_file {
public:
  /// Maps the file.
  /// Errors  not_found, io_failure, bad_file, unsupported (version, big-endian, tensor type: by name).
  static gguf_file open(const std::filesystem::path& path);

  /// Parses bytes that `owner` keeps alive; `where` names them in errors.
  static gguf_file parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& where);

  const std::map<std::string, gguf_value, std::less<>>& metadata() const { return metadata_; }

  /// The value of `key`, or `fallback`.
  /// Errors  bad_file: another type.
  template <class T> T get(std::string_view key, const T& fallback) const {
    const T* found = find_value<T>(key);
    return found == nullptr ? fallback : *found;
  }
  /// Errors  not_found, bad_file.
  template <class T> const T& require(std::string_view key) const {
    const T* found = find_value<T>(key);
    if (found == nullptr) {
      refuse_missing(key);
    }
    return *found;
  }
  bool has(std::string_view key) const { return metadata_.contains(key); }

  /// In the file's order.
  const std::vector<std::string>& names() const { return names_; }

  /// Row-major as Hugging Face has it (the file's dimensions reversed). F32, F16 and BF16 point
  /// into the file; Q8_0, Q4_0 and Q4_1 are dequantised to f32:
  ///   Q8_0  x = d q, q int8;   Q4_0  x = d (q - 8);   Q4_1  x = d q + m, rounded after the product
  ///   and the sum
  std::optional<host_array> find(std::string_view name) const;

  /// As find() gives it, without reading the values.
  /// Errors  not_found.
  tensor_shape shape_of(std::string_view name) const;

  const std::string& where() const { return where_; }

private:
  struct stored_tensor {
    const gguf_type* type = nullptr;
    std::vector<int64_t> shape;
    std::span<const std::byte> bytes;
  };
  friend class gguf_parser;

  template <class T> const T* find_value(std::string_view key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) {
      return nullptr;
    }
    const T* value = std::get_if<T>(&found->second);
    if (value == nullptr) {
      refuse_type(key);
    }
    return value;
  }
  [[noreturn]] void refuse_missing(std::string_view key) const;
  [[noreturn]] void refuse_type(std::string_view key) const;

  std::string where_;
  std::shared_ptr<const void> owner_;
  std::map<std::string, gguf_value, std::less<>> metadata_;
  std::map<std::string, stored_tensor, std::less<>> tensors_;
  std::vector<std::string> names_;
};

}  // namespace troupe::io
