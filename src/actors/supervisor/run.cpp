#include "actors/supervisor/run.hpp"

#include "actors/control/control_channel.hpp"
#include "actors/control/control_place.hpp"
#include "actors/hosts/child_process.hpp"
#include "actors/hosts/launcher.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "actors/supervisor/run_claim.hpp"
#include "actors/supervisor/stop_signals.hpp"
#include "base/error.hpp"
#include "base/host_name.hpp"
#include "io/files/atomic_file.hpp"
#include "io/run/job_of_run.hpp"
#include "io/run/ledger.hpp"

#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <utility>

namespace troupe::actors {

namespace {

constexpr std::chrono::minutes patience_with_former_supervisor{5};  // leases of NFS locks take 1.5, of Lustre's up to 2

/// The allocation that this process is in, if any.
/// Errors  bad_argument: its environment is that of a job that is over.
std::optional<allocation> own_allocation() {
  std::optional<allocation> given = read_allocation(current_environment());
  if (given && is_over(output_of(state_command(*given)))) {
    throw error(errc::bad_argument,
                "SLURM_JOB_ID = {}: this job is over, and this shell has only its environment. Start another job, or, "
                "for ranks on this machine, unset SLURM_JOB_ID and SLURM_JOB_NODELIST first",
                given->job_id);
  }
  return given;
}

/// The run's lock; waited for where the job was requeued, since its former supervisor may still seem to live. None: in
/// vain.
std::optional<io::run_lock> take_lock(const io::run_directory& run, const std::optional<allocation>& given,
                                      stop_signals& signals) {
  if (!given || given->restarts == 0) {
    return std::optional<io::run_lock>(std::in_place, run);
  }
  return claim_run(run, patience_with_former_supervisor,
                   [&](std::chrono::milliseconds time) { return signals.sleep(time); });
}

/// The job that the run goes on with. A finished phase that it makes longer is open again: the ledger says so before
/// the run has the job, so that it is never taken for finished with the new length.
void take_job(const io::run_directory& run, const io::job& job) {
  if (!std::filesystem::exists(run.job())) {
    for (const std::string& note : io::notes_on_division(job)) {
      spdlog::info("{}", note);
    }
  }
  for (const io::phase longer : io::require_same_job(run, job)) {
    io::ledger_writer(run).append({.kind = io::ledger_kind::phase_reopened,
                                   .attempt = run.attempt(),
                                   .phase = std::string(io::to_string(longer))});
    spdlog::info("{}: finished before, and longer now: it goes on", io::to_string(longer));
  }
  io::write_file_atomically(run.job(), io::job_text(job));
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

/// The head of what a run says: what it is, and where.
std::string head_line(const io::job& job, const io::run_directory& run, const std::optional<allocation>& given) {
  const io::place_section& place = job.place;
  std::vector<std::string> phases;
  for (const io::phase phase : job.run.phases) {
    phases.emplace_back(io::to_string(phase));
  }
  const int64_t threads = job.run.threads;
  return fmt::format("troupe {}, run {}, {} rank{}{}, {}{}, phase{} {}", TROUPE_VERSION, run.root().string(),
                     place.ranks, place.ranks == 1 ? "" : "s",
                     given ? fmt::format(" on {} node(s)", given->hosts.size()) : "",
                     threads > 0 ? fmt::format("{} thread{}", threads, threads == 1 ? "" : "s") : "the cores' threads",
                     place.ranks > 1 ? " each" : "", phases.size() == 1 ? "" : "s", fmt::join(phases, ", "));
}

bool is_ready(const std::future<run_result>& result) {
  return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

/// Until the supervisor has said how the run ends; or it has ended without a word, or the network by which it reaches
/// the ranks, for lack of memory.
run_result await_end(last_word& supervisor, last_word& network, std::future<run_result>& result) {
  while (!is_ready(result)) {
    const auto& reason = supervisor.ended_within(std::chrono::milliseconds(50));
    if (is_ready(result)) {
      break;
    }
    if (reason) {
      throw to_troupe_error(*reason);
    }
    if (network.ended_within(std::chrono::milliseconds(0))) {
      throw error(errc::out_of_memory, "this process could not receive a message of a rank: memory has run out. The "
                                       "same command goes on from the last checkpoint");
    }
  }
  supervisor.wait();
  return result.get();
}

/// `system` is the caller's to take down.
run_result supervise(const run_settings& settings, const io::run_directory& run, const std::optional<allocation>& given,
                     caf::actor_system& system, stop_signals& signals) {
  const auto on_metrics = system.spawn(
      metrics, metrics_settings{.run = run, .words = settings.words, .log_every = settings.job.run.log_every});
  const auto ended = std::make_shared<std::promise<run_result>>();
  std::future<run_result> result = ended->get_future();
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
          .words = settings.words,
          .on_end = [ended](run_result r) { ended->set_value(std::move(r)); }});
  last_word supervisors(caf::actor_cast<caf::actor>(on_duty));
  last_word networks(network_of(system));
  lines->port = publish(caf::actor_cast<caf::actor>(on_duty), place.address, place.port);
  caf::anon_send(on_duty, run_atom_v);
  signals.send_to([on_duty](int number) { caf::anon_send(on_duty, stop_atom_v, int32_t{number}); });
  run_result how = await_end(supervisors, networks, result);
  signals.send_to({});
  withdraw(caf::actor_cast<caf::actor>(on_duty));
  caf::anon_send_exit(on_metrics, caf::exit_reason::user_shutdown);
  return how;
}

}  // namespace

run_result run_job(const run_settings& settings) {
  stop_signals signals;
  const io::run_directory run = io::run_directory::open_or_create(settings.job.run.dir);
  const std::optional<allocation> given = own_allocation();
  const std::optional<io::run_lock> lock = take_lock(run, given, signals);
  if (!lock) {
    return {outcome::stopped, fmt::format("{} is still locked by another troupe", run.root().string())};
  }
  take_job(run, settings.job);
  create_credentials(run.control());
  run.note_slurm_job(given ? given->job_id : "");

  const std::string head = head_line(settings.job, run, given);
  const std::time_t now = std::time(nullptr);
  settings.words->keep_log(run.log().string(), fmt::format("== {:%Y-%m-%d %H:%M:%S}", fmt::localtime(now)));
  settings.words->say(weight::detail, head);

  auto config =
      std::make_unique<control_config>(run.control(), silence_of(settings.job.recovery), silent_peer::is_kept);
  auto system = begin_system(*config);
  try {
    return supervise(settings, run, given, *system, signals);
  } catch (...) {
    // Taking down the actor system would wait for ever for an actor that has never begun, for lack of a thread.
    signals.send_to({});
    static_cast<void>(system.release());
    static_cast<void>(config.release());
    throw to_troupe_error(std::current_exception());
  }
}

}  // namespace troupe::actors
