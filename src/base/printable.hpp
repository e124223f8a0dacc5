/// Text of others on a terminal: file names, model answers and error texts may hold sequences that move the cursor,
/// change the title, or write what was never said.
#pragma once

#include <string>
#include <string_view>

namespace troupe {

/// `text` with every control character but tab and newline, and every byte that is not UTF-8, as its number: "\x1b".
/// What a terminal takes for a command is then something to read.
std::string printable(std::string_view text);

/// Whether `text` is one line without control characters.
bool is_one_line(std::string_view text);

}  // namespace troupe
