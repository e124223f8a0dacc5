/// The source of a template as a syntax tree.
#pragma once

#include "io/jinja/syntax.hpp"

#include <string_view>

namespace troupe::io::jinja {

/// The grammar of Jinja2 3.1 with loop controls and {% generation %}, without include, import, extends, block,
/// autoescape, trans and recursive loops.
/// Errors  bad_file: "line N: what was expected or is not known"; also where brackets and blocks are nested more than
/// 64 deep.
block parse(std::string_view source);

}  // namespace troupe::io::jinja
