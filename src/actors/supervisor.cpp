#include "actors/supervisor.hpp"

#include "actors/guarded.hpp"

#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace troupe::actors {

using namespace std::chrono_literals;

static double seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

supervisor_actor::behavior_type supervisor(supervisor_actor::stateful_pointer<supervisor_state> self,
                                           supervisor_settings settings) {
  return self->state.make_behavior(std::move(settings));
}

supervisor_actor::behavior_type supervisor_state::make_behavior(supervisor_settings settings) {
  settings_.emplace(std::move(settings));
  // Before anything that may throw, a damaged ledger above all: else nobody would hear how the run ended.
  self_->set_exception_handler([this](std::exception_ptr& failure) -> caf::error {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      finish({outcome::failed, e.what()});
    }
    return caf::exit_reason::user_shutdown;
  });
  self_->set_down_handler([this](const caf::down_msg& down) {
    if (!over_ && !result_ && stage_ && down.source == stage_->address()) {
      condemn(io::ledger_kind::worker_failed, "the connection to it was lost");
    }
  });
  ledger_.emplace(settings_->run);
  for (const io::ledger_event& event : io::read_ledger(settings_->run.ledger())) {
    if (event.kind == io::ledger_kind::phase_finished) {
      finished_phases_.insert(event.phase);
    }
  }
  return {
      [this](run_atom) {
        append(io::ledger_kind::run_started, {{"pid", int64_t{::getpid()}}});
        start_attempt();
        self_->delayed_send(self_, 100ms, tick_atom_v);
      },
      [this](const hello& words) { return welcome(words); },
      [this](beat_atom, const beat& sign) { note_beat(sign); },
      [this](note_atom, const std::string& kind, const std::string& phase, uint64_t counter, const std::string& text) {
        note_event(kind, phase, counter, text);
      },
      [this](const attempt_result& result) { note_result(result); },
      [this](stop_atom, int32_t signal) { request_stop(signal); },
      [this](exited_atom, uint64_t attempt, int32_t status) { note_exit(attempt, status); },
      [this](tick_atom) {
        look_at_deadlines();
        if (!over_) {
          self_->delayed_send(self_, 100ms, tick_atom_v);
        }
      },
  };
}

void supervisor_state::start_attempt() {
  try {
    child_.reset();
    settings_->run.clean_up();
    attempt_ = static_cast<uint64_t>(settings_->run.begin_attempt());
    stage_ = nullptr;
    director_ = nullptr;
    result_.reset();
    failure_.clear();
    pulse_ = 0;
    operation_ = "start";
    started_ = last_progress_ = clock::now();
    append(io::ledger_kind::attempt_started, {{"ranks", settings_->job.place.ranks}});
    child_ = std::make_unique<child_process>(
        settings_->command(attempt_),
        [target = caf::actor_cast<supervisor_actor>(self_), attempt = attempt_](int status) {
          caf::anon_send(target, exited_atom_v, attempt, int32_t{status});
        });
  } catch (const std::exception& failure) {
    finish({outcome::failed, failure.what()});
  }
}

caf::result<note_atom> supervisor_state::welcome(const hello& words) {
  if (words.attempt != attempt_ || over_ || !failure_.empty()) {
    return caf::make_error(caf::sec::runtime_error, static_cast<int32_t>(errc::interrupted),
                           fmt::format("attempt {} is over", words.attempt));
  }
  stage_ = words.stage;
  self_->monitor(stage_);
  last_progress_ = clock::now();
  director_settings plan{.job = settings_->job,
                         .run = settings_->run,
                         .attempt = attempt_,
                         .finished_phases = finished_phases_,
                         .stage = caf::actor_cast<stage_actor>(stage_),
                         .metrics = settings_->metrics,
                         .supervisor = caf::actor_cast<caf::actor>(self_)};
  director_ = self_->spawn(director, std::move(plan));
  if (failed_ != clock::time_point{}) {
    append(io::ledger_kind::recovered, {{"seconds", seconds(clock::now() - failed_)}});
    failed_ = {};
  }
  if (stop_signal_ != 0) {
    self_->send(director_, stop_atom_v);
  }
  return note_atom_v;
}

void supervisor_state::note_beat(const beat& sign) {
  if (sign.attempt == attempt_ && (sign.pulse != pulse_ || sign.operation == "idle")) {
    pulse_ = sign.pulse;
    last_progress_ = clock::now();
  }
  operation_ = sign.operation;
}

void supervisor_state::note_event(const std::string& kind, const std::string& phase, uint64_t counter,
                                  const std::string& text) {
  io::ledger_event event{
      .attempt = static_cast<int64_t>(attempt_), .phase = phase, .counter = static_cast<int64_t>(counter)};
  event.kind = io::ledger_kind::note;
  for (const auto known :
       {io::ledger_kind::checkpoint, io::ledger_kind::checkpoint_damaged, io::ledger_kind::checkpoint_failed,
        io::ledger_kind::phase_started, io::ledger_kind::phase_finished, io::ledger_kind::stopped}) {
    if (kind == io::to_string(known)) {
      event.kind = known;
    }
  }
  if (!text.empty()) {
    event.fields.emplace_back("text", text);
  }
  ledger_->append(event);
  if (event.kind == io::ledger_kind::checkpoint || event.kind == io::ledger_kind::phase_finished) {
    failures_in_a_row_ = 0;
  }
  if (event.kind == io::ledger_kind::phase_finished) {
    finished_phases_.insert(phase);
  }
}

