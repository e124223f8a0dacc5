#include "gpu/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace troupe::gpu_check {

namespace {

using steady = std::chrono::steady_clock;

[[noreturn]] void become(const std::vector<std::string>& command, int output) {
  ::setpgid(0, 0);  // so that it can be killed with its children
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(output, STDOUT_FILENO);
  std::vector<char*> words;
  for (const std::string& word : command) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  ::execv(words[0], words.data());
  std::_Exit(127);
}

/// Appends what can be read until the end or until then. False: there may be more.
bool read_until(steady::time_point end, int from, std::string& output) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - steady::now()).count();
    if (left <= 0) {
      return false;
    }
    pollfd waiting{.fd = from, .events = POLLIN};
    if (::poll(&waiting, 1, static_cast<int>(left)) <= 0) {
      continue;
    }
    char piece[4096];
    const ssize_t length = ::read(from, piece, sizeof(piece));
    if (length <= 0) {
      return true;
    }
    output.append(piece, static_cast<size_t>(length));
  }
}

}  // namespace

ended_process run_process(const std::vector<std::string>& command, int limit_seconds) {
  ended_process ended;
  int ends[2] = {};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return ended;
  }
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    become(command, ends[1]);
  }
  ::setpgid(child, child);
  ::close(ends[1]);
  ended.in_time = read_until(steady::now() + std::chrono::seconds(limit_seconds), ends[0], ended.output);
  if (!ended.in_time) {
    ::kill(-child, SIGKILL);
  }
  ::close(ends[0]);
  int status = 0;
  if (::waitpid(child, &status, 0) == child && WIFEXITED(status)) {
    ended.status = WEXITSTATUS(status);
  }
  return ended;
}

std::string this_program() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof(path));
  return {path, static_cast<size_t>(length > 0 ? length : 0)};
}

}  // namespace troupe::gpu_check
