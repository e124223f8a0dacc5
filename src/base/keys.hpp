/// A flat map from dotted names to plain values: how io hands a config.json to the engine without either knowing
/// the other. Nested objects are flattened: {"rope_scaling": {"factor": 8}} is "rope_scaling.factor" -> 8.
/// A JSON null is absent; an array that is not all integers is absent too, and so is an array of objects.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

using key_value = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>>;
using key_map = std::map<std::string, key_value, std::less<>>;

/// The value of `name`, or `fallback` where it is absent. An integer is accepted for a double.
/// Errors  bad_file when the value has another type.
bool get_bool(const key_map& keys, std::string_view name, bool fallback);
int64_t get_int(const key_map& keys, std::string_view name, int64_t fallback);
double get_double(const key_map& keys, std::string_view name, double fallback);
std::string get_text(const key_map& keys, std::string_view name, const std::string& fallback);

/// The value of `name`.
/// Errors  not_found when it is absent, bad_file when it has another type.
int64_t require_int(const key_map& keys, std::string_view name);
std::string require_text(const key_map& keys, std::string_view name);

}  // namespace troupe
