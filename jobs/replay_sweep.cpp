#include "jobs/replay_sweep.hpp"

#include "actors/supervisor/stop_signals.hpp"
#include "base/error.hpp"
#include "base/printable.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"
#include "io/run/job_of_run.hpp"
#include "jobs/arguments.hpp"
#include "jobs/batch_script.hpp"
#include "jobs/commands.hpp"
#include "jobs/log.hpp"
#include "jobs/own_options.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <set>
#include <string_view>

namespace troupe {

namespace fs = std::filesystem;

/// As a part of a folder's name.
static std::string plain(std::string text) {
  for (char& c : text) {
    const bool kept =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("._=+-").find(c) != std::string_view::npos;
    c = kept ? c : '-';
  }
  return text;
}

std::vector<sweep_variant> variants_of(const std::vector<sweep_axis>& axes) {
  std::vector<sweep_variant> variants(1);
  std::set<std::string> options;
  for (const sweep_axis& axis : axes) {
    if (!options.insert(axis.option).second) {
      throw usage_error("--sweep names {} twice: give all its values at once", axis.option);
    }
    std::vector<sweep_variant> longer;
    for (const sweep_variant& variant : variants) {
      for (const std::string& value : axis.values) {
        sweep_variant next = variant;
        next.name += (next.name.empty() ? "" : "_") + plain(axis.option + "=" + value);
        next.options.insert(next.options.end(), {"--" + axis.option, value});
        longer.push_back(std::move(next));
      }
    }
    variants = std::move(longer);
  }
  std::set<std::string> names;
  for (const sweep_variant& variant : variants) {
    if (!names.insert(variant.name).second) {
      throw usage_error("--sweep: two variants would have the folder {}: give values that differ in letters or digits",
                        variant.name);
    }
  }
  return variants;
}

/// That what lies in the variant's folder, finished or not, is this job's.
static void require_own(const io::job& job) {
  if (fs::exists(fs::path(job.run.dir) / "attempt")) {
    from_user([&] { io::require_same_job(io::run_directory::open(job.run.dir), job); });
  }
}

std::vector<planned_variant> plan_sweep(const replay_request& request, const io::replayed_run& source) {
  std::vector<sweep_axis> axes;
  for (const std::string& text : request.sweep) {
    axes.push_back(read_axis(text));
    if (axes.back().option == "run.dir") {
      throw usage_error("--sweep run.dir: each variant has a folder of its own below --run.dir: leave it out");
    }
  }
  const fs::path folder = value_of(request.options, "--run.dir");
  if (folder.empty()) {
    throw usage_error("--run.dir is missing: name the folder below which the variants are to run");
  }
  if (io::is_there(folder) && !io::is_folder(folder)) {
    throw usage_error("--run.dir: {} is no folder: name one below which the variants are to run", folder.string());
  }
  std::map<std::string, std::string> name_of_job;
  std::vector<planned_variant> planned;
  for (sweep_variant& variant : variants_of(axes)) {
    replay_request one = request;
    one.options.insert(one.options.end(), variant.options.begin(), variant.options.end());
    set_value(one.options, "--run.dir", (folder / variant.name).string());
    try {
      io::job job = replay_job(one, source);
      require_own(job);
      io::job elsewhere = job;
      elsewhere.run.dir.clear();
      const auto [same, is_new] = name_of_job.emplace(io::job_text(elsewhere), variant.name);
      if (!is_new) {
        throw usage_error("{} and {} are the same job: keep one", same->second, variant.name);
      }
      planned.push_back({std::move(variant), std::move(job)});
    } catch (const usage_error& failure) {
      throw usage_error("variant {}: {}", variant.name, failure.what());
    }
  }
  return planned;
}

std::optional<io::run_status> status_of(const planned_variant& variant) {
  const fs::path root = variant.job.run.dir;
  return fs::exists(root / "attempt") ? std::optional(io::read_run_status(root)) : std::nullopt;
}

namespace {

/// Signals that ask for a stop, and the end of a child, blocked and waited for.
class sweep_signals {
public:
  sweep_signals() {
    sigaddset(&set_, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  ~sweep_signals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  sweep_signals(const sweep_signals&) = delete;
  sweep_signals& operator=(const sweep_signals&) = delete;

  /// As before, in a child.
  void restore() const { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  siginfo_t wait() const {
    siginfo_t info{};
    ::sigwaitinfo(&set_, &info);
    return info;
  }

private:
  sigset_t set_ = actors::signals_to_stop(), before_{};
};

/// Runs a variant in a child, and hands it what this process is asked for; what a terminal sends reaches it by itself.
class variant_process {
public:
  variant_process(const sweep_signals& signals, const io::job& job, const std::function<int(const io::job&)>& run)
      : signals_(signals) {
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) {
      throw error(errc::io_failure, "cannot start a process: {}", std::strerror(errno));
    }
    if (pid_ == 0) {
      become(job, run);
    }
  }

  /// Its exit status. `stopping`: somebody has asked for a stop.
  int wait(bool& stopping) const {
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      const siginfo_t info = signals_.wait();
      if (info.si_signo != SIGCHLD) {
        stopping = true;
        if (info.si_code <= 0) {  // from a process, not from the terminal
          ::kill(pid_, info.si_signo);
        }
      }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : exit_failed;
  }

private:
  [[noreturn]] void become(const io::job& job, const std::function<int(const io::job&)>& run) const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // or the same sweep, called again, would find the variant in use
    signals_.restore();
    int status = exit_failed;
    try {
      status = run(job);
    } catch (const std::exception& failure) {
      process_console()->say(weight::trouble, fmt::format("troupe replay: {}", printable(failure.what())));
    }
    std::fflush(nullptr);
    std::_Exit(status);
  }

  const sweep_signals& signals_;
  pid_t pid_ = -1;
};

}  // namespace

int run_sweep(const std::vector<planned_variant>& variants, const std::function<int(const io::job&)>& run) {
  const sweep_signals signals;
  bool stopping = false;
  int result = exit_ok;
  for (size_t i = 0; i < variants.size() && !stopping; ++i) {
    const planned_variant& next = variants[i];
    if (const auto status = status_of(next); status && status->state == io::run_state::finished) {
      continue;
    }
    spdlog::info("variant {} of {}: {}", i + 1, variants.size(), next.variant.name);
    const int status = variant_process(signals, next.job, run).wait(stopping);
    if (status == exit_stopped) {
      stopping = true;
    } else if (status != exit_ok) {
      spdlog::warn("variant {} failed; the sweep goes on", next.variant.name);
      result = exit_failed;
    }
  }
  return stopping ? exit_stopped : result;
}

fs::path write_sweep_array(const fs::path& folder, const std::vector<planned_variant>& variants) {
  const fs::path jobs = folder / "jobs";
  io::make_folder(jobs);
  for (size_t i = 0; i < variants.size(); ++i) {
    io::write_file_atomically(jobs / fmt::format("{}.ini", i), io::job_text(variants[i].job));
  }
  const fs::path script = folder / "sweep.sbatch";
  std::vector<io::job> all;
  submit_request request;
  for (const planned_variant& one : variants) {
    all.push_back(one.job);
    if (one.job.place.device == io::device_choice::cuda) {
      request.gpus_per_node = std::max(request.gpus_per_node, one.job.place.ranks);
    }
  }
  const batch_job batch = plan_batch_array(all, request);
  io::write_file_atomically(script, batch_script(batch, {.name = "troupe-replay",
                                                         .run_dir = folder.string(),
                                                         .program = fs::read_symlink("/proc/self/exe").string(),
                                                         .folder = fs::current_path().string(),
                                                         .command = {jobs.string()},
                                                         .array = static_cast<int64_t>(variants.size()),
                                                         .by = "troupe replay",
                                                         .file = "sweep.sbatch"}));
  return script;
}

}  // namespace troupe
