#include "io/rewards/line_program.hpp"

#include "base/error.hpp"
#include "base/processes.hpp"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

extern char** environ;  // NOLINT(readability-identifier-naming): POSIX's own

namespace troupe::io {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

namespace {

constexpr int life_number = 3;  ///< in the program's group
constexpr auto tick = 100ms;
constexpr size_t most_error_bytes = 1000;  ///< of a line of its standard error
constexpr int64_t most_error_lines = 100;  ///< that are told for each request
constexpr size_t remembered_error_lines = 8;

/// Runs its arguments as they are, and beside them a process that waits until nobody holds the other end of descriptor
/// 3 any more, which the kernel sees to when this process ends in whatever way; then it kills the group.
constexpr const char* keeper = "(read -r nothing <&3; kill -9 0) </dev/null >/dev/null 2>&1 & exec 3<&-; exec \"$@\"";

struct pipe_ends {
  descriptor read, write;
};

/// Their numbers are above those that the program is given.
pipe_ends make_pipe() {
  constexpr int first_number = 10;
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw error(errc::io_failure, "cannot make a pipe: {}", std::strerror(errno));
  }
  const descriptor low_read(ends[0]);
  const descriptor low_write(ends[1]);
  pipe_ends high{descriptor(::fcntl(ends[0], F_DUPFD_CLOEXEC, first_number)),
                 descriptor(::fcntl(ends[1], F_DUPFD_CLOEXEC, first_number))};
  if (!high.read.valid() || !high.write.valid()) {
    throw error(errc::io_failure, "cannot make a pipe: {}", std::strerror(errno));
  }
  return high;
}

/// A program of its own to MPI. Python writes its lines at once, though they go into a pipe.
std::vector<std::string> environment_of_program() {
  constexpr std::array<std::string_view, 3> of_launchers{"OMPI_", "PMIX_", "PMI_"};
  std::vector<std::string> variables = {"PYTHONUNBUFFERED=1"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const bool left_out = text.starts_with("PYTHONUNBUFFERED=") ||
                          std::any_of(of_launchers.begin(), of_launchers.end(),
                                      [&](std::string_view prefix) { return text.starts_with(prefix); });
    if (!left_out) {
      variables.emplace_back(text);
    }
  }
  return variables;
}

void do_not_block(const descriptor& end) { ::fcntl(end.get(), F_SETFL, O_NONBLOCK); }

/// Reads what is there, and hands it on in pieces. Closes `from` at its end.
void read_some(descriptor& from, const std::function<void(std::string_view piece)>& take) {
  char piece[65536];
  const ssize_t got = from.valid() ? ::read(from.get(), piece, sizeof(piece)) : -1;
  if (got > 0) {
    take({piece, static_cast<size_t>(got)});
  } else if (got == 0) {
    from.reset();
  }
}

std::string beginning_of(std::string_view line) {
  constexpr size_t most = 200;
  return fmt::format("\"{}\"{}", line.substr(0, most), line.size() > most ? " ..." : "");
}

}  // namespace

line_program::line_program(line_program_settings settings) : settings_(std::move(settings)) { start(); }

line_program::~line_program() { end(1s); }

void line_program::start() {
  pipe_ends in = make_pipe();
  pipe_ends out = make_pipe();
  pipe_ends err = make_pipe();
  pipe_ends life = make_pipe();
  std::vector<std::string> words = {"sh", "-c", keeper, "sh"};
  words.insert(words.end(), settings_.words.begin(), settings_.words.end());
  std::vector<std::string> variables = environment_of_program();
  const std::vector<char*> argv = pointers_to(words);
  const std::vector<char*> envp = pointers_to(variables);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in.read.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out.write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, err.write.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&files, life.read.get(), life_number);
  posix_spawn_file_actions_addclosefrom_np(&files, life_number + 1);
  posix_spawn_file_actions_addchdir_np(&files, settings_.folder.c_str());
  const int failure = ::posix_spawn(&pid_, "/bin/sh", &files, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0) {
    pid_ = -1;
    throw error(errc::io_failure, "cannot start {} in {}: {}", fmt::join(settings_.words, " "),
                settings_.folder.string(), std::strerror(failure));
  }
  to_ = std::move(in.write);
  from_ = std::move(out.read);
  errors_ = std::move(err.read);
  life_ = std::move(life.write);
  for (const descriptor* end : {&to_, &from_, &errors_}) {
    do_not_block(*end);
  }
}

void line_program::send_some(std::string_view& left) {
  const ssize_t sent = ::write(to_.get(), left.data(), left.size());
  if (sent > 0) {
    left.remove_prefix(static_cast<size_t>(sent));
  } else if (errno == EPIPE) {
    to_.reset();  // it reads no more: whether it has ended is seen from its output
  }
}

