/// pytorch_model.bin as torch.save has written it since 1.6: a zip archive of stored entries, a
/// pickle that describes the tensors (`*/data.pkl`) and one entry per storage (`*/data/KEY`).
/// Source  pkware APPNOTE.TXT (zip, zip64); torch/serialization.py.
#pragma once

#include "base/host_array.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

class torch_file {
public:
  /// Maps the file.
  /// Errors  not_found, io_failure, bad_file, unsupported (the format before 1.6; compressed or encrypted entries; a
  /// pickle that asks for more than tensors).
  static torch_file open(const std::filesystem::path& path);

  /// Parses bytes that `owner` keeps alive; `where` names them in errors.
  static torch_file parse(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                          const std::string& where);

  /// In the pickle's order.
  const std::vector<std::string>& names() const { return names_; }

  /// The tensor as row-major bytes, pointing into the file where it is stored so, else copied. The
  /// checksum of its storage is verified here, once.
  /// Errors  bad_file.
  std::optional<host_array> find(std::string_view name) const;

private:
  struct archive;
  std::vector<std::string> names_;
  std::shared_ptr<const archive> archive_;
};

}  // namespace troupe::io
