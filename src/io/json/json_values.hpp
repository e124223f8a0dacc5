/// Plain values (base/keys.hpp) as JSON and back, for the sources of io only.
#pragma once

#include "base/keys.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace troupe::io {

/// Numbers that are not finite become null.
nlohmann::ordered_json to_json(const key_value& value);

/// Null becomes NaN.
/// Errors  bad_file: an object, or an array that is not all integers, or an integer beyond int64.
key_value from_json(const nlohmann::ordered_json& value, const std::string& where);

/// The member `name` of an object.
/// Errors  bad_file: absent, or of another type.
int64_t json_int(const nlohmann::ordered_json& object, const char* name, const std::string& where);
double json_double(const nlohmann::ordered_json& object, const char* name, const std::string& where);
std::string json_text(const nlohmann::ordered_json& object, const char* name, const std::string& where);

/// One line, or indented by 2. Bytes that are not UTF-8 become U+FFFD.
std::string dump(const nlohmann::ordered_json& value, bool indented);

}  // namespace troupe::io
