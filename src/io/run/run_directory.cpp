#include "io/run/run_directory.hpp"

#include "base/error.hpp"
#include "base/host_name.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <thread>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// The mark of a run: every one has it from its creation on.
bool is_run(const fs::path& root) { return fs::exists(root / "attempt"); }

/// What a creation that was cut short can have left.
bool is_new(const fs::path& root) {
  const auto harmless = [](const fs::directory_entry& entry) { return entry.path().filename() == "attempt.tmp"; };
  return std::all_of(fs::directory_iterator(root), fs::directory_iterator(), harmless);
}

void create_folder(const fs::path& path) {
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure) {
    throw error(errc::io_failure, "cannot create {}: {}", path.string(), failure.message());
  }
}

/// An attempt's, which begin_attempt and end_attempt look after.
bool is_fence(const fs::path& path) {
  return path.filename().string().rfind("attempt-", 0) == 0 && path.extension() == ".tmp";
}

bool is_leftover(const fs::path& path) {
  const std::string name = path.filename().string();
  return path.extension() == ".tmp" || name.rfind(".deleted-", 0) == 0;
}

/// Depth first, so that what lies in a leftover is not visited.
void collect_leftovers(const fs::path& folder, std::vector<fs::path>& found) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (is_fence(entry.path())) {
      continue;
    }
    if (is_leftover(entry.path())) {
      found.push_back(entry.path());
    } else if (entry.is_directory() && !entry.is_symlink()) {
      collect_leftovers(entry.path(), found);
    }
  }
}

std::string read_some(int descriptor) {
  char text[512];
  const ssize_t count = ::pread(descriptor, text, sizeof(text), 0);
  std::string result(text, count > 0 ? static_cast<size_t>(count) : 0);
  result.erase(result.find_last_not_of('\n') + 1);
  return result;
}

/// Where a killed writer left a model folder under its old name only.
void recover_models(const fs::path& models) {
  if (!fs::is_directory(models)) {
    return;
  }
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(models)) {
    if (entry.path().extension() == ".old") {
      old.push_back(entry.path());
    }
  }
  for (fs::path path : old) {
    recover_folder(path.replace_extension());
  }
}

}  // namespace

run_directory run_directory::open(const fs::path& root) {
  if (!fs::is_directory(root)) {
    throw error(errc::not_found, "there is no run at {}", root.string());
  }
  if (!is_run(root)) {
    throw error(errc::bad_argument, "{} is not a run directory (it has no file 'attempt')", root.string());
  }
  return run_directory(root);
}

run_directory run_directory::open_or_create(const fs::path& root) {
  create_folder(root);
  run_directory run(root);
  if (!is_run(root)) {
    if (!is_new(root)) {
      throw error(errc::bad_argument, "{} is neither empty nor a run directory: give another run.dir, or empty it",
                  root.string());
    }
    write_file_atomically(run.attempt_file(), std::string_view("0\n"));
  }
  for (const fs::path& folder : {run.checkpoints(), run.experience(), run.models(), run.tensorboard()}) {
    create_folder(folder);
  }
  sync_folder(root);
  return run;
}

fs::path run_directory::experience(int64_t iteration) const {
  return experience() / fmt::format("iteration-{:06}.h5", iteration);
}

int64_t run_directory::attempt() const {
  const std::string text = read_text_file(attempt_file());
  int64_t number = -1;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc() || stop == end || *stop != '\n' || stop + 1 != end || number < 0) {
    throw error(errc::bad_file, "{} does not hold one number", attempt_file().string());
  }
  return number;
}

static fs::path fence_folder(const fs::path& root, int64_t attempt) {
  return root / fmt::format("attempt-{:06}.tmp", attempt);
}

int64_t run_directory::begin_attempt(int64_t last) const {
  require_attempt(last);
  const int64_t next = last + 1;
  write_file_atomically(attempt_file(), fmt::format("{}\n", next));
  remove_fences();
  create_folder(fence_folder(root_, next));
  sync_folder(root_);
  return next;
}

void run_directory::end_attempt() const {
  require_attempt(attempt());
  remove_fences();
  sync_folder(root_);
}

/// A late process may still be putting files into its folder, and a file system may keep one under a name of its own
/// while a process that is being killed has it open (NFS: ".nfs..."): neither lasts.
static void remove_stubborn(const fs::path& folder) {
  constexpr int tries = 100;
  for (int i = 1;; ++i) {
    try {
      remove_tree(folder);
      return;
    } catch (const error& failure) {
      if (i == tries) {
        throw error(errc::io_failure, "{}; a process of an attempt that is over may still be writing there: end it",
                    failure.what());
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void run_directory::remove_fences() const {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(root_)) {
    if (is_fence(entry.path())) {
      found.push_back(entry.path());
    }
  }
  std::for_each(found.begin(), found.end(), remove_stubborn);
}

attempt_fence run_directory::fence(int64_t attempt) const {
  return {fence_folder(root_, attempt), [run = *this, attempt] { run.require_attempt(attempt); }};
}

void run_directory::require_attempt(int64_t attempt) const {
  const int64_t current = this->attempt();
  if (current != attempt) {
    throw error(errc::interrupted, "attempt {} of {} is over (attempt {} has begun): nothing is written", attempt,
                root_.string(), current);
  }
}

std::vector<std::string> run_directory::clean_up() const {
  std::vector<fs::path> found;
  collect_leftovers(root_, found);
  recover_models(models());
  std::vector<std::string> removed;
  for (const fs::path& path : found) {
    std::error_code failure;
    fs::remove_all(path, failure);
    if (failure) {
      throw error(errc::io_failure, "cannot remove {}: {}", path.string(), failure.message());
    }
    removed.push_back(path.lexically_relative(root_).string());
  }
  std::sort(removed.begin(), removed.end());
  return removed;
}

int64_t run_directory::free_bytes() const {
  struct statvfs status {};
  if (::statvfs(root_.c_str(), &status) != 0) {
    throw error(errc::io_failure, "cannot ask for the free space of {}: {}", root_.string(), std::strerror(errno));
  }
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

run_lock::run_lock(const run_directory& run) {
  const fs::path path = run.lock();
  // O_CLOEXEC: a worker that outlives the supervisor must not hold its lock.
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    throw error(errc::io_failure, "cannot open {}: {}", path.string(), std::strerror(errno));
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    const std::string holder = read_some(descriptor_);
    ::close(std::exchange(descriptor_, -1));
    if (reason == EWOULDBLOCK) {
      throw error(errc::bad_argument, "{} is in use by another troupe ({}): wait for it or stop it",
                  run.root().string(), holder);
    }
    throw error(errc::io_failure, "cannot lock {}: {}", path.string(), std::strerror(reason));
  }
  const std::string holder = fmt::format("pid {} on {}\n", ::getpid(), host_name());
  // A failure here (a full disk) leaves the lock held: only its description is missing.
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, holder.data(), holder.size(), 0) != static_cast<ssize_t>(holder.size())) {
    ::ftruncate(descriptor_, 0);
  }
}

run_lock::~run_lock() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

}  // namespace troupe::io
