// Any bytes as a chat template: recognised or refused.
#include "base/error.hpp"
#include "io/chat/chat.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    troupe::io::chat_format::recognise({reinterpret_cast<const char*>(data), size});
  } catch (const troupe::error&) {
    return 0;
  }
  return 0;
}
