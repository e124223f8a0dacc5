/// What a program says to its user while it works: lines on standard error, one line of progress below them that is
/// drawn again in its place, and a log of it all.
#pragma once

#include "base/descriptor.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace troupe {

/// How much a line matters to who asked for quiet.
enum class weight {
  detail,   ///< not told under `quiet`
  trouble,  ///< always told
};

/// Whether standard error is a terminal that redraws lines: no file, no pipe, no TERM=dumb.
bool is_terminal(int descriptor);
/// Whether colours are wanted on it: a terminal, and no NO_COLOR (no-color.org).
bool wants_colour(int descriptor);

/// The beginning of a line that fills at most `columns`; a character of UTF-8 counts as one and stays whole.
std::string cut_to_width(std::string_view text, int columns);

/// Used by any thread. What cannot be written is lost: nobody may be reading, and a full disk must not end a run.
class console {
public:
  struct settings {
    int descriptor = 2;     ///< standard error
    bool terminal = false;  ///< progress is drawn in place
    bool quiet = false;
  };
  explicit console(settings how) : how_(how) {}
  console(const console&) = delete;
  console& operator=(const console&) = delete;
  /// Leaves the last progress on a line of its own.
  ~console();

  bool terminal() const { return how_.terminal; }
  /// Before other threads use it.
  void be_quiet() { how_.quiet = true; }

  /// From now on a copy of every line is appended to this file, `head` first.
  /// Errors  io_failure.
  void keep_log(const std::string& file, std::string_view head);

  /// A line, or several, without the last newline. `logged`: what the log gets instead; empty: the same.
  void say(weight matters, std::string_view text, std::string_view logged = {});
  /// For the log alone.
  void note(std::string_view text);
  /// The line of progress, cut to the terminal's width; empty: none. Nothing where there is no terminal.
  void show(std::string progress);

private:
  void draw_progress();

  settings how_;
  std::mutex mutex_;
  std::string progress_;
  descriptor log_;
};

using console_ptr = std::shared_ptr<console>;

}  // namespace troupe
