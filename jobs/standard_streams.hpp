/// The program's standard input, output and errors.
#pragma once

#include <optional>
#include <string>

namespace troupe {

/// Those of the three that are closed come to lead nowhere: else the next file that is opened would take their place,
/// and a message would be written into a model. Reading and writing there fails. Call it before anything is opened.
void hold_standard_streams();

/// What went wrong with what was read and written so far, which is flushed first; none: nothing.
std::optional<std::string> failure_of_standard_streams();

/// Writes to the standard output at once. What is not written is forgotten, and the reason returned.
std::optional<std::string> try_to_print(const std::string& text);

}  // namespace troupe
