/// Strict JSON parsing with bounded nesting, for the sources of io only (other layers see key maps
/// and structs).
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace troupe::io {

inline constexpr int json_depth_limit = 64;

/// `where` names the source in errors. Object keys keep their order in an ordered_json.
/// Errors  bad_file: malformed (with byte position), nested deeper than json_depth_limit, a key
/// twice in an object.
nlohmann::json parse_json(std::string_view text, const std::string& where);
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where);

/// `text` as a JSON string, quotes included.
/// Errors  bad_file: not UTF-8.
std::string json_quoted(std::string_view text, const std::string& where);

}  // namespace troupe::io
