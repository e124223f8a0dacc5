/// Texts of others within Markdown, as TensorBoard shows it.
#pragma once

#include <string>
#include <string_view>

namespace troupe::io {

/// `text` as Markdown that shows it as it is, in one line of source: nothing in it is taken for emphasis, a heading, a
/// link, a cell of a table or HTML. Line breaks become <br>; of control characters a tab alone is kept.
std::string markdown_text(std::string_view text);

}  // namespace troupe::io
