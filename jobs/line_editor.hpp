/// Lines that a user types at a terminal.
#pragma once

#include <memory>
#include <string>

namespace troupe {

/// What came of asking for a line.
enum class typed { line, cancelled, end };

/// Asks for lines at the terminal of stdin and stderr, with editing, a history of this session and long lines that wrap
/// (libedit, which also reads the user's ~/.editrc). Between the calls of read() the terminal is as it was.
class line_editor {
public:
  /// Whether stdin and stderr are terminals: else there is nobody to edit lines.
  static bool possible();

  /// Sets the process's character type locale: the user's, or UTF-8 where that has none.
  explicit line_editor(std::string prompt);
  ~line_editor();
  line_editor(const line_editor&) = delete;
  line_editor& operator=(const line_editor&) = delete;

  /// The next line into `line`, without its end. cancelled: Ctrl-C, and `line` is what had been typed so far; end:
  /// Ctrl-D on an empty line, or the terminal is gone.
  typed read(std::string& line);

private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe
