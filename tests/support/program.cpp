#include "support/program.hpp"

#include "io/checkpoint/checkpoint.hpp"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

extern char** environ;  // NOLINT(readability-identifier-naming): POSIX's own

namespace troupe::test {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Tests that name no card have none, wherever they run: those that have one name a module of their own.
static const int no_real_cards = ::setenv("CUDA_VISIBLE_DEVICES", "", 1);

static pid_t start(const std::vector<std::string>& arguments, const fs::path& output, const fs::path& input) {
  std::vector<std::string> all = {TROUPE_PROGRAM};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  pid_t pid = -1;
  const int failure = ::posix_spawn(&pid, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (failure != 0) {
    throw std::runtime_error(std::string("cannot start ") + TROUPE_PROGRAM + ": " + std::strerror(failure));
  }
  return pid;
}

program::program(const std::vector<std::string>& arguments, const fs::path& output)
    : pid_(start(arguments, output, "/dev/null")) {}

program::~program() {
  if (running()) {
    kill();
  }
}

bool program::running() {
  if (!ended_) {
    ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  }
  return !ended_;
}

int program::wait() {
  if (!ended_) {
    ::waitpid(pid_, &status_, 0);
    ended_ = true;
  }
  return WIFSIGNALED(status_) ? -WTERMSIG(status_) : WEXITSTATUS(status_);
}

void program::signal(int number) const { ::kill(pid_, number); }

/// From /proc/PID/stat: state and parent, which stand after the name in parentheses. None: it is gone, or a zombie.
static std::optional<pid_t> parent_of(pid_t pid) {
  const std::string stat = text_of("/proc/" + std::to_string(pid) + "/stat");
  const size_t end = stat.rfind(')');
  if (end == std::string::npos || end + 4 > stat.size() || stat[end + 2] == 'Z') {
    return std::nullopt;
  }
  return std::atoi(stat.c_str() + end + 4);
}

bool process_exists(pid_t pid) { return parent_of(pid).has_value(); }

void program::kill() {
  signal(SIGKILL);
  wait();
}

bool program::kill_rank() const {
  const pid_t rank = worker();
  return rank != 0 && ::kill(rank, SIGKILL) == 0;
}

int program::stop(int number) {
  signal(number);
  const int status = wait();
  return status == -number ? 75 : status;
}

static bool descends_from(pid_t pid, pid_t ancestor) {
  for (auto parent = parent_of(pid); parent && *parent > 1; parent = parent_of(*parent)) {
    if (*parent == ancestor) {
      return true;
    }
  }
  return false;
}

std::vector<pid_t> program::descendants() const {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && descends_from(pid, pid_)) {
      found.push_back(pid);
    }
  }
  return found;
}

std::vector<pid_t> program::workers() const {
  std::vector<pid_t> found = descendants();
  std::erase_if(found, [](pid_t pid) {  // a launcher's command line has another program in front
    const std::string command = text_of("/proc/" + std::to_string(pid) + "/cmdline");
    return !command.starts_with(std::string(TROUPE_PROGRAM) + std::string("\0worker\0", 8));
  });
  return found;
}

pid_t program::worker() const {
  const std::vector<pid_t> all = workers();
  return all.empty() ? 0 : all.front();
}

static int64_t records_of(const fs::path& run) {
  const std::string text = text_of(run / "metrics.jsonl");
  return std::count(text.begin(), text.end(), '\n');
}

void await_records(program& troupe, const fs::path& run, int more) {
  const int64_t before = records_of(run);
  while (troupe.running() && records_of(run) < before + more) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void await_file(program& troupe, const fs::path& file) {
  while (troupe.running() && !fs::exists(file)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

std::string troupe_program() { return TROUPE_PROGRAM; }

program_result run_program(const std::vector<std::string>& arguments, const std::string& input) {
  const fs::path folder = fs::temp_directory_path() / ("troupe-program-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::ofstream(folder / "input", std::ios::binary) << input;
  fs::remove(folder / "output");
  const pid_t pid = start(arguments, folder / "output", folder / "input");
  int status = 0;
  ::waitpid(pid, &status, 0);
  program_result result{.status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status),
                        .output = text_of(folder / "output")};
  fs::remove_all(folder);
  return result;
}

static std::set<std::string> files_of(const fs::path& root) {
  std::set<std::string> files;
  for (const char* folder : {"models", "experience", "evaluations", "pairs"}) {
    if (!fs::exists(root / folder)) {
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.is_regular_file()) {
        files.insert(fs::relative(entry.path(), root).string());
      }
    }
  }
  return files;
}

static std::vector<std::string> comparable_metrics(const fs::path& root) {
  std::vector<std::string> lines;
  std::ifstream file(root / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    auto values = nlohmann::json::parse(line);
    for (auto it = values.begin(); it != values.end();) {
      const std::string& key = it.key();
      const bool skip = key == "time" || key == "attempt" || key.starts_with("time/") || key.starts_with("rate/");
      it = skip ? values.erase(it) : std::next(it);
    }
    lines.push_back(values.dump());
  }
  return lines;
}

/// Checkpoints as folders below `root`.
static std::set<std::string> checkpoints_of(const fs::path& root) {
  std::set<std::string> folders;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().filename() == "manifest.json") {
      folders.insert(fs::relative(entry.path().parent_path(), root).string());
    }
  }
  return folders;
}

