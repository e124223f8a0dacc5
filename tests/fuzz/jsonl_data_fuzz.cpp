// The first byte picks the format, the rest are lines: each is a record of strict UTF-8 or one
// clear error.
#include "base/assert.hpp"
#include "base/error.hpp"
#include "io/datasets/lines.hpp"
#include "io/datasets/record.hpp"
#include "io/tokenizer/utf8.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) {
    return 0;
  }
  constexpr auto formats = static_cast<uint8_t>(troupe::io::data_format::automatic) + 1;  // which is the last
  troupe::io::data_section set;
  set.name = "fuzz";
  set.format = static_cast<troupe::io::data_format>(bytes[0] % formats);
  static const auto format = troupe::io::chat_format::named("dialogue");
  set.prompt_words = bytes[0] / formats % 4;
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  try {
    constexpr int64_t max_line_bytes = 4096;
    troupe::io::line_reader lines(troupe::io::text_source(text), "fuzz", max_line_bytes);
    for (std::string line; lines.next(line);) {
      troupe::io::require_utf8(line, "fuzz");
      const troupe::io::record r = troupe::io::read_record(line, set, "fuzz", format);
      TROUPE_ASSERT(!troupe::io::find_invalid_utf8(r.prompt + "\n" + r.chosen + "\n" + r.rejected));
    }
  } catch (const troupe::error&) {
  }
  return 0;
}
