#include "base/error.hpp"
#include "io/weights/safetensors.hpp"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file =
        troupe::io::safetensors_file::parse({reinterpret_cast<const std::byte*>(data), size}, nullptr, "fuzz");
    for (const std::string& name : file.names()) {
      const troupe::host_array array = *file.find(name);
      if (array.type == troupe::dtype::f32 || array.type == troupe::dtype::bf16) {
        troupe::to_float32(array);
      }
    }
  } catch (const troupe::error&) {
  }
  return 0;
}
