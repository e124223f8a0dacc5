#include "support/stopped_thread.hpp"

#include "support/program.hpp"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <sstream>

namespace troupe::test {

namespace fs = std::filesystem;

stopped_thread::stopped_thread(pid_t thread) {
  int status = 0;
  if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0 ||
      ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0 || ::waitpid(thread, &status, __WALL) != thread) {
    return;
  }
  stopped_ = WIFSTOPPED(status);
  reaper_ = std::thread([thread] {
    int end = 0;
    while (::waitpid(thread, &end, __WALL) == thread && !WIFEXITED(end) && !WIFSIGNALED(end)) {
    }
  });
}

stopped_thread::~stopped_thread() {
  if (reaper_.joinable()) {
    reaper_.join();
  }
}

static fs::path tasks_of(pid_t process) { return fs::path("/proc") / std::to_string(process) / "task"; }

/// Nanoseconds on a core, by thread.
static std::map<pid_t, uint64_t> times_of(pid_t process) {
  std::map<pid_t, uint64_t> times;
  std::error_code gone;
  for (const fs::directory_entry& task : fs::directory_iterator(tasks_of(process), gone)) {
    std::istringstream(text_of(task.path() / "schedstat")) >> times[std::stoi(task.path().filename().string())];
  }
  return times;
}

static std::string name_of(const fs::path& task) {
  const std::string line = text_of(task / "comm");
  return line.substr(0, line.find('\n'));
}

std::optional<pid_t> busiest_thread(pid_t process, const std::set<std::string>& but) {
  const std::map<pid_t, uint64_t> before = times_of(process);
  constexpr std::chrono::nanoseconds look = std::chrono::milliseconds(20);
  std::this_thread::sleep_for(look);
  std::optional<pid_t> found;
  uint64_t most = look.count() / 2;
  for (const auto& [thread, time] : times_of(process)) {
    const auto then = before.find(thread);
    if (then != before.end() && time - then->second > most &&
        !but.contains(name_of(tasks_of(process) / std::to_string(thread)))) {
      most = time - then->second;
      found = thread;
    }
  }
  return found;
}

std::optional<pid_t> thread_named(pid_t process, const std::string& name) {
  std::error_code gone;
  for (const fs::directory_entry& task : fs::directory_iterator(tasks_of(process), gone)) {
    if (name_of(task.path()) == name) {
      return std::stoi(task.path().filename().string());
    }
  }
  return std::nullopt;
}

}  // namespace troupe::test
