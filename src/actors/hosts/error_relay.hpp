/// Stands between a program and this process's standard error: passes on at once what the program says there, and keeps
/// the end of it, since a program's exit status alone does not tell what was wrong.
#pragma once

#include "base/descriptor.hpp"

#include <cstddef>
#include <string>
#include <thread>

namespace troupe::actors {

/// The lines of `text` that name an error, the last `most` of them, else its last ones; on one line, and cut short.
std::string last_words(const std::string& text, size_t most = 3);

class error_relay {
public:
  /// Errors  io_failure.
  error_relay();
  error_relay(const error_relay&) = delete;
  error_relay& operator=(const error_relay&) = delete;
  ~error_relay();

  /// What the program is to have as its standard error.
  int inlet() const { return to_.get(); }

  /// The program has started: listens from now on, on a thread of its own.
  void begin();
  /// The program has ended: passes on what is left of its words and returns the end of them (4 KiB at most). What
  /// others who have inherited its standard error say later is lost.
  std::string finish();

private:
  void pass_on();
  bool take();

  descriptor from_, to_;  ///< of the pipe
  descriptor end_;        ///< readable once the program has ended
  std::string kept_;      ///< the relay's thread's, until it has ended
  std::thread thread_;
};

}  // namespace troupe::actors
