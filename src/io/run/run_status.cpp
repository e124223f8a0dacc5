#include "io/run/run_status.hpp"

#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/files/paths.hpp"
#include "io/job/phases.hpp"
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/phases_begun.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t records_of_rate = 20;  // recent enough to follow a change, long enough to even out

std::string text_field(const ledger_event& event, std::string_view name) {
  for (const auto& [key, value] : event.fields) {
    const auto* const text = std::get_if<std::string>(&value);
    if (key == name && text != nullptr) {
      return *text;
    }
  }
  return "";
}

double number_field(const ledger_event& event, std::string_view name, double fallback) {
  for (const auto& [key, value] : event.fields) {
    if (key != name) {
      continue;
    }
    if (const auto* const integer = std::get_if<int64_t>(&value)) {
      return static_cast<double>(*integer);
    }
    if (const auto* const real = std::get_if<double>(&value)) {
      return *real;
    }
  }
  return fallback;
}

bool is_failure(ledger_kind kind) {
  return kind == ledger_kind::worker_failed || kind == ledger_kind::worker_hung ||
         kind == ledger_kind::checkpoint_damaged || kind == ledger_kind::checkpoint_failed;
}

run_failure failure_of(const ledger_event& event) {
  std::string reason = text_field(event, "reason");
  return {.time = event.time,
          .attempt = event.attempt,
          .kind = to_string(event.kind),
          .rank = static_cast<int64_t>(number_field(event, "rank", -1)),
          .host = text_field(event, "host"),
          .card = static_cast<int64_t>(number_field(event, "card", -1)),
          .actor = text_field(event, "actor"),
          .operation = text_field(event, "operation"),
          .reason = reason.empty() ? text_field(event, "text") : std::move(reason)};
}

void note_recovery(std::vector<run_failure>& failures, double seconds) {
  for (auto failure = failures.rbegin(); failure != failures.rend(); ++failure) {
    if (failure->kind == to_string(ledger_kind::worker_failed) ||
        failure->kind == to_string(ledger_kind::worker_hung)) {
      failure->recovered_s = seconds;
      return;
    }
  }
}

/// Of a phase that begins; a ledger of an earlier version does not say.
std::optional<int64_t> total_told(const ledger_event& event) {
  const auto total = static_cast<int64_t>(number_field(event, "total", 0));
  return total > 0 ? std::optional(total) : std::nullopt;
}

/// What the events say one after another; the state as they leave it, had no supervisor the lock.
void add_event(run_status& status, const ledger_event& event) {
  switch (event.kind) {
  case ledger_kind::run_started:
  case ledger_kind::attempt_started:
    status.state = run_state::interrupted;
    status.reason.clear();
    if (event.kind == ledger_kind::attempt_started) {
      status.ranks = static_cast<int64_t>(number_field(event, "ranks", 0));
      status.hosts = text_field(event, "hosts");
      status.launcher = text_field(event, "launcher");
    }
    break;
  case ledger_kind::phase_started:
    status.phase = event.phase;
    status.total = total_told(event);
    break;
  case ledger_kind::phase_reopened:
    status.phase = event.phase;
    break;
  case ledger_kind::recovered:
    ++status.recoveries;
    note_recovery(status.last_failures, number_field(event, "seconds", -1));
    break;
  case ledger_kind::run_finished:
  case ledger_kind::run_failed:
  case ledger_kind::stopped:
    status.state = event.kind == ledger_kind::run_finished ? run_state::finished
                   : event.kind == ledger_kind::run_failed ? run_state::failed
                                                           : run_state::stopped;
    status.reason = text_field(event, "reason");
    break;
  case ledger_kind::host_suspected:  // what follows from failures, listed with them
  case ledger_kind::card_suspected:
    status.last_failures.push_back(failure_of(event));
    break;
  default:
    if (is_failure(event.kind)) {
      ++status.failures;
      status.last_failures.push_back(failure_of(event));
    }
  }
}

/// Of the phase under way, from its records in metrics.jsonl.
void add_progress(run_status& status, const fs::path& metrics) {
  if (!is_there(metrics)) {
    return;
  }
  const std::vector<metrics_record> records = read_metrics(metrics);
  std::vector<const metrics_record*> recent;  // newest first
  for (auto record = records.rbegin(); record != records.rend() && recent.size() <= records_of_rate; ++record) {
    if (record->phase == status.phase && (recent.empty() || record->attempt == recent.front()->attempt)) {
      recent.push_back(&*record);
    }
  }
  if (recent.empty()) {
    return;
  }
  const metrics_record& last = *recent.front();
  const metrics_record& first = *recent.back();
  status.unit = last.iteration >= 0 ? "iteration" : "update";
  status.counter = last.counter();
  status.last_record = last.time;
  if (last.counter() > first.counter() && last.time > first.time) {
    status.per_second = static_cast<double>(last.counter() - first.counter()) / (last.time - first.time);
  }
}

