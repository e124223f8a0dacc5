#include "io/run/run_directory.hpp"

#include "base/error.hpp"
#include "base/host_name.hpp"
#include "base/system_reason.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/near_file.hpp"
#include "io/files/paths.hpp"
#include "io/job/job.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <regex>
#include <thread>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// The mark of a run: every one has it from its creation on.
bool is_run(const fs::path& root) { return is_there(root / "attempt"); }

/// What a creation that was cut short can have left.
bool is_new(const fs::path& root) {
  const auto harmless = [](const fs::directory_entry& entry) { return entry.path().filename() == "attempt.tmp"; };
  const std::vector<fs::directory_entry> entries = entries_of(root);
  return std::all_of(entries.begin(), entries.end(), harmless);
}

void create_folder(const fs::path& path) {
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure) {
    throw error(errc::io_failure, "cannot create {}: {}: name a folder that you may write to (run.dir)", path.string(),
                system_reason(failure.value()));
  }
}

/// A folder of an attempt (fence_folder), which begin_attempt and end_attempt look after.
bool is_fence(const fs::path& path) {
  static const std::regex name(R"(attempt-\d{6,}\.tmp)");
  return std::regex_match(path.filename().string(), name);
}

std::string read_some(int descriptor) {
  char text[512];
  const ssize_t count = ::pread(descriptor, text, sizeof(text), 0);
  std::string result(text, count > 0 ? static_cast<size_t>(count) : 0);
  result.erase(result.find_last_not_of('\n') + 1);
  return result;
}

}  // namespace

run_directory run_directory::open(const fs::path& root) {
  if (!is_folder(root)) {
    throw error(errc::not_found,
                "there is no run at {}: give the folder of a run (run.dir of its job, by default runs/JOB){}",
                root.string(), did_you_mean_file(root));
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

static std::string iteration_file(int64_t iteration) { return fmt::format("iteration-{:06}.h5", iteration); }

fs::path run_directory::experience(int64_t iteration) const { return experience() / iteration_file(iteration); }

fs::path run_directory::evaluation(int64_t iteration) const { return evaluations() / iteration_file(iteration); }

job run_directory::recorded_job() const {
  const std::string file = job().string();
  io::job recorded = parse_job(read_text_file(file), {.name = file, .stem = "job", .folder = "/", .current = "/"});
  if (recorded.split.phases.empty()) {  // by a version that divided prompts among all phases
    recorded.split.phases = {phase::sft, phase::reward, phase::ppo};
  }
  if (recorded.place.device == device_choice::automatic) {  // by a version for which that meant the CPU
    recorded.place.device = device_choice::cpu;
  }
  return recorded;
}

static fs::path slurm_job_file(const run_directory& run) { return run.root() / "slurm-job"; }

std::string run_directory::slurm_job() const {
  if (!is_there(slurm_job_file(*this))) {
    return "";
  }
  std::string id = read_text_file(slurm_job_file(*this));
  id.erase(id.find_last_not_of('\n') + 1);
  const auto of_number = [](char c) { return (c >= '0' && c <= '9') || c == '_' || c == '+'; };
  return std::all_of(id.begin(), id.end(), of_number) ? id : "";
}

void run_directory::note_slurm_job(const std::string& id) const {
  if (id.empty()) {
    remove_tree(slurm_job_file(*this));
  } else {
    write_file_atomically(slurm_job_file(*this), id + "\n");
  }
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
  const int64_t next = number_attempt(last);
  fence_attempt(next);
  return next;
}

int64_t run_directory::number_attempt(int64_t last) const {
  require_attempt(last);
  write_file_atomically(attempt_file(), fmt::format("{}\n", last + 1));
  return last + 1;
}

void run_directory::fence_attempt(int64_t attempt) const {
  remove_fences();
  create_folder(fence_folder(root_, attempt));
  sync_folder(root_);
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
  for (const fs::directory_entry& entry : entries_of(root_)) {
    if (is_fence(entry.path())) {
      remove_stubborn(entry.path());
    }
  }
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

int64_t run_directory::free_bytes() const {
  struct statvfs status {};
  if (::statvfs(root_.c_str(), &status) != 0) {
    throw error(errc::io_failure, "cannot ask for the free space of {}: {}", root_.string(), std::strerror(errno));
  }
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

/// The whole file, for writing. A lock of an open file description, not of a process: it goes when the last
/// descriptor is closed, and, unlike flock's, one can ask whether somebody has it without taking it.
static struct flock whole_file() {
  struct flock all {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  return all;
}

bool is_locked(int descriptor) {
  struct flock wanted = whole_file();
  return ::fcntl(descriptor, F_OFD_GETLK, &wanted) == 0 && wanted.l_type != F_UNLCK;
}

run_lock::run_lock(const run_directory& run) {
  const fs::path path = run.lock();
  // O_CLOEXEC: a worker that outlives the supervisor must not hold its lock.
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    throw error(errc::io_failure, "cannot open {}: {}", path.string(), std::strerror(errno));
  }
  struct flock wanted = whole_file();
  if (::fcntl(descriptor_, F_OFD_SETLK, &wanted) != 0) {
    const int reason = errno;
    const std::string holder = read_some(descriptor_);
    ::close(std::exchange(descriptor_, -1));
    if (reason == EAGAIN || reason == EACCES) {
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