void supervisor_state::note_result(const attempt_result& result) {
  if (!failure_.empty()) {
    return;  // condemned meanwhile: what the plan says of a dead worker is only an echo
  }
  if (result.outcome == outcome::failed && result.code == static_cast<int32_t>(errc::lost_peer)) {
    condemn(io::ledger_kind::worker_failed, result.text);
    return;
  }
  result_ = result;
  if (stage_) {
    self_->send(caf::actor_cast<stage_actor>(stage_), quit_atom_v);
  }
  last_progress_ = clock::now();
}

void supervisor_state::note_exit(uint64_t attempt, int32_t wait_status) {
  if (attempt != attempt_ || over_) {
    return;
  }
  const bool clean = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
  if (result_ && failure_.empty()) {
    append(io::ledger_kind::attempt_finished, {{"exit", describe_exit(wait_status)}});
    finish({result_->outcome, result_->text});
    return;
  }
  if (failure_.empty()) {
    condemn(io::ledger_kind::worker_failed, clean ? "it ended before its work was done" : describe_exit(wait_status));
  }
  restart_or_give_up();
}

void supervisor_state::condemn(io::ledger_kind kind, const std::string& reason) {
  if (!failure_.empty() || over_) {
    return;
  }
  failure_ = reason;
  failed_ = clock::now();
  append(kind, {{"rank", int64_t{0}}, {"operation", operation_}, {"reason", reason}});
  spdlog::warn("worker failed during \"{}\": {}", operation_, reason);
  dismiss_director();
  if (child_) {
    child_->signal(SIGKILL);
  }
}

void supervisor_state::dismiss_director() {
  if (director_) {
    self_->send_exit(director_, caf::exit_reason::user_shutdown);
    director_ = nullptr;
  }
}

void supervisor_state::restart_or_give_up() {
  ++failures_in_a_row_;
  if (stop_signal_ != 0) {
    finish({outcome::stopped, "stopped; the worker failed meanwhile: " + failure_});
    return;
  }
  if (failures_in_a_row_ > settings_->job.recovery.restarts) {
    finish({outcome::failed,
            fmt::format("the worker failed {} times without a new checkpoint, last: {}. The run can be resumed "
                        "from its last checkpoint once the cause is found (recovery.restarts = {})",
                        failures_in_a_row_, failure_, settings_->job.recovery.restarts)});
    return;
  }
  spdlog::info("restarting from the last checkpoint ({} of {} tries)", failures_in_a_row_,
               settings_->job.recovery.restarts);
  start_attempt();
}

void supervisor_state::request_stop(int32_t signal) {
  if (stop_signal_ != 0 || over_) {
    return;
  }
  stop_signal_ = signal;
  spdlog::info("stopping at the next boundary (signal {})", signal);
  if (director_) {
    self_->send(director_, stop_atom_v);
  } else if (!stage_) {
    condemn(io::ledger_kind::stopped, "stopped before the worker was ready");
  }
}

double supervisor_state::seconds_since_beat() const { return seconds(clock::now() - last_progress_); }

void supervisor_state::look_at_deadlines() {
  if (over_ || !failure_.empty() || !child_) {
    return;
  }
  const io::recovery_section& limits = settings_->job.recovery;
  const double silence = seconds_since_beat();
  const char* wait_for = nullptr;
  double limit = 0;
  if (!stage_) {
    wait_for = "its first word";
    limit = limits.start_deadline_s;
  } else if (result_) {
    wait_for = "its end";
    limit = limits.stop_deadline_s;
  } else {
    wait_for = "progress";
    limit = limits.worker_deadline_s;
  }
  if (silence <= limit) {
    return;
  }
  if (result_) {  // its work is done and saved: only its end is missing
    child_->signal(SIGKILL);
    last_progress_ = clock::now();
    return;
  }
  condemn(io::ledger_kind::worker_hung, fmt::format("waited {:.1f} s for {} of rank 0 (pid {}, in \"{}\")", silence,
                                                    wait_for, child_->pid(), operation_));
}

void supervisor_state::finish(run_result result) {
  if (over_) {
    return;
  }
  over_ = true;
  const auto kind = result.outcome == outcome::finished  ? io::ledger_kind::run_finished
                    : result.outcome == outcome::stopped ? io::ledger_kind::stopped
                                                         : io::ledger_kind::run_failed;
  std::vector<std::pair<std::string, key_value>> fields;
  if (!result.text.empty()) {
    fields.emplace_back("reason", result.text);
  }
  if (result.outcome == outcome::stopped) {
    fields.emplace_back("signal", int64_t{stop_signal_});
  }
  try {
    append(kind, std::move(fields));
  } catch (const std::exception& failure) {  // a full disk must not hide how the run ended
    spdlog::error("{}", failure.what());
  }
  settings_->on_end(std::move(result));
  child_.reset();
  dismiss_director();
  self_->quit();
}

void supervisor_state::append(io::ledger_kind kind, std::vector<std::pair<std::string, key_value>> fields) {
  if (!ledger_) {  // it could not be opened, which is why the run ends
    return;
  }
  ledger_->append({.kind = kind, .attempt = static_cast<int64_t>(attempt_), .fields = std::move(fields)});
}

}  // namespace troupe::actors
