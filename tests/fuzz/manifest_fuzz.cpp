/// Checkpoint manifests made of arbitrary bytes: read or refused, and what is read can be written.
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const troupe::io::checkpoint_manifest manifest = troupe::io::parse_manifest(bytes, "input");
    troupe::io::parse_manifest(troupe::io::manifest_text(manifest), "output");
  } catch (const troupe::error&) {
    return 0;
  }
  return 0;
}
