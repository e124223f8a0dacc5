#include "io/json/jsonl_filter.hpp"

#include "base/error.hpp"
#include "base/printable.hpp"
#include "io/files/byte_order_mark.hpp"
#include "io/json/json.hpp"

#include <charconv>
#include <cmath>
#include <istream>
#include <ostream>
#include <utility>

namespace troupe::io {
namespace {

// nlohmann's own writer now and then gives a number one digit too many (Grisu2), so numbers are
// written here.
void append_double(std::string& text, double value) {
  if (!std::isfinite(value)) {
    text += "null";
    return;
  }
  char digits[32];
  const std::string_view number(digits,
                                static_cast<size_t>(std::to_chars(digits, digits + sizeof digits, value).ptr - digits));
  text += number;
  if (number.find_first_of(".e") == std::string_view::npos) {
    text += ".0";  // reads back as a float, not as an integer
  }
}

void append(std::string& text, const json_line& value) {
  const char* gap = "";
  if (value.is_object()) {
    text += '{';
    for (const auto& [key, member] : value.items()) {
      text += std::exchange(gap, ",");
      append(text, key);
      text += ':';
      append(text, member);
    }
    text += '}';
  } else if (value.is_array()) {
    text += '[';
    for (const json_line& element : value) {
      text += std::exchange(gap, ",");
      append(text, element);
    }
    text += ']';
  } else if (value.is_number_float()) {
    append_double(text, value.get<double>());
  } else {
    text += value.dump(-1, ' ', false, json_line::error_handler_t::replace);
  }
}

}  // namespace

json_line parse_json_line(std::string_view line) {
  json_line parsed = parse_ordered_json(line, "JSON");
  if (!parsed.is_object()) {
    throw error(errc::bad_file, "an object is expected, not {}", parsed.type_name());
  }
  return parsed;
}

std::string json_line_text(const json_line& line) {
  std::string text;
  append(text, line);
  return text;
}

json_line shortest_float(float value) {
  if (!std::isfinite(value)) {
    return nullptr;
  }
  // The float's shortest decimal, read as a double, is a double whose own shortest decimal is the
  // same text: it has at most 9 digits, and any 15 survive a double.
  char text[32];
  const auto written = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
  double wide = 0;
  std::from_chars(text, written.ptr, wide);
  return wide;
}

int filter_jsonl(std::istream& in, std::ostream& out, std::ostream& err,
                 const std::function<void(json_line&)>& transform) {
  std::string line;
  int64_t number = 1;
  for (; std::getline(in, line); ++number) {
    if (number == 1) {
      line = std::string(without_byte_order_mark(line));
    }
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
      continue;
    }
    try {
      json_line object = parse_json_line(line);
      transform(object);
      out << json_line_text(object) << '\n' << std::flush;
    } catch (const error& problem) {
      err << "line " << number << ": " << printable(problem.what()) << '\n' << std::flush;
      return 1;
    }
    if (!out) {
      err << "line " << number << ": the output cannot be written\n" << std::flush;
      return 1;
    }
  }
  if (in.bad()) {
    err << "line " << number << ": the input cannot be read\n" << std::flush;
    return 1;
  }
  return 0;
}

}  // namespace troupe::io
