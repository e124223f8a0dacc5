/// The safetensors format: 8 bytes of header length, a JSON header, raw little-endian row-major
/// data.
/// Source  github.com/huggingface/safetensors, README "Format".
#pragma once

#include "base/host_array.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// What a tensor is without its values.
struct tensor_shape {
  std::string name;
  dtype type = dtype::f32;
  std::vector<int64_t> shape;

  /// Errors  bad_file: a negative extent, or a size beyond int64.
  int64_t bytes() const;
};

/// A parsed file. Everything is checked on opening: header size (limit 100 MB, as the reference),
/// types, shapes against byte ranges, ranges against the file, no overlap, no gap. The arrays point
/// into the file and keep it alive.
class safetensors_file {
public:
  /// Maps the file.
  /// Errors  not_found, io_failure, bad_file.
  static safetensors_file open(const std::filesystem::path& path);

  /// Parses bytes that `owner` keeps alive; `where` names them in errors.
  /// Errors  bad_file, unsupported (a type).
  static safetensors_file parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                const std::string& where);

  /// In the order of the data.
  const std::vector<std::string>& names() const { return names_; }
  std::optional<host_array> find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

private:
  std::vector<std::string> names_;
  std::map<std::string, host_array, std::less<>> arrays_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a file whose tensors arrive one at a time in any order; none is held. Layout as the
/// reference library's: largest element size first, then by name; header padded with spaces to a
/// multiple of 8. The same tensors give the same bytes.
class safetensors_writer {
public:
  /// Errors  bad_argument (a name twice), bad_file (size overflow), io_failure.
  safetensors_writer(const std::filesystem::path& target, std::vector<tensor_shape> tensors,
                     const std::map<std::string, std::string>& metadata = {{"format", "pt"}});
  ~safetensors_writer();
  safetensors_writer(safetensors_writer&&) noexcept;

  /// Errors  bad_argument (unknown name, written before), shape_mismatch (type, shape or bytes),
  /// io_failure.
  void write(const host_array& array);

  /// Errors  bad_argument (a tensor is missing: named), io_failure.
  void commit();

private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe::io
