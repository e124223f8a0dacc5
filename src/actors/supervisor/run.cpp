#include "actors/supervisor/run.hpp"

#include "actors/control/control_channel.hpp"
#include "actors/control/control_place.hpp"
#include "actors/hosts/launcher.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/supervisor/run_claim.hpp"
#include "base/error.hpp"
#include "base/host_name.hpp"
#include "io/files/atomic_file.hpp"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <utility>

namespace troupe::actors {

namespace {

constexpr std::chrono::minutes patience_with_former_supervisor{5};  // leases of NFS locks take 1.5, of Lustre's up to 2

bool is_ignored(int number) {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

/// Signals that ask for a stop, blocked in every thread and taken by one.
class stop_signals {
public:
  stop_signals() {
    sigemptyset(&set_);
    for (const int number : {SIGTERM, SIGINT, SIGUSR1}) {
      sigaddset(&set_, number);
    }
    if (!is_ignored(SIGHUP)) {  // else nohup has started this
      sigaddset(&set_, SIGHUP);
    }
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);  // nobody may read any more what is said here, which is no reason to stop
    std::signal(SIGXFSZ, SIG_IGN);  // a file beyond `ulimit -f` is an error of that file, told as such
  }

  /// The signal that arrived within the time, or 0.
  int wait(std::chrono::milliseconds time) const {
    const timespec limit{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
    const int number = ::sigtimedwait(&set_, nullptr, &limit);
    return number > 0 ? number : 0;
  }

private:
  sigset_t set_;
};

/// The third Ctrl-C ends the run at once. That is the supervisor's to do, but it may stand still itself, on a disk that
/// does not answer: then the process ends without it, and the ranks with the process.
class impatience {
public:
  void note(int signal) {
    if (signal == SIGINT && ++interrupts_ == 3) {
      since_ = std::chrono::steady_clock::now();
    }
  }
  void end_if_over() const {
    constexpr std::chrono::seconds grace{3};
    constexpr int exit_stopped = 75;
    if (since_ && std::chrono::steady_clock::now() - *since_ > grace) {
      std::_Exit(exit_stopped);
    }
  }

private:
  int interrupts_ = 0;
  std::optional<std::chrono::steady_clock::time_point> since_;
};

/// The run's lock; waited for where the job was requeued, since its former supervisor may still seem to live. None: in
/// vain.
std::optional<io::run_lock> take_lock(const io::run_directory& run, const std::optional<allocation>& given,
                                      const stop_signals& signals) {
  if (!given || given->restarts == 0) {
    return std::optional<io::run_lock>(std::in_place, run);
  }
  return claim_run(run, patience_with_former_supervisor,
                   [&](std::chrono::milliseconds time) { return signals.wait(time) == 0; });
}

/// How the processes are started that report to this one.
struct command_lines {
  std::string program, run;
  std::string host;  ///< where the supervisor listens
  std::string node;  ///< its host's own name
  std::string wrapper;
  uint16_t port = 0;

  std::vector<std::string> of(const char* command) const {
    return {program, command, "--run", run, "--host", host, "--node", node, "--port", std::to_string(port)};
  }

  std::vector<std::string> worker(uint64_t attempt, const launch_plan& plan) const {
    const bool child = plan.kind == launcher_kind::child;
    std::vector<std::string> words = of("worker");
    words.insert(words.end(),
                 {"--supervisor-pid", std::to_string(child ? ::getpid() : 0), "--attempt", std::to_string(attempt),
                  "--ranks", std::to_string(plan.ranks), "--threads", std::to_string(plan.threads_per_rank)});
    // A child and mpirun's ranks are where this process is already.
    return plan.kind == launcher_kind::srun ? wrapped(wrapper, words) : words;
  }

  std::vector<std::string> guard() const { return wrapped(wrapper, of("guard")); }
};

}  // namespace

run_result run_job(const run_settings& settings) {
  const stop_signals signals;
  const io::run_directory run = io::run_directory::open_or_create(settings.job.run.dir);
  const std::optional<allocation> given = read_allocation(current_environment());
  const std::optional<io::run_lock> lock = take_lock(run, given, signals);
  if (!lock) {
    return {outcome::stopped, fmt::format("{} is still locked by another troupe", run.root().string())};
  }
  run.require_same_job(settings.job);
  io::write_file_atomically(run.job(), io::job_text(settings.job));
  create_credentials(run.control());

  control_config config(run.control(), silence_of(settings.job.recovery), silent_peer::is_kept);
  caf::actor_system system(config);
  const auto on_metrics = system.spawn(
      metrics,
      metrics_settings{.run = run, .terminal = ::isatty(STDERR_FILENO) == 1, .log_every = settings.job.run.log_every});
  std::promise<run_result> ended;
  std::future<run_result> result = ended.get_future();
  const control_place place = control_place_of(settings.job.recovery, given.has_value(), host_name());
  // The port is known only once the supervisor is there to be reached.
  const auto lines =
      std::make_shared<command_lines>(command_lines{.program = settings.program.string(),
                                                    .run = std::filesystem::absolute(run.root()).string(),
                                                    .host = place.host,
                                                    .node = host_name(),
                                                    .wrapper = settings.job.place.wrapper});
  // Detached: it starts processes and writes the ledger, and the kernel ties a worker's life to this thread's.
  const supervisor_actor on_duty = system.spawn<caf::detached>(
      supervisor,
      supervisor_settings{
          .job = settings.job,
          .run = run,
          .given = given,
          .command = [lines](uint64_t attempt, const launch_plan& plan) { return lines->worker(attempt, plan); },
          .guard = [lines] { return lines->guard(); },
          .metrics = on_metrics,
          .on_end = [&ended](run_result r) { ended.set_value(std::move(r)); }});
  last_word supervisors(caf::actor_cast<caf::actor>(on_duty));
  lines->port = publish(caf::actor_cast<caf::actor>(on_duty), place.address, place.port);
  caf::anon_send(on_duty, run_atom_v);

  impatience interrupts;
  while (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    if (const int number = signals.wait(std::chrono::milliseconds(50)); number != 0) {
      caf::anon_send(on_duty, stop_atom_v, int32_t{number});
      interrupts.note(number);
    }
    interrupts.end_if_over();
  }
  supervisors.wait();
  caf::anon_send_exit(on_metrics, caf::exit_reason::user_shutdown);
  return result.get();
}

}  // namespace troupe::actors
