#include "actors/stage/worker.hpp"

#include "actors/cast/device.hpp"
#include "actors/control/control_channel.hpp"
#include "actors/control/lifeline.hpp"
#include "actors/hosts/launcher.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/protocol/task.hpp"
#include "actors/protocol/type_ids.hpp"
#include "actors/stage/stage.hpp"
#include "base/host_name.hpp"
#include "engine/cards/local_card.hpp"
#include "engine/parallel/communicator.hpp"
#include "io/run/run_directory.hpp"

#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace troupe::actors {

namespace {

using namespace std::chrono_literals;

/// In which the supervisor hears, on the control channel, why a stage has ended.
constexpr std::chrono::milliseconds time_for_a_word = 300ms;

constexpr int exit_dismissed = 0;
constexpr int exit_failed = 1;
constexpr int exit_lost_supervisor = 3;

/// The kernel ends this process with the one that started it: the supervisor, or the launcher, which the supervisor
/// ends. That the supervisor of another host is gone, the control channel tells.
void die_with_parent(pid_t supervisor) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (supervisor != 0 && ::getppid() != supervisor) {  // it died before the line above
    std::_Exit(exit_lost_supervisor);
  }
}

/// The most memory that this process held: what `troupe plan` predicted.
void log_peak() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  constexpr double bytes_per_unit = 1024;  // ru_maxrss is in KiB
  spdlog::info("peak memory of this worker: {:.0f} MB", static_cast<double>(usage.ru_maxrss) * bytes_per_unit / 1e6);
}

std::vector<activity> activities_of(device& on) {
  std::vector<activity> busy;
  for (size_t i = 0; i < roles; ++i) {
    const pulse& signs = on.pulses[i];
    if (const char* operation = signs.operation(); operation != nullptr) {
      busy.push_back({.actor = to_string(static_cast<role>(i)),
                      .operation = operation,
                      .pulse = signs.count(),
                      .waits = signs.waits()});
    }
  }
  return busy;
}

/// Sends beats from a thread of its own, so that a blocked scheduler cannot silence them.
class beat_sender {
public:
  beat_sender(caf::actor supervisor, uint64_t attempt, int rank, device_ptr on)
      : thread_([this, supervisor = std::move(supervisor), attempt, rank, on = std::move(on)] {
          while (!stop_.load()) {
            caf::anon_send(supervisor, beat_atom_v, beat{.attempt = attempt, .rank = rank, .busy = activities_of(*on)});
            std::this_thread::sleep_for(100ms);
          }
        }) {}
  ~beat_sender() {
    stop_.store(true);
    thread_.join();
  }
  beat_sender(const beat_sender&) = delete;
  beat_sender& operator=(const beat_sender&) = delete;

private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// Whether only its silence would tell that the supervisor is gone: of a process on the same host the kernel tells.
bool is_far_from_supervisor(const worker_settings& settings) {
  return settings.supervisor_pid == 0 && read_allocation(current_environment());
}

struct worker_end {
  int code = exit_dismissed;
  std::string reason;  ///< of a failure
};

/// Waits until the stage has ended (dismissed, or an actor of its cast has failed) or the supervisor is gone.
worker_end wait_for_end(caf::scoped_actor& self, const caf::actor& supervisor, const caf::actor& lifeline,
                        const stage_actor& stage) {
  self->monitor(supervisor);
  if (lifeline) {
    self->monitor(lifeline);
  }
  self->monitor(stage);
  worker_end end;
  self->receive([&](const caf::down_msg& down) {
    if (down.source != stage.address()) {
      end.code = exit_lost_supervisor;
    } else if (down.reason && down.reason != caf::exit_reason::normal) {
      end = {.code = exit_failed, .reason = to_troupe_error(down.reason).what()};
    }
  });
  return end;
}

/// The launcher's standard error takes the reason to the supervisor's log (last_words.hpp).
[[noreturn]] void fail(int32_t rank, const std::string& reason) {
  std::fprintf(stderr, "troupe worker: rank %d: %s\n", rank, reason.c_str());
  std::fflush(stderr);
  std::_Exit(exit_failed);
}

/// Tells the supervisor that this rank is there; returns its heart (lifeline.hpp). Ends the process where it is not
/// wanted.
caf::actor report(caf::scoped_actor& self, const caf::actor& supervisor, hello words) {
  caf::actor heart;
  std::optional<error> refused;
  self->request(supervisor, 30s, std::move(words))
      .receive([&](const caf::actor& beating) { heart = beating; },
               [&](const caf::error& reason) { refused = to_troupe_error(reason); });
  if (refused) {
    spdlog::warn("the supervisor refused this worker: {}", refused->what());
    std::_Exit(exit_lost_supervisor);
  }
  return heart;
}

/// Ends the process at once, whatever its threads are doing. If the host of the batch script has died, Slurm leaves
/// the job running on the others for ever: a guard takes this process's place, and puts the job back into the queue.
[[noreturn]] void leave_without_supervisor(const worker_settings& settings) {
  if (read_allocation(current_environment())) {
    ::execl("/proc/self/exe", "troupe", "guard", "--run", settings.run.c_str(), "--host", settings.host.c_str(),
            "--node", settings.node.c_str(), nullptr);
  }
  std::_Exit(exit_lost_supervisor);
}

int64_t threads_of(const worker_settings& settings) {
  return settings.job.run.threads > 0 ? settings.job.run.threads : settings.threads;
}

/// What mpirun or srun says that this process is. It is known before MPI is started, which waits for all ranks.
/// Errors  bad_argument: neither has started it.
int32_t rank_of(const worker_settings& settings) {
  if (settings.ranks == 1) {
    return 0;
  }
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(name); value != nullptr) {
      return static_cast<int32_t>(std::strtol(value, nullptr, 10));
    }
  }
  throw error(errc::bad_argument, "{} ranks are expected, but neither mpirun nor srun has started this process",
              settings.ranks);
}

