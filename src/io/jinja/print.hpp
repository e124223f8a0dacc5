/// Values as text: Python's str and repr, and json.dumps.
#pragma once

#include "io/jinja/machine.hpp"

#include <optional>
#include <string>

namespace troupe::io::jinja {

/// Python's str(value); an undefined value is empty.
text to_text(machine& m, const value& of);

/// Python's repr(value).
text to_repr(machine& m, const value& of);

/// Python's repr of a float: the shortest digits that read back as it, 1e+16 and 1e-05 and beyond with an exponent.
std::string float_repr(double number);

struct json_style {
  std::optional<text> indent = {};  ///< one level of it
  text between_items{", "};
  text after_key{": "};
  bool ascii_only = false;
  bool sorted_keys = false;
};

/// Python's json.dumps(value).
/// Errors  bad_argument: what JSON cannot say.
text to_json(machine& m, const value& of, const json_style& style);

}  // namespace troupe::io::jinja
