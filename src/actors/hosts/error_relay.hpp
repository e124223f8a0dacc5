/// Takes the place of a program's standard error: passes on each line that the program says there at once, and keeps
/// its last words.
#pragma once

#include "actors/hosts/last_words.hpp"
#include "base/descriptor.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace troupe::actors {

/// Who hears a line, without its newline.
using line_listener = std::function<void(std::string_view line)>;

class error_relay {
public:
  /// `tell` is called on the relay's thread.
  /// Errors  io_failure.
  explicit error_relay(line_listener tell);
  error_relay(const error_relay&) = delete;
  error_relay& operator=(const error_relay&) = delete;
  ~error_relay();

  /// What the program is to have as its standard error.
  int inlet() const { return to_.get(); }

  /// The program has started: listens from now on, on a thread of its own.
  void begin();
  /// The program has ended: passes on what is left of its words and returns the last of them. What others who have
  /// inherited its standard error say later is lost.
  const last_words& finish();

private:
  void pass_on();
  bool take();
  void tell_lines();
  void tell(std::string_view line);

  line_listener tell_;
  descriptor from_, to_;  ///< of the pipe
  descriptor end_;        ///< readable once the program has ended
  last_words said_;       ///< the relay's thread's, until it has ended
  std::string begun_;     ///< a line whose end has not come yet
  std::thread thread_;
};

}  // namespace troupe::actors