/// Whether a checkpoint is older than all of its phase. A process that dies between the last checkpoint of a phase and
/// the removal of older ones leaves these.
static bool is_before_all(const std::string& name, const std::set<std::string>& checkpoints) {
  const std::string phase = name.substr(0, name.find('/') + 1);
  const auto first = checkpoints.lower_bound(phase);
  return first != checkpoints.end() && first->starts_with(phase) && name < *first;
}

/// The director's state, which all ranks have, and each model's count of updates, which its own ranks have.
static std::map<std::string, double> numbers_of(const io::checkpoint_reader& reader) {
  std::map<std::string, double> numbers;
  for (int rank = 0; rank < reader.manifest().ranks; ++rank) {
    for (const std::string& name : reader.scalar_names(rank)) {
      numbers[name] =
          name.starts_with("state/") ? reader.real(name, rank) : static_cast<double>(reader.integer(name, rank));
    }
  }
  return numbers;
}

/// Ranks write files of their own, so checkpoints of different numbers of ranks are compared by
/// what they say: arrays bit for bit, and numbers.
static std::vector<std::string> differences_of_checkpoints(const std::string& name, const fs::path& a,
                                                           const fs::path& b) {
  const io::checkpoint_reader first(a);
  const io::checkpoint_reader second(b);
  if (first.array_names() != second.array_names()) {
    return {name + ": other arrays"};
  }
  std::vector<std::string> found;
  for (const std::string& array : first.array_names()) {
    const auto x = first.read(array);
    const auto y = second.read(array);
    if (x.size() != y.size() || std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0) {
      found.push_back(name + ": " + array + " differs");
    }
  }
  if (numbers_of(first) != numbers_of(second)) {
    found.push_back(name + ": other numbers");
  }
  if (first.manifest().counter != second.manifest().counter) {
    found.push_back(name + ": other counters");
  }
  return found;
}

std::vector<std::string> differences_of_runs(const fs::path& a, const fs::path& b) {
  std::vector<std::string> found;
  const auto files_a = files_of(a);
  const auto files_b = files_of(b);
  for (const std::string& name : files_a) {
    if (!files_b.contains(name)) {
      found.push_back(name + ": only in the first");
    } else if (text_of(a / name) != text_of(b / name)) {
      found.push_back(name + ": other bytes");
    }
  }
  for (const std::string& name : files_b) {
    if (!files_a.contains(name)) {
      found.push_back(name + ": only in the second");
    }
  }
  const auto checkpoints_a = checkpoints_of(a / "checkpoints");
  const auto checkpoints_b = checkpoints_of(b / "checkpoints");
  for (const std::string& name : checkpoints_a) {
    if (!checkpoints_b.contains(name)) {
      found.push_back(name + ": a checkpoint of the first only");
      continue;
    }
    const auto others = differences_of_checkpoints(name, a / "checkpoints" / name, b / "checkpoints" / name);
    found.insert(found.end(), others.begin(), others.end());
  }
  for (const std::string& name : checkpoints_b) {
    if (!checkpoints_a.contains(name) && !is_before_all(name, checkpoints_a)) {
      found.push_back(name + ": a checkpoint of the second only");
    }
  }
  const auto metrics_a = comparable_metrics(a);
  const auto metrics_b = comparable_metrics(b);
  for (size_t i = 0; i < std::max(metrics_a.size(), metrics_b.size()); ++i) {
    const std::string first = i < metrics_a.size() ? metrics_a[i] : "(none)";
    const std::string second = i < metrics_b.size() ? metrics_b[i] : "(none)";
    if (first != second) {
      found.push_back("metrics.jsonl, line " + std::to_string(i + 1) + ":\n  " + first + "\n  " + second);
    }
  }
  return found;
}

}  // namespace troupe::test
