// Any bytes as the input of a JSONL filter: one line out for each good line in, all of them JSON
// again.
#include "base/assert.hpp"
#include "io/chat/chat.hpp"
#include "io/json/jsonl_filter.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  std::ostringstream out;
  std::ostringstream err;
  int64_t good = 0;
  const int status = troupe::io::filter_jsonl(in, out, err, [&](troupe::io::json_line& line) {
    if (line.contains("messages")) {
      static const auto format = troupe::io::chat_format::named("llama-2");
      line["text"] = format.render(line, true).bytes();
    }
    ++good;
  });
  const std::string text = out.str();
  TROUPE_ASSERT(std::count(text.begin(), text.end(), '\n') == good);
  TROUPE_ASSERT((status == 0) == err.str().empty());
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    TROUPE_ASSERT(troupe::io::json_line_text(troupe::io::parse_json_line(line)) == line);
  }
  return 0;
}
