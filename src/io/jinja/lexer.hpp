/// The words of a template, as Jinja2 finds them with trim_blocks and lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io::jinja {

struct token {
  enum class kind {
    text,            ///< between tags; a tag's white space control is applied
    block_begin,     ///< {%
    block_end,       ///< %}
    variable_begin,  ///< {{
    variable_end,    ///< }}
    name,
    string,  ///< unescaped
    integer,
    floating,
    symbol,  ///< an operator, a bracket, a comma
    end,
  };
  kind what = kind::end;
  std::string words;  ///< the text, name, symbol or unescaped string
  int64_t integer = 0;
  double floating = 0;
  int64_t line = 1;
};

/// How an error calls a token: "\"endfor\"", "the end of the template".
std::string describe(const token& of);

/// An error in the source of a template.
/// Errors  bad_file: "line N: what".
[[noreturn]] void fail_at(int64_t line, const std::string& what);

/// The tokens of `source`, an `end` last.
/// Errors  bad_file, with the line: not UTF-8, a tag or string that is not closed, a character without a meaning.
std::vector<token> read_tokens(std::string_view source);

}  // namespace troupe::io::jinja
