#include "base/error.hpp"
#include "io/json/json_keys.hpp"
#include "io/weights/model_config.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    troupe::io::parse_json_keys(text, "fuzz");
    troupe::io::scalar_head_config(text, "ScalarHead", 0);
  } catch (const troupe::error&) {
  }
  return 0;
}
