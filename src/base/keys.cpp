#include "base/keys.hpp"

#include "base/error.hpp"

namespace troupe {

template <class T> static const T* find_as(const key_map& keys, std::string_view name, const char* type) {
  const auto found = keys.find(name);
  if (found == keys.end()) {
    return nullptr;
  }
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) {
    throw error(errc::bad_file, "config key \"{}\" is not {}", name, type);
  }
  return value;
}

bool get_bool(const key_map& keys, std::string_view name, bool fallback) {
  const bool* value = find_as<bool>(keys, name, "true or false");
  return value != nullptr ? *value : fallback;
}

int64_t get_int(const key_map& keys, std::string_view name, int64_t fallback) {
  const int64_t* value = find_as<int64_t>(keys, name, "an integer");
  return value != nullptr ? *value : fallback;
}

double get_double(const key_map& keys, std::string_view name, double fallback) {
  const auto found = keys.find(name);
  if (found != keys.end() && std::holds_alternative<int64_t>(found->second)) {
    return static_cast<double>(std::get<int64_t>(found->second));
  }
  const double* value = find_as<double>(keys, name, "a number");
  return value != nullptr ? *value : fallback;
}

std::string get_text(const key_map& keys, std::string_view name, const std::string& fallback) {
  const std::string* value = find_as<std::string>(keys, name, "a string");
  return value != nullptr ? *value : fallback;
}

std::string null_key(std::string_view name) { return std::string(name) + ".null"; }

bool is_null(const key_map& keys, std::string_view name) { return keys.find(null_key(name)) != keys.end(); }

static void require_present(const key_map& keys, std::string_view name) {
  if (keys.find(name) == keys.end()) {
    throw error(errc::not_found, "config key \"{}\" is missing", name);
  }
}

int64_t require_int(const key_map& keys, std::string_view name) {
  require_present(keys, name);
  return get_int(keys, name, 0);
}

std::string require_text(const key_map& keys, std::string_view name) {
  require_present(keys, name);
  return get_text(keys, name, "");
}

}  // namespace troupe
