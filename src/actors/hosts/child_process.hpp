/// A program started by the supervisor, in a process group of its own.
#pragma once

#include "actors/hosts/error_relay.hpp"

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace troupe::actors {

/// What a short command prints on its standard output.
/// Errors  io_failure: it cannot be started, or ends with another status than 0.
std::string output_of(const std::vector<std::string>& arguments);

class child_process {
public:
  /// Starts `arguments` (the first is the program's path, or a bare name that PATH finds) in this process's environment
  /// with `extra` set on top. `on_exit` is called once, on a thread of this object's, with what waitpid gave. `listen`:
  /// hears what it says on its standard error, line by line, on another thread, and its last words are kept; none: that
  /// goes where this process's own goes.
  /// Errors  io_failure.
  child_process(const std::vector<std::string>& arguments, std::function<void(int wait_status)> on_exit,
                const std::map<std::string, std::string>& extra = {}, line_listener listen = {});

  /// Kills the group if it still runs, and waits for it.
  ~child_process();
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  pid_t pid() const { return pid_; }

  /// What it has said on its standard error. Only from on_exit on, and nothing where nobody has listened.
  const last_words& said() const { return said_; }

  /// Signals the whole group; does nothing once it has ended.
  void signal(int number) const;

private:
  std::optional<error_relay> relay_;
  last_words said_;
  pid_t pid_ = -1;
  std::thread waiter_;
};

}  // namespace troupe::actors
