#include "io/json/json_keys.hpp"

#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"

#include <algorithm>
#include <limits>

namespace troupe::io {
namespace {

using nlohmann::json;

class flattener {
public:
  explicit flattener(const std::string& where) : where_(where) {}

  void add_object(const std::string& prefix, const json& object) {
    const std::string path = prefix.empty() ? prefix : prefix + ".";
    for (const auto& [name, value] : object.items()) {
      add(path + name, value);
    }
  }

  key_map take() { return std::move(keys_); }

private:
  void add(const std::string& name, const json& value) {
    switch (value.type()) {
    case json::value_t::object:
      add_object(name, value);
      break;
    case json::value_t::array:
      add_array(name, value);
      break;
    case json::value_t::string:
      insert(name, value.get<std::string>());
      break;
    case json::value_t::boolean:
      insert(name, value.get<bool>());
      break;
    case json::value_t::number_float:
      insert(name, value.get<double>());
      break;
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      if (is_int64(value)) {
        insert(name, value.get<int64_t>());
      } else {
        insert(name, value.get<double>());
      }
      break;
    default:
      insert(null_key(name), true);
      break;
    }
  }

  void add_array(const std::string& name, const json& array) {
    if (std::all_of(array.begin(), array.end(), is_int64)) {
      insert(name, array.get<std::vector<int64_t>>());
      return;
    }
    if (std::any_of(array.begin(), array.end(), [](const json& item) { return item.is_structured(); })) {
      return;
    }
    for (size_t i = 0; i < array.size(); ++i) {
      add(name + "." + std::to_string(i), array[i]);
    }
  }

  static bool is_int64(const json& value) {
    return value.is_number_unsigned()
               ? value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
               : value.is_number_integer();
  }

  void insert(const std::string& name, key_value value) {
    if (!keys_.emplace(name, std::move(value)).second) {
      throw error(errc::bad_file, "{}: two values for the key {}", where_, name);
    }
  }

  const std::string& where_;
  key_map keys_;
};

}  // namespace

key_map parse_json_keys(std::string_view text, const std::string& where) {
  const json root = parse_json(text, where);
  if (!root.is_object()) {
    throw error(errc::bad_file, "{}: a JSON object is expected, this is a {}", where, root.type_name());
  }
  flattener keys(where);
  keys.add_object("", root);
  return keys.take();
}

key_map read_json_keys(const std::filesystem::path& path) {
  return parse_json_keys(read_text_file(path), path.string());
}

}  // namespace troupe::io