/// Empty where passes compute on the host's threads.
std::function<std::unique_ptr<troupe::device>()> card_of(const io::job& job) {
  if (job.place.device != io::device_choice::cuda) {
    return {};
  }
  return [patience = patience_with_card(job.recovery)] {
    auto card = engine::open_local_card("place.device = cuda");
    card->set_patience(patience);
    return card;
  };
}

std::unique_ptr<engine::world> join_ranks(const worker_settings& settings) {
  return settings.ranks > 1
             ? engine::mpi_world(static_cast<int>(settings.ranks), patience_with_peers(settings.job.recovery))
             : engine::solo_world();
}

/// A worker whose supervisor cannot be reached may be the only one who knows that the batch host has died.
caf::actor reach_supervisor(caf::actor_system& system, const worker_settings& settings) {
  try {
    return connect(system, settings.host, settings.port, 10s);
  } catch (const error& failure) {
    spdlog::warn("{}", failure.what());
    leave_without_supervisor(settings);
  }
}

/// Everything up to the process's end. Its actor system is never taken down: that could wait for ever for an actor that
/// the supervisor watches (last_word, control_channel.hpp), or that has never begun for lack of a thread.
[[noreturn]] void work(const worker_settings& settings, int32_t rank) {
  const io::run_directory run = io::run_directory::open(settings.run);
  auto& config = *new control_config(run.control(), silence_of(settings.job.recovery), silent_peer::is_kept);
  auto& system = *begin_system(config).release();
  const auto on = std::make_shared<device>(static_cast<int>(threads_of(settings)));

  // The supervisor hears of this rank before the ranks join each other: where one is missing, all would wait for it.
  const caf::actor supervisor = reach_supervisor(system, settings);
  const stage_actor on_stage =
      system.spawn<caf::detached>(stage, stage_settings{.job = settings.job,
                                                        .run = run,
                                                        .attempt = settings.attempt,
                                                        .on = on,
                                                        .open_card = card_of(settings.job),
                                                        .join = [settings] { return join_ranks(settings); }});
  auto& self = *new caf::scoped_actor(system);
  const beat_sender beats(supervisor, settings.attempt, rank, on);
  const caf::actor heart = report(self, supervisor,
                                  {.attempt = settings.attempt,
                                   .rank = rank,
                                   .ranks = static_cast<int32_t>(settings.ranks),
                                   .host = host_name(),
                                   .pid = ::getpid(),
                                   .stage = caf::actor_cast<caf::strong_actor_ptr>(on_stage)});
  const caf::actor lifeline = is_far_from_supervisor(settings)
                                  ? spawn_lifeline(system, heart, silence_of(settings.job.recovery))
                                  : caf::actor();
  const worker_end end = wait_for_end(self, supervisor, lifeline, on_stage);
  if (end.code == exit_lost_supervisor) {
    // Something may be in the middle of a computation or of writing a file that will never be committed.
    spdlog::warn("the supervisor is gone: this worker ends");
    leave_without_supervisor(settings);
  }
  if (end.code == exit_failed) {
    std::this_thread::sleep_for(time_for_a_word);
    fail(rank, end.reason);
  }
  if (rank == 0) {
    log_peak();
  }
  spdlog::default_logger()->flush();
  // Everything that was to be kept is on disk, and MPI has ended: the process just ends.
  std::_Exit(exit_dismissed);
}

}  // namespace

void run_worker(const worker_settings& settings) {
  die_with_parent(settings.supervisor_pid);
  std::signal(SIGPIPE, SIG_IGN);  // nobody may read any more what is said here, which changes nothing
  if (settings.supervisor_pid != 0) {
    std::signal(SIGTERM, SIG_IGN);  // these are meant for the supervisor, which takes a last checkpoint first
    std::signal(SIGHUP, SIG_IGN);
  }
  int32_t rank = -1;
  try {
    rank = rank_of(settings);
    work(settings, rank);
  } catch (...) {
    fail(rank, to_troupe_error(std::current_exception()).what());
  }
}

}  // namespace troupe::actors
