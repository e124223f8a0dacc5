#include "base/error.hpp"
#include "io/weights/gguf.hpp"
#include "io/weights/gguf_model.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file = std::make_shared<troupe::io::gguf_file>(
        troupe::io::gguf_file::parse({reinterpret_cast<const std::byte*>(data), size}, nullptr, "fuzz"));
    for (const std::string& name : file->names()) {
      file->find(name);
    }
    const auto model = troupe::io::import_gguf(file);
    for (const auto& tensor : model.tensors) {
      model.find(tensor.name);
    }
  } catch (const troupe::error&) {
  }
  return 0;
}
