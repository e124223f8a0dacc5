/// A Jinja template as `transformers` renders it: trim_blocks, lstrip_blocks, loop controls, its own tojson.
#pragma once

#include "io/jinja/syntax.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::io::jinja {

/// Immutable; may be rendered by several threads at once. What Hugging Face's environment has, with these limits: 10^6
/// steps, 16 MiB of text, brackets and blocks 64 deep in the source, macros 64 deep in calls. Not there: include,
/// import, extends, block, autoescape, recursive loops; filters and tests that are not known are refused by name.
class program {
public:
  /// `where` names the template in errors: "chat_template of models/mine".
  /// Errors  bad_file: where, line and what is wrong.
  program(std::string_view source, std::string where);

  /// `date` (YYYY-MM-DD) is what strftime_now tells; empty: a template that asks is refused.
  /// Errors  bad_argument: where, line and what happened; raise_exception's text among them.
  text render(std::vector<std::pair<std::string, value>> variables, const std::string& date) const;

private:
  std::string where_;
  std::shared_ptr<const block> body_;
};

}  // namespace troupe::io::jinja
