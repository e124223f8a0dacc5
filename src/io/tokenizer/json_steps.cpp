#include "io/tokenizer/json_steps.hpp"

#include "base/error.hpp"
#include "io/tokenizer/json_members.hpp"

namespace troupe::io {

using nlohmann::json;

void refuse_component(std::string_view what, std::string_view value, const std::string& where) {
  throw error(errc::unsupported, "{}: {} \"{}\" is not supported", where, what, value);
}

void for_each_step(const json& component, std::string_view list_key, const std::string& where,
                   const std::function<void(const std::string&, const json&)>& on_step) {
  const std::string type = text_member(component, "type", where);
  if (type != "Sequence") {
    on_step(type, component);
    return;
  }
  refuse_unknown_members(component, {"type", list_key}, where);
  for (const json& step : array_member(component, list_key, where)) {
    for_each_step(step, list_key, where, on_step);
  }
}

pattern_text read_pattern(const json& step, const std::string& where) {
  const json& value = member(step, "pattern", where);
  refuse_unknown_members(value, {"Regex", "String"}, where);
  const bool is_regex = value.contains("Regex");
  return {text_member(value, is_regex ? "Regex" : "String", where), is_regex};
}

prepend_scheme read_prepend_scheme(const json& step, const std::string& where) {
  if (find_member(step, "prepend_scheme", where) == nullptr) {
    return bool_member(step, "add_prefix_space", true, where) ? prepend_scheme::always : prepend_scheme::never;
  }
  const std::string name = text_member(step, "prepend_scheme", where);
  if (name == "always" || name == "first" || name == "never") {
    return name == "always" ? prepend_scheme::always : name == "first" ? prepend_scheme::first : prepend_scheme::never;
  }
  refuse_component("prepend_scheme", name, where);
}

void refuse_unknown_metaspace(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"},
                         where);
}

}  // namespace troupe::io
