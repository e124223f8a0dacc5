/// A safe reader of the pickles that torch.save writes for tensors. It is no unpickler: it runs no
/// code, knows the opcodes and the few globals that a state dictionary needs, and refuses every
/// other by name.
/// Source  Python's pickletools (protocols 2 to 5); torch/_utils.py for the rebuild functions.
#pragma once

#include "base/host_array.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {

/// Where a tensor's values lie: elements of a storage, which is an entry of the archive named by
/// `storage_key`.
struct pickled_tensor {
  std::string name;
  dtype type = dtype::f32;
  std::string storage_key;
  int64_t storage_elements = 0;
  int64_t offset = 0;  ///< first element within the storage
  std::vector<int64_t> shape, stride;

  int64_t elements() const;
  bool contiguous() const;
};

/// The tensors of a pickled dictionary {name: tensor}, in its order. Shapes, strides and offsets
/// are checked against the storage's announced size; a tensor has no more elements than its storage
/// (no expanded views). `where` names the source in errors.
/// Errors  bad_file: malformed, truncated; unsupported: an opcode, global or value that tensors do not need.
std::vector<pickled_tensor> read_tensor_pickle(std::span<const std::byte> bytes, const std::string& where);

}  // namespace troupe::io
