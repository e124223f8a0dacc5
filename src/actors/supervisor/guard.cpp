#include "actors/supervisor/guard.hpp"

#include "actors/control/control_channel.hpp"
#include "actors/hosts/allocation.hpp"
#include "actors/hosts/child_process.hpp"
#include "actors/hosts/host_probe.hpp"
#include "actors/models/plan_options.hpp"
#include "base/error.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <thread>

namespace troupe::actors {

namespace {

using namespace std::chrono_literals;

constexpr auto patience_at_start = 30s;
constexpr auto patience_with_script = 3s;  // the end of the batch script ends the guards too
constexpr auto between_guards = 2s;
constexpr auto patience_with_answer = 1200ms;
constexpr int questions = 3;
constexpr int tries = 15;

/// Returns when the supervisor is out of reach. False: it never was within.
bool watch_supervisor(caf::actor_system& system, const guard_settings& settings, std::chrono::milliseconds patience) {
  try {
    const caf::actor supervisor = connect(system, settings.host, settings.port, patience);
    caf::scoped_actor self(system);
    self->monitor(supervisor);
    self->receive([](const caf::down_msg&) {});
    return true;
  } catch (const error& failure) {
    spdlog::warn("guard: {}", failure.what());
    return false;
  }
}

/// Errors  io_failure: Slurm's controller cannot be asked.
bool host_answers(const std::string& host) {
  const auto port = slurmd_port(output_of(config_command(10s)));
  if (!port) {
    return false;
  }
  host_probe probe({host}, *port);
  for (int i = 0; i < questions && !probe.answered(host); ++i) {
    probe.start();
    probe.wait(patience_with_answer);
  }
  return probe.answered(host);
}

int64_t order() {
  const char* rank = std::getenv("SLURM_PROCID");
  return rank == nullptr ? 0 : std::strtol(rank, nullptr, 10);
}

/// True: the batch host is alive, so nothing is to be done.
bool requeue_unless_host_answers(const guard_settings& settings, const allocation& given) {
  std::this_thread::sleep_for(patience_with_script + order() * between_guards);
  for (int i = 0; i < tries; ++i) {
    try {
      if (host_answers(settings.node)) {
        return true;
      }
      spdlog::warn("guard: host {} is gone, job {} goes back into the queue", settings.node, given.job_id);
      output_of(requeue_command(given));
      return false;
    } catch (const error& failure) {  // slurmctld is busy with the job, or this host is the one that is cut off
      spdlog::warn("guard: {}", failure.what());
      std::this_thread::sleep_for(patience_with_script);
    }
  }
  return false;
}

}  // namespace

void run_guard(const guard_settings& settings) {
  const auto given = read_allocation(current_environment());
  if (!given) {
    return;
  }
  if (settings.port == 0) {
    requeue_unless_host_answers(settings, *given);
    return;
  }
  const io::run_directory run = io::run_directory::open(settings.run);
  control_config config(run.root() / "control", silence_of(io::load_job(run.job().string()).recovery));
  caf::actor_system system(config);
  bool reached = watch_supervisor(system, settings, patience_at_start);
  // On a busy machine the supervisor may only have been late with a sign of life: then it is there again.
  while (requeue_unless_host_answers(settings, *given) && reached) {
    reached = watch_supervisor(system, settings, patience_with_script);
  }
  std::_Exit(0);  // nothing is to be kept
}

}  // namespace troupe::actors
