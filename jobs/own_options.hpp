/// A command's own options among arguments that are a job's otherwise: `--name value` or `--name=value`.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Where the arguments ask for help, or are none, prints the usage: the command's exit status then.
std::optional<int> tell_usage(const std::vector<std::string>& arguments, const std::string& usage);

/// Whether `name` is among the arguments, which then lack it.
bool take_flag(std::vector<std::string>& arguments, const std::string& name);

/// Takes the option of this name, and its value, out of the arguments; none: it is not there.
/// Errors  usage_error: it has no value, or is there twice.
std::optional<std::string> take_value(std::vector<std::string>& arguments, const std::string& name);

/// Takes all of this name.
/// Errors  usage_error: one has no value.
std::vector<std::string> take_values(std::vector<std::string>& arguments, const std::string& name);

enum class least { zero, above_zero };

/// As take_value. `Number`: int64_t or double.
/// Errors  usage_error also: its value is no number from there on and below 10^9.
template <class Number>
std::optional<Number> take_number(std::vector<std::string>& arguments, const std::string& name, least from);

/// The value of an option; empty: it is not there.
/// Errors  usage_error: it has no value, or is there twice.
std::string value_of(const std::vector<std::string>& arguments, const std::string& name);

/// Gives an option this value in place of any other.
/// Errors  usage_error: one is there without a value.
void set_value(std::vector<std::string>& arguments, const std::string& name, const std::string& value);

}  // namespace troupe
