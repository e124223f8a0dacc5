#include "io/json/json_outline.hpp"

#include "io/json/json_values.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::io {
namespace {

using json = nlohmann::ordered_json;

void append_text(std::string& out, const json& value, size_t indent);

bool is_flat(const json& value) {
  return std::none_of(value.begin(), value.end(), [](const json& element) {
    return element.is_object() || (element.is_array() && !element.empty() && element[0].is_structured());
  });
}

std::string plain(const json& value) { return value.is_string() ? value.get<std::string>() : dump(value, false); }

std::string flat_text(const json& object) {
  std::string out;
  for (const auto& [name, value] : object.items()) {
    out += fmt::format("{}{} {}", out.empty() ? "" : "  ", name, plain(value));
  }
  return out;
}

void append_member(std::string& out, const std::string& name, const json& value, size_t indent) {
  const std::string margin(indent, ' ');
  if (value.is_array() && !value.empty() && value[0].is_object()) {
    out += fmt::format("{}{} ({})\n", margin, name, value.size());
    for (const json& element : value) {
      out += fmt::format("{}  {}\n", margin, flat_text(element));
    }
  } else if (value.is_object() && (indent > 0 || is_flat(value))) {
    out += fmt::format("{}{:<22} {}\n", margin, name, flat_text(value));
  } else if (value.is_object()) {
    out += fmt::format("{}{}\n", margin, name);
    append_text(out, value, indent + 2);
  } else {
    out += fmt::format("{}{:<22} {}\n", margin, name, plain(value));
  }
}

void append_text(std::string& out, const json& value, size_t indent) {
  for (const auto& [name, member] : value.items()) {
    append_member(out, name, member, indent);
  }
}

}  // namespace

std::string json_outline(const json& object) {
  std::string text;
  append_text(text, object, 0);
  return text;
}

}  // namespace troupe::io
