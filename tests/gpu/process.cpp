#include "gpu/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

namespace troupe::gpu_check {

namespace {

using steady = std::chrono::steady_clock;

/// In which a process that is at its end, or was killed, is gone, unless a driver holds it.
constexpr int seconds_to_die = 10;

[[noreturn]] void become(const std::vector<std::string>& command, int output) {
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

/// The parents of all processes that have not ended.
std::map<pid_t, pid_t> all_parents() {
  std::map<pid_t, pid_t> parents;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    const pid_t process = std::atoi(entry.path().filename().c_str());
    std::ifstream file(entry.path() / "stat");
    std::string line;
    char state = 0;
    pid_t parent = 0;
    // The name before them, in parentheses, may have any characters.
    if (process > 0 && std::getline(file, line) &&
        std::sscanf(line.c_str() + line.rfind(')') + 1, " %c %d", &state, &parent) == 2 && state != 'Z') {
      parents[process] = parent;
    }
  }
  return parents;
}

bool descends(pid_t process, pid_t from, const std::map<pid_t, pid_t>& parents) {
  for (auto at = parents.find(process); at != parents.end(); at = parents.find(at->second)) {
    if (at->second == from) {
      return true;
    }
  }
  return false;
}

/// Also those whose own parents have ended: `run_process` sees to it that they become this process's. False: not all
/// have ended when their time is over.
bool kill_descendants() {
  const auto end = steady::now() + std::chrono::seconds(seconds_to_die);
  for (;;) {
    const std::map<pid_t, pid_t> parents = all_parents();
    bool some = false;
    for (const auto& [process, parent] : parents) {
      if (descends(process, ::getpid(), parents)) {
        ::kill(process, SIGKILL);
        some = true;
      }
    }
    if (!some || steady::now() > end) {
      return !some;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// True: it has ended, and `status` is what `waitpid` says of it.
bool ends_in_time(pid_t child, int& status) {
  const auto end = steady::now() + std::chrono::seconds(seconds_to_die);
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (steady::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace

ended_process run_process(const std::vector<std::string>& command, int limit_seconds) {
  ended_process ended;
  int ends[2] = {};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return ended;
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    become(command, ends[1]);
  }
  ::close(ends[1]);
  if (child < 0) {
    ::close(ends[0]);
    return ended;
  }
  ended.in_time = read_until(steady::now() + std::chrono::seconds(limit_seconds), ends[0], ended.output);
  ::close(ends[0]);
  int status = 0;
  if (ended.in_time && ends_in_time(child, status)) {  // one that has closed its output may hang still
    ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  } else {
    ended.gone = kill_descendants();
    ::waitpid(child, &status, WNOHANG);
  }
  return ended;
}

std::string why_late(const ended_process& ended) {
  return ended.gone
             ? "not done in its time, and killed"
             : fmt::format("not done in its time, and killed, but {} s later it is still there: the driver holds "
                           "it, and perhaps the card",
                           seconds_to_die);
}

std::string this_program() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof(path));
  return {path, static_cast<size_t>(length > 0 ? length : 0)};
}

}  // namespace troupe::gpu_check
