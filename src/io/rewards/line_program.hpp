/// A program of the user's that answers lines with lines: it reads them on its standard input and writes them on its
/// standard output. It runs in a process group of its own, which does not outlive this process, however this one ends.
#pragma once

#include "base/descriptor.hpp"

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

struct line_program_settings {
  std::vector<std::string> words;  ///< the program, as PATH or the folder has it, and its arguments
  std::filesystem::path folder;    ///< where it runs
  /// Told each line that it writes on its standard error.
  std::function<void(const std::string& line)> said = [](const std::string&) {};
  /// Called ten times a second while its answer is waited for.
  std::function<void()> waiting = [] {};
  size_t most_line_bytes = size_t{16} << 20;  ///< of an answer
};

class line_program {
public:
  /// Starts it, in this process's environment without what MPI's launchers have put there: to MPI it is a program of
  /// its own. The caller ignores SIGPIPE.
  /// Errors  io_failure.
  explicit line_program(line_program_settings settings);

  /// Closes its standard input, upon which it should end; kills it, and all that it has started, where it does not
  /// within a second.
  ~line_program();
  line_program(const line_program&) = delete;
  line_program& operator=(const line_program&) = delete;

  /// Sends a line and waits for the one that answers it. An error ends the program.
  /// Errors  lost_peer: it has ended, or has not answered within `deadline`; bad_file: it writes without being asked,
  ///         or a line too long. The text ends with the last that it wrote on its standard error.
  std::string ask(std::string_view line, std::chrono::milliseconds deadline);

  pid_t pid() const { return pid_; }

private:
  void start();
  std::string exchange(std::string_view line, std::chrono::milliseconds deadline);
  void send_some(std::string_view& left);
  void read_answers();
  void read_errors();
  void take_error_line(std::string line);
  bool has_ended();
  void end(std::chrono::milliseconds grace);
  [[noreturn]] void fail_ended();
  std::string last_words() const;

  line_program_settings settings_;
  descriptor to_, from_, errors_;  ///< its standard input, output and error
  descriptor life_;                ///< it ends when this is closed
  pid_t pid_ = -1;
  std::optional<int> status_;  ///< as waitpid gave it
  std::string answers_;        ///< read and not taken yet
  std::string error_line_;     ///< begun
  std::deque<std::string> last_errors_;
  int64_t errors_in_a_row_ = 0;  ///< lines since it was asked last
};

}  // namespace troupe::io
