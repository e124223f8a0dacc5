#include "base/error.hpp"
#include "io/weights/pickle/pickle.hpp"
#include "io/weights/torch_file.hpp"

#include <cstddef>
#include <cstdint>

/// The input as a bare pickle, and as an archive with one inside.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    for (const auto& tensor : troupe::io::read_tensor_pickle(bytes, "fuzz")) {
      static_cast<void>(tensor.contiguous());
    }
  } catch (const troupe::error&) {
  }
  try {
    const auto file = troupe::io::torch_file::parse(bytes, nullptr, "fuzz");
    for (const std::string& name : file.names()) {
      file.find(name);
    }
  } catch (const troupe::error&) {
  }
  return 0;
}
