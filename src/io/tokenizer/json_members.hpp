/// Typed access to the members of JSON objects, with errors that name the member.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace troupe::io {

/// The member `key`, or nullptr where it is absent or null.
/// Errors  bad_file when `object` is no object.
const nlohmann::json* find_member(const nlohmann::json& object, std::string_view key, const std::string& where);

/// Errors  bad_file when the member is absent, null or of another type.
const nlohmann::json& member(const nlohmann::json& object, std::string_view key, const std::string& where);
std::string text_member(const nlohmann::json& object, std::string_view key, const std::string& where);
int64_t int_member(const nlohmann::json& object, std::string_view key, const std::string& where);
const nlohmann::json& array_member(const nlohmann::json& object, std::string_view key, const std::string& where);

/// `fallback` where it is absent or null.
/// Errors  bad_file when it is of another type.
bool bool_member(const nlohmann::json& object, std::string_view key, bool fallback, const std::string& where);

/// Errors  unsupported, naming the first key of `object` that is not among `known`.
void refuse_unknown_members(const nlohmann::json& object, std::initializer_list<std::string_view> known,
                            const std::string& where);

}  // namespace troupe::io
