/// The filters and tests that a template can use by name.
#pragma once

#include "io/jinja/machine.hpp"

#include <string_view>

namespace troupe::io::jinja {

/// Errors  bad_file with the line and the names that are known, where this is none of them.
void require_filter(std::string_view name, int64_t line);
void require_test(std::string_view name, int64_t line);

/// `input | name(given)`.
/// Errors  bad_argument.
value apply_filter(machine& m, std::string_view name, const value& input, arguments given);

/// `input is name(given)`.
/// Errors  bad_argument.
bool apply_test(machine& m, std::string_view name, const value& input, arguments given);

}  // namespace troupe::io::jinja
