#include "actors/hosts/child_process.hpp"

#include "base/descriptor.hpp"
#include "base/error.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

extern char** environ;  // NOLINT(readability-identifier-naming): POSIX's own

namespace troupe::actors {

std::string describe_exit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return fmt::format("killed by signal {} ({})", number, ::strsignal(number));
  }
  return fmt::format("exit code {}", WEXITSTATUS(wait_status));
}

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

/// The form that exec wants: pointers into `texts`, then null.
static std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
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

static int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {  // a signal to this thread: wait on
  }
  return status;
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
                             const std::map<std::string, std::string>& extra, bool listen) {
  if (listen) {
    relay_.emplace();
  }
  pid_ = spawn_group(arguments, extra, -1, relay_ ? relay_->inlet() : -1);
  if (relay_) {
    relay_->begin();
  }
  waiter_ = std::thread([this, on_exit = std::move(on_exit)] {
    const int status = wait_for(pid_);
    said_ = relay_ ? relay_->finish() : "";
    on_exit(status);
  });
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
