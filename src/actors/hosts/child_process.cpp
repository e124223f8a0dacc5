#include "actors/hosts/child_process.hpp"

#include "base/descriptor.hpp"
#include "base/error.hpp"
#include "base/processes.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

extern char** environ;  // NOLINT(readability-identifier-naming): POSIX's own

namespace troupe::actors {

/// What this process has, with `extra` in its place or added.
static std::vector<std::string> merged_environment(const std::map<std::string, std::string>& extra) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (!extra.contains(text.substr(0, text.find('=')))) {
      merged.push_back(text);
    }
  }
  for (const auto& [name, value] : extra) {
    merged.push_back(fmt::format("{}={}", name, value));
  }
  return merged;
}

/// `output`, `errors`: what becomes the program's standard output, and its standard error; negative: this process's
/// own.
static pid_t spawn_group(std::vector<std::string> arguments, const std::map<std::string, std::string>& extra,
                         int output = -1, int errors = -1) {
  const std::vector<char*> argv = pointers_to(arguments);
  std::vector<std::string> variables = merged_environment(extra);
  const std::vector<char*> envp = pointers_to(variables);

  // A group of its own, so that Ctrl-C in the terminal reaches the supervisor alone; and none of the signals that
  // the supervisor blocks.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t usual;  // where the supervisor ignores them
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  sigaddset(&usual, SIGXFSZ);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  if (output >= 0) {
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  }
  if (errors >= 0) {
    posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
  }
  pid_t pid = -1;
  const int failure = ::posix_spawnp(&pid, argv[0], &files, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0) {
    throw error(errc::io_failure, "cannot start {}: {}", arguments.front(), std::strerror(failure));
  }
  return pid;
}

std::string output_of(const std::vector<std::string>& arguments) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw error(errc::io_failure, "cannot make a pipe: {}", std::strerror(errno));
  }
  const descriptor from(ends[0]);
  descriptor to(ends[1]);
  const pid_t pid = spawn_group(arguments, {}, to.get());
  to.reset();  // else the end of the output would never come
  std::string text;
  char piece[4096];
  for (ssize_t got = 0; (got = ::read(from.get(), piece, sizeof(piece))) > 0;) {
    text.append(piece, static_cast<size_t>(got));
  }
  if (const int status = wait_for(pid); status != 0) {
    throw error(errc::io_failure, "{}: {}", fmt::join(arguments, " "), describe_exit(status));
  }
  return text;
}

child_process::child_process(const std::vector<std::string>& arguments, std::function<void(int wait_status)> on_exit,
                             const std::map<std::string, std::string>& extra, line_listener listen) {
  if (listen) {
    relay_.emplace(std::move(listen));
  }
  pid_ = spawn_group(arguments, extra, -1, relay_ ? relay_->inlet() : -1);
  try {
    if (relay_) {
      relay_->begin();
    }
    waiter_ = std::thread([this, on_exit = std::move(on_exit)] {
      const int status = wait_for(pid_);
      if (relay_) {
        said_ = relay_->finish();
      }
      on_exit(status);
    });
  } catch (...) {  // no thread is to be had: nobody would hear of its end
    signal(SIGKILL);
    wait_for(pid_);
    throw;
  }
}

child_process::~child_process() {
  signal(SIGKILL);
  waiter_.join();
}

void child_process::signal(int number) const {
  // The group outlives its leader's reaping only while members live, so this reaches nobody else's process unless the
  // whole id was reused within one attempt.
  ::kill(-pid_, number);
}

}  // namespace troupe::actors
