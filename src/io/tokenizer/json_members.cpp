#include "io/tokenizer/json_members.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace troupe::io {
namespace {

[[noreturn]] void fail(const nlohmann::json& value, std::string_view key, std::string_view wanted,
                       const std::string& where) {
  throw error(errc::bad_file, "{}: \"{}\" is of type {}, not {}", where, key, value.type_name(), wanted);
}

}  // namespace

const nlohmann::json* find_member(const nlohmann::json& object, std::string_view key, const std::string& where) {
  if (!object.is_object()) {
    throw error(errc::bad_file, "{}: type {} where an object with \"{}\" is expected", where, object.type_name(), key);
  }
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const nlohmann::json& member(const nlohmann::json& object, std::string_view key, const std::string& where) {
  const nlohmann::json* found = find_member(object, key, where);
  if (found == nullptr) {
    throw error(errc::bad_file, "{}: \"{}\" is missing", where, key);
  }
  return *found;
}

std::string text_member(const nlohmann::json& object, std::string_view key, const std::string& where) {
  const nlohmann::json& value = member(object, key, where);
  if (!value.is_string()) {
    fail(value, key, "text", where);
  }
  return value.get<std::string>();
}

int64_t int_member(const nlohmann::json& object, std::string_view key, const std::string& where) {
  const nlohmann::json& value = member(object, key, where);
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)) {
    fail(value, key, "a 64-bit integer", where);
  }
  return value.get<int64_t>();
}

const nlohmann::json& array_member(const nlohmann::json& object, std::string_view key, const std::string& where) {
  const nlohmann::json& value = member(object, key, where);
  if (!value.is_array()) {
    fail(value, key, "an array", where);
  }
  return value;
}

bool bool_member(const nlohmann::json& object, std::string_view key, bool fallback, const std::string& where) {
  const nlohmann::json* value = find_member(object, key, where);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_boolean()) {
    fail(*value, key, "true or false", where);
  }
  return value->get<bool>();
}

void refuse_unknown_members(const nlohmann::json& object, std::initializer_list<std::string_view> known,
                            const std::string& where) {
  if (!object.is_object()) {
    throw error(errc::bad_file, "{}: type {} where an object is expected", where, object.type_name());
  }
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw error(errc::unsupported, "{}: \"{}\" is not supported", where, key);
    }
  }
}

}  // namespace troupe::io
