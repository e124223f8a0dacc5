/// Python's operators.
#pragma once

#include "io/jinja/machine.hpp"
#include "io/jinja/syntax.hpp"

namespace troupe::io::jinja {

/// Errors  bad_argument: types that the operator is not for, division by zero, an integer beyond 64 bits.
value apply(machine& m, operation how, const value& a, const value& b);
value minus(const value& a);
value plus(const value& a);

/// Errors  bad_argument: no order, or `b` holds nothing.
bool holds(machine& m, relation how, const value& a, const value& b);

/// `format % arguments`.
/// Errors  bad_argument: a conversion that is not known, too few or too many arguments.
text percent_format(machine& m, const text& format, const value& given);

/// The text as HTML's escapes have it, for what is added to markup.
text html_escaped(const text& from);

}  // namespace troupe::io::jinja
