/// JSONL in, JSONL out, one line for one line: what `troupe tokenize`, `score` and `generate` have
/// in common.
#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

namespace troupe::io {

/// Keeps the fields of a line in their order.
using json_line = nlohmann::ordered_json;

/// Reads objects from `in`, lets `transform` change each in place, writes it to `out` and flushes.
/// An error in a line (not JSON, not an object, or troupe::error from `transform`) writes "line N:
/// what is wrong" to `err` and ends the filter; the lines before it are out by then. Blank lines are passed over:
/// nothing is written for them. Returns the exit status: 0, or 1 after an error.
int filter_jsonl(std::istream& in, std::ostream& out, std::ostream& err,
                 const std::function<void(json_line&)>& transform);

/// One line, parsed.
/// Errors  bad_file, with the column.
json_line parse_json_line(std::string_view line);

/// The text of one line, without the newline: numbers in shortest round-trip form, non-finite ones as null. Texts may
/// quote bytes that are not UTF-8 (file names, the words of others): each is U+FFFD in the line.
std::string json_line_text(const json_line& line);

/// A float as a JSON number whose text is the shortest that reads back as this float (0.1f is 0.1,
/// not 0.10000000149011612); null where it is not finite.
json_line shortest_float(float value);

}  // namespace troupe::io
