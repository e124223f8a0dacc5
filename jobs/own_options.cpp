#include "jobs/own_options.hpp"

#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace troupe {

std::optional<int> tell_usage(const std::vector<std::string>& arguments, const std::string& usage) {
  const bool asked = std::any_of(arguments.begin(), arguments.end(),
                                 [](const std::string& word) { return word == "--help" || word == "-h"; });
  if (!asked && !arguments.empty()) {
    return std::nullopt;
  }
  std::fputs(usage.c_str(), asked ? stdout : stderr);
  return asked ? exit_ok : exit_usage;
}

bool take_flag(std::vector<std::string>& arguments, const std::string& name) { return std::erase(arguments, name) > 0; }

/// Takes the first of this name.
static std::optional<std::string> take_first(std::vector<std::string>& arguments, const std::string& name) {
  const auto named = [&](const std::string& word) { return word == name || word.starts_with(name + "="); };
  const auto found = std::find_if(arguments.begin(), arguments.end(), named);
  if (found == arguments.end()) {
    return std::nullopt;
  }
  const bool next_word = *found == name;
  if (next_word && (found + 1 == arguments.end() || (found + 1)->empty())) {
    throw usage_error("{} needs a value", name);
  }
  std::string value = next_word ? *(found + 1) : found->substr(name.size() + 1);
  arguments.erase(found, found + (next_word ? 2 : 1));
  return value;
}

std::optional<std::string> take_value(std::vector<std::string>& arguments, const std::string& name) {
  std::optional<std::string> value = take_first(arguments, name);
  if (value) {
    if (const auto other = take_first(arguments, name)) {
      throw usage_error("{} is given twice, as {} and as {}: keep one", name, *value, *other);
    }
  }
  return value;
}

std::vector<std::string> take_values(std::vector<std::string>& arguments, const std::string& name) {
  std::vector<std::string> values;
  while (auto value = take_first(arguments, name)) {
    values.push_back(std::move(*value));
  }
  return values;
}

template <class Number>
std::optional<Number> take_number(std::vector<std::string>& arguments, const std::string& name, least from) {
  const std::optional<std::string> text = take_value(arguments, name);
  if (!text) {
    return std::nullopt;
  }
  Number value = 0;
  const char* end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, value);
  const bool within = from == least::zero ? value >= 0 : value > 0;
  if (parsed.ec != std::errc() || parsed.ptr != end || !within || !(value < Number(1e9))) {
    throw usage_error("{} {}: give it a number {}", name, *text, from == least::zero ? "from 0 on" : "above 0");
  }
  return value;
}

template std::optional<int64_t> take_number(std::vector<std::string>&, const std::string&, least);
template std::optional<double> take_number(std::vector<std::string>&, const std::string&, least);

std::string value_of(const std::vector<std::string>& arguments, const std::string& name) {
  std::vector<std::string> rest = arguments;
  return take_value(rest, name).value_or("");
}

void set_value(std::vector<std::string>& arguments, const std::string& name, const std::string& value) {
  take_values(arguments, name);
  arguments.insert(arguments.end(), {name, value});
}

}  // namespace troupe