void line_program::read_answers() {
  read_some(from_, [this](std::string_view piece) { answers_ += piece; });
}

void line_program::take_error_line(std::string line) {
  line.resize(std::min(line.size(), most_error_bytes));
  if (++errors_in_a_row_ <= most_error_lines) {
    settings_.said(line);
  } else if (errors_in_a_row_ == most_error_lines + 1) {
    settings_.said("(it writes more; that is left out here)");
  }
  last_errors_.push_back(std::move(line));
  if (last_errors_.size() > remembered_error_lines) {
    last_errors_.pop_front();
  }
}

void line_program::read_errors() {
  read_some(errors_, [this](std::string_view piece) {
    while (!piece.empty()) {
      const size_t end = piece.find('\n');
      const std::string_view part = piece.substr(0, end);
      error_line_ += part.substr(0, most_error_bytes - std::min(most_error_bytes, error_line_.size()));
      piece.remove_prefix(std::min(part.size() + 1, piece.size()));
      if (end != std::string_view::npos) {
        take_error_line(std::exchange(error_line_, {}));
      }
    }
  });
  if (!errors_.valid() && !error_line_.empty()) {
    take_error_line(std::exchange(error_line_, {}));
  }
}

bool line_program::has_ended() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = status;
  }
  return status_.has_value();
}

void line_program::end(std::chrono::milliseconds grace) {
  if (pid_ < 0 || !life_.valid()) {
    return;
  }
  to_.reset();
  for (const auto until = clock::now() + grace; !has_ended() && clock::now() < until;) {
    read_answers();  // so that what it still writes does not keep it
    read_errors();
    std::this_thread::sleep_for(5ms);
  }
  // The group has the keeper in it, which ends last of all: its number is nobody else's.
  ::kill(-pid_, SIGKILL);
  if (!status_) {
    status_ = wait_for(pid_);
  }
  life_.reset();
}

std::string line_program::last_words() const {
  return last_errors_.empty() ? "" : fmt::format(". The last that it said:\n  {}", fmt::join(last_errors_, "\n  "));
}

void line_program::fail_ended() {
  for (const auto until = clock::now() + 1s; (errors_.valid() || !has_ended()) && clock::now() < until;) {
    read_errors();
    std::this_thread::sleep_for(5ms);
  }
  throw error(errc::lost_peer, "it has {}{}",
              status_ ? fmt::format("ended: {}", describe_exit(*status_)) : "closed its standard output", last_words());
}

std::string line_program::ask(std::string_view line, std::chrono::milliseconds deadline) {
  try {
    return exchange(line, deadline);
  } catch (const error&) {
    end(0ms);
    throw;
  }
}

std::string line_program::exchange(std::string_view line, std::chrono::milliseconds deadline) {
  const auto until = clock::now() + deadline;
  errors_in_a_row_ = 0;
  read_answers();
  if (!answers_.empty()) {
    throw error(errc::bad_file,
                "it wrote {} on its standard output without being asked: each request is answered by one line, and "
                "all else belongs on standard error{}",
                beginning_of(answers_.substr(0, answers_.find('\n'))), last_words());
  }
  const std::string whole = std::string(line) + "\n";
  std::string_view left = whole;
  size_t looked_at = 0;
  while (true) {
    std::array<pollfd, 3> ends{{{from_.valid() ? from_.get() : -1, POLLIN, 0},
                                {errors_.valid() ? errors_.get() : -1, POLLIN, 0},
                                {to_.valid() && !left.empty() ? to_.get() : -1, POLLOUT, 0}}};
    ::poll(ends.data(), ends.size(), static_cast<int>(tick.count()));
    settings_.waiting();
    if (ends[2].revents != 0) {
      send_some(left);
    }
    read_errors();
    read_answers();
    if (const size_t end = answers_.find('\n', looked_at); end != std::string::npos) {
      std::string answer = answers_.substr(0, end);
      answers_.erase(0, end + 1);
      if (!left.empty()) {
        throw error(errc::bad_file, "it answered {} before it had read all of the request{}", beginning_of(answer),
                    last_words());
      }
      return answer;
    }
    looked_at = answers_.size();
    if (answers_.size() > settings_.most_line_bytes) {
      throw error(errc::bad_file, "it wrote more than {} bytes without an end of line: {}", settings_.most_line_bytes,
                  beginning_of(answers_));
    }
    if (!from_.valid() || (has_ended() && ends[0].revents == 0)) {
      fail_ended();
    }
    if (clock::now() >= until) {
      throw error(errc::lost_peer, "it has not answered within {} s{}{}", static_cast<double>(deadline.count()) / 1e3,
                  left.empty() ? "" : ", nor read all of the request", last_words());
    }
  }
}

}  // namespace troupe::io
