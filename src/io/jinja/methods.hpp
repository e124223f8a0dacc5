/// The methods of Python's texts, lists and dictionaries.
#pragma once

#include "io/jinja/machine.hpp"

#include <optional>
#include <string_view>

namespace troupe::io::jinja {

/// The method of that name, bound to its value. One that would change the value is there too, and refuses to be
/// called: values never change.
std::optional<value> find_method(const value& of, std::string_view name);

/// Case by Unicode's simple mappings, one character for one (Python's upper makes two of "ß").
text upper(const text& from);
text lower(const text& from);
/// The first character upper, the others lower.
text capitalize(const text& from);
/// The first letter of each word upper, the others lower; a word begins where `parts_words` says so, or after what is
/// no letter.
text title(const text& from);

/// Python's split: by `separator`, or, where that is null, by white space; at most `limit` times where it is not
/// negative.
std::vector<value> split(const string_value& from, const text* separator, int64_t limit);

}  // namespace troupe::io::jinja
