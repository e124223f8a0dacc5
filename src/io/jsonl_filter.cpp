#include "io/jsonl_filter.hpp"

#include "io/json.hpp"
#include "kernels/base/error.hpp"

#include <charconv>
#include <cmath>
#include <istream>
#include <ostream>

namespace troupe::io {

json_line parse_json_line(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
    throw error(errc::bad_file, "the line is empty");
  }
  json_line parsed = parse_ordered_json(line, "JSON");
  if (!parsed.is_object()) {
    throw error(errc::bad_file, "an object is expected, not {}", parsed.type_name());
  }
  return parsed;
}

std::string json_line_text(const json_line& line) { return line.dump(); }

json_line shortest_float(float value) {
  if (!std::isfinite(value)) {
    return nullptr;
  }
  // The float's shortest decimal, read as a double, is a double whose own shortest decimal is the
  // same text: it has at most 9 digits, and any 15 survive a double.
  char text[32];
  const auto written = std::to_chars(text, text + sizeof text, value);
  double wide = 0;
  std::from_chars(text, written.ptr, wide);
  return wide;
}

int filter_jsonl(std::istream& in, std::ostream& out, std::ostream& err,
                 const std::function<void(json_line&)>& transform) {
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    try {
      json_line object = parse_json_line(line);
      transform(object);
      out << json_line_text(object) << '\n' << std::flush;
    } catch (const error& problem) {
      err << "line " << number << ": " << problem.what() << '\n' << std::flush;
      return 1;
    }
    if (!out) {
      err << "line " << number << ": the output cannot be written\n" << std::flush;
      return 1;
    }
  }
  return 0;
}

} // namespace troupe::io
