#include "io/json/json_values.hpp"

#include "base/error.hpp"

#include <cmath>
#include <limits>

namespace troupe::io {
namespace {

using json = nlohmann::ordered_json;

bool is_int64(const json& value) {
  return value.is_number_integer() &&
         (!value.is_number_unsigned() ||
          value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
}

const json& member(const json& object, const char* name, const std::string& where) {
  const auto found = object.find(name);
  if (found == object.end()) {
    throw error(errc::bad_file, "{}: \"{}\" is missing", where, name);
  }
  return *found;
}

[[noreturn]] void wrong_type(const std::string& where, const char* name, const char* wanted) {
  throw error(errc::bad_file, "{}: \"{}\" is not {}", where, name, wanted);
}

}  // namespace

json to_json(const key_value& value) {
  if (const auto* number = std::get_if<double>(&value); number != nullptr && !std::isfinite(*number)) {
    return nullptr;
  }
  return std::visit([](const auto& plain) { return json(plain); }, value);
}

key_value from_json(const json& value, const std::string& where) {
  if (value.is_null()) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (value.is_boolean()) {
    return value.get<bool>();
  }
  if (is_int64(value)) {
    return value.get<int64_t>();
  }
  if (value.is_number_float()) {
    return value.get<double>();
  }
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (!value.is_array()) {
    throw error(errc::bad_file, "{}: a value is no number, text, boolean or list of integers", where);
  }
  std::vector<int64_t> list;
  for (const json& element : value) {
    if (!is_int64(element)) {
      throw error(errc::bad_file, "{}: a list holds something that is no integer", where);
    }
    list.push_back(element.get<int64_t>());
  }
  return list;
}

int64_t json_int(const json& object, const char* name, const std::string& where) {
  const json& value = member(object, name, where);
  if (!is_int64(value)) {
    wrong_type(where, name, "an integer");
  }
  return value.get<int64_t>();
}

double json_double(const json& object, const char* name, const std::string& where) {
  const json& value = member(object, name, where);
  if (!value.is_number()) {
    wrong_type(where, name, "a number");
  }
  return value.get<double>();
}

std::string json_text(const json& object, const char* name, const std::string& where) {
  const json& value = member(object, name, where);
  if (!value.is_string()) {
    wrong_type(where, name, "text");
  }
  return value.get<std::string>();
}

std::string dump(const json& value, bool indented) {
  return value.dump(indented ? 2 : -1, ' ', false, json::error_handler_t::replace);
}

}  // namespace troupe::io