void add_job(run_status& status, const run_directory& run) {
  if (!is_there(run.job())) {
    return;  // the supervisor writes it after it has taken the folder
  }
  const job settings = run.recorded_job();
  for (const phase planned : settings.run.phases) {
    status.phases.emplace_back(to_string(planned));
  }
  const std::optional<phase> now = phase_of(status.phase);
  if (const auto total = now ? length_of(settings, *now) : std::nullopt) {  // else a phase that goes by epochs
    status.total = total;
  }
}

/// The best one may have been damaged or removed since.
std::optional<best_checkpoint> best_of(const run_directory& run, const checkpoint_manifest& newest) {
  const int64_t counter = get_int(newest.counters, "best", -1);
  const fs::path folder = checkpoint_folder(run.checkpoints(), newest.phase, newest.unit, counter);
  if (counter < 0 || !is_there(folder / "manifest.json")) {
    return std::nullopt;
  }
  return best_checkpoint{.folder = folder.lexically_relative(run.root()).string(),
                         .metric = get_text(newest.counters, "best_metric", ""),
                         .value = get_double(newest.counters, "best_value", 0)};
}

void add_checkpoint(run_status& status, const run_directory& run) {
  for (const fs::directory_entry& phase : entries_of(run.checkpoints())) {
    for (const found_checkpoint& found : list_checkpoints(run.checkpoints(), phase.path().filename().string())) {
      struct stat written {};
      if (::stat((found.folder / "manifest.json").c_str(), &written) != 0) {
        continue;  // pruned meanwhile
      }
      const double time =
          static_cast<double>(written.st_mtim.tv_sec) + 1e-9 * static_cast<double>(written.st_mtim.tv_nsec);
      if (!status.checkpoint || status.checkpoint->time < time) {
        status.best = best_of(run, found.manifest);
        status.checkpoint = {.folder = found.folder.lexically_relative(run.root()).string(),
                             .phase = found.manifest.phase,
                             .unit = found.manifest.unit,
                             .counter = found.manifest.counter,
                             .time = time};
      }
    }
  }
}

}  // namespace

const char* to_string(run_state state) {
  constexpr std::array names = {"running", "finished", "stopped", "failed", "interrupted", "not started"};
  return names.at(static_cast<size_t>(state));
}

std::string lock_holder(const run_directory& run) {
  const int lock = ::open(run.lock().c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) {
    if (errno == ENOENT) {
      return "";  // nobody ever had it
    }
    throw error(errc::io_failure, "cannot open {}: {}", run.lock().string(), std::strerror(errno));
  }
  const bool held = is_locked(lock);
  std::string text(512, '\0');
  const ssize_t count = held ? ::pread(lock, text.data(), text.size(), 0) : 0;
  ::close(lock);
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  text.erase(text.find_last_not_of('\n') + 1);
  return held && text.empty() ? "a process that has not written its name" : text;
}

run_status read_run_status(const fs::path& root, size_t most_failures) {
  const run_directory run = run_directory::open(root);
  run_status status{.root = root};
  // Before the ledger: what ends between the two is then shown as ended, with the reason there.
  status.holder = lock_holder(run);
  status.slurm_job = run.slurm_job();
  for (const fs::path& log : {run.log(), run.root() / ("slurm-" + status.slurm_job + ".log")}) {
    if (is_there(log)) {
      status.logs.push_back(log);
    }
  }
  status.attempt = run.attempt();
  phases_begun phases;
  for (const ledger_event& event : read_ledger(run.ledger())) {
    add_event(status, event);
    phases.note(event);
  }
  for (const phase finished : phases.finished()) {
    status.finished_phases.emplace_back(to_string(finished));
  }
  if (status.last_failures.size() > most_failures) {
    status.last_failures.erase(status.last_failures.begin(),
                               status.last_failures.end() - static_cast<ptrdiff_t>(most_failures));
  }
  if (!status.holder.empty() && (status.state == run_state::interrupted || status.state == run_state::not_started)) {
    status.state = run_state::running;
  }
  add_progress(status, run.metrics());
  add_job(status, run);
  const std::optional<phase> now = phase_of(status.phase);
  if (status.total && status.per_second && now && !phases.finished(*now)) {
    status.seconds_left =
        static_cast<double>(std::max<int64_t>(0, *status.total - status.counter)) / *status.per_second;
  }
  add_checkpoint(status, run);
  return status;
}

}  // namespace troupe::io
