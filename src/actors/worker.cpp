#include "actors/worker.hpp"

#include "actors/control_channel.hpp"
#include "actors/device.hpp"
#include "actors/stage.hpp"
#include "actors/task.hpp"
#include "actors/type_ids.hpp"
#include "io/run_directory.hpp"

#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <thread>

namespace troupe::actors {

namespace {

using namespace std::chrono_literals;

constexpr int exit_dismissed = 0;
constexpr int exit_lost_supervisor = 3;

/// On the supervisor's own host the kernel ends this process with it; elsewhere the control channel tells.
void die_with(pid_t supervisor) {
  if (supervisor == 0) {
    return;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != supervisor) {  // it died before the line above
    std::_Exit(exit_lost_supervisor);
  }
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

/// The most memory that this process held: what `troupe plan` predicted.
void log_peak() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  constexpr double bytes_per_unit = 1024;  // ru_maxrss is in KiB
  spdlog::info("peak memory of this worker: {:.0f} MB", static_cast<double>(usage.ru_maxrss) * bytes_per_unit / 1e6);
}

/// Sends beats from a thread of its own, so that a blocked scheduler cannot silence them.
class beat_sender {
public:
  beat_sender(caf::actor supervisor, uint64_t attempt, device_ptr on)
      : thread_([this, supervisor = std::move(supervisor), attempt, on = std::move(on)] {
          while (!stop_.load()) {
            beat sign{.attempt = attempt, .rank = 0, .pulse = on->pulse.count(), .operation = on->pulse.operation()};
            caf::anon_send(supervisor, beat_atom_v, std::move(sign));
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

/// Waits until the stage has ended (dismissed) or the supervisor is gone.
int wait_for_end(caf::scoped_actor& self, const caf::actor& supervisor, const stage_actor& stage) {
  self->monitor(supervisor);
  self->monitor(stage);
  int code = exit_dismissed;
  self->receive([&](const caf::down_msg& down) {
    if (down.source != stage.address()) {
      code = exit_lost_supervisor;
    }
  });
  return code;
}

}  // namespace

int run_worker(const worker_settings& settings) {
  die_with(settings.supervisor_pid);
  const io::run_directory run = io::run_directory::open(settings.run);
  control_config config(run.root() / "control");
  caf::actor_system system(config);
  const auto on = std::make_shared<device>(static_cast<int>(settings.job.run.threads));

  const caf::actor supervisor = connect(system, settings.host, settings.port, 10s);
  const stage_actor on_stage = system.spawn<caf::detached>(
      stage, stage_settings{.job = settings.job, .run = run, .attempt = settings.attempt, .on = on});
  caf::scoped_actor self(system);
  hello words{.attempt = settings.attempt,
              .rank = 0,
              .host = host_name(),
              .pid = ::getpid(),
              .stage = caf::actor_cast<caf::strong_actor_ptr>(on_stage)};
  std::optional<error> refused;
  on->pulse.begin("idle");
  const beat_sender beats(supervisor, settings.attempt, on);
  self->request(supervisor, 30s, std::move(words))
      .receive([](note_atom) {}, [&](const caf::error& reason) { refused = to_troupe_error(reason); });
  if (refused) {
    spdlog::warn("the supervisor refused this worker: {}", refused->what());
    std::_Exit(exit_lost_supervisor);
  }
  const int code = wait_for_end(self, supervisor, on_stage);
  if (code != exit_dismissed) {
    // Something may be in the middle of a computation or of writing a file that will never be committed.
    spdlog::warn("the supervisor is gone: this worker ends");
    std::_Exit(code);
  }
  log_peak();
  return code;
}

}  // namespace troupe::actors
