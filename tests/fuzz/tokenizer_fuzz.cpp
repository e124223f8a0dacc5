// Any bytes as a tokenizer.json: an error, or a tokenizer that encodes and decodes.
#include "base/assert.hpp"
#include "base/error.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "io/tokenizer/utf8.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokens = troupe::io::make_tokenizer({.tokenizer_json = bytes, .tokenizer_config_json = "{}"}, "fuzz");
    const auto ids = tokens->encode("a  b\xC3\xA9 12<s>\n\xF0\x9F\x98\x80 it's", true);
    for (const int32_t id : ids) {
      TROUPE_ASSERT(id >= 0 && id < tokens->vocabulary_size());
    }
    const auto decoder = tokens->make_stream_decoder(true);
    std::string joined;
    for (const int32_t id : ids) {
      joined += decoder->push(id);
    }
    joined += decoder->finish();
    TROUPE_ASSERT(joined == tokens->decode(ids, true));
    TROUPE_ASSERT(!troupe::io::find_invalid_utf8(joined));
  } catch (const troupe::error&) {
    return 0;  // refused: as it should be
  }
  return 0;
}
