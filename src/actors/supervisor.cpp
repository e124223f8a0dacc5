#include "actors/supervisor.hpp"

#include "actors/guarded.hpp"

#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr double patience_with_launcher_s = 1;
constexpr double patience_with_late_ranks_s = 5;
constexpr auto longest_nap = 1s;
constexpr auto patience_with_hosts = 1200ms;  // a lost first packet is sent again after a second
constexpr auto patience_with_start = 1500ms;  // then the hosts are asked whether they are still there

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
  self_->set_down_handler([this](const caf::down_msg& down) { note_lost_connection(down); });
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
      [this](retry_atom) { start_attempt(); },
      [this](tick_atom) {
        look_at_deadlines();
        if (!over_) {
          self_->delayed_send(self_, 100ms, tick_atom_v);
        }
      },
  };
}

static placement placement_of(const io::job& job) {
  return {.ranks = job.place.ranks,
          .min_nodes = job.place.min_nodes,
          .shrink = job.place.shrink,
          .lanes = job.run.lanes,
          .threads_per_rank = job.run.threads};
}

void supervisor_state::start_attempt() {
  if (over_) {
    return;
  }
  try {
    child_.reset();
    settings_->run.clean_up();
    attempt_ = static_cast<uint64_t>(settings_->run.begin_attempt());
    result_.reset();
    failure_.clear();
    probe_hosts();
    started_ = clock::now();
    const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
    plan_ = choose(settings_->given, placement_of(settings_->job), excluded_hosts(), cores);
    if (plan_.requeue) {
      finish({outcome::stopped, plan_.reason});
      return;
    }
    launch();
    keep_guards();
  } catch (const std::exception& failure) {
    finish({outcome::failed, failure.what()});
  }
}

void supervisor_state::launch() {
  ranks_.begin(plan_.ranks, started_);
  std::vector<std::pair<std::string, key_value>> fields = {{"ranks", plan_.ranks},
                                                           {"launcher", std::string(to_string(plan_.kind))}};
  if (!plan_.hosts.empty()) {
    std::string hosts;
    for (const host_share& one : plan_.hosts) {
      hosts += fmt::format("{}{}:{}", hosts.empty() ? "" : " ", one.host, one.ranks);
    }
    fields.emplace_back("hosts", hosts);
  }
  if (!plan_.reason.empty()) {
    fields.emplace_back("reason", plan_.reason);
  }
  append(io::ledger_kind::attempt_started, std::move(fields));
  const environment inherited = current_environment();
  const auto command = command_for(plan_, settings_->command(attempt_, plan_), inherited, ::geteuid() == 0);
  child_ = std::make_unique<child_process>(
      command.argv,
      [target = caf::actor_cast<supervisor_actor>(self_), attempt = attempt_](int status) {
        caf::anon_send(target, exited_atom_v, attempt, int32_t{status});
      },
      command.extra);
}

/// Guards are started once, and anew when a host is lost: with one missing, Slurm would take long to end their step.
void supervisor_state::keep_guards() {
  if (!probe_) {
    return;
  }
  std::vector<std::string> hosts = settings_->given->hosts;
  const std::set<std::string> excluded = excluded_hosts();
  std::erase_if(
      hosts, [&](const std::string& host) { return host == settings_->given->batch_host || excluded.contains(host); });
  if (hosts.empty() || hosts == guarded_) {
    return;
  }
  if (guards_) {
    guards_->signal(SIGTERM);
  }
  guards_before_ = std::move(guards_);
  guarded_ = hosts;
  guards_ = std::make_unique<child_process>(guard_command_for(hosts, settings_->guard()).argv, [](int status) {
    spdlog::debug("the guards have ended: {}", describe_exit(status));
  });
}

caf::result<note_atom> supervisor_state::welcome(const hello& words) {
  if (words.attempt != attempt_ || over_ || !failure_.empty()) {
    return caf::make_error(caf::sec::runtime_error, static_cast<int32_t>(errc::interrupted),
                           fmt::format("attempt {} is over", words.attempt));
  }
  try {
    ranks_.welcome(words, clock::now());
  } catch (const error& refusal) {
    return to_caf_error(refusal);
  }
  self_->monitor(words.stage);
  if (ranks_.complete()) {
    begin_direction();
  }
  return note_atom_v;
}

/// All ranks are there: the plan begins.
void supervisor_state::begin_direction() {
  std::vector<stage_actor> stages;
  for (int64_t r = 0; r < ranks_.size(); ++r) {
    stages.push_back(caf::actor_cast<stage_actor>(ranks_[r].stage));
  }
  director_settings plan{.job = settings_->job,
                         .run = settings_->run,
                         .attempt = attempt_,
                         .finished_phases = finished_phases_,
                         .stages = std::move(stages),
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
}

void supervisor_state::note_beat(const beat& sign) {
  if (sign.attempt == attempt_) {
    ranks_.note(sign, clock::now());
  }
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
    condemn(io::ledger_kind::worker_failed, -1, result.text);
    return;
  }
  result_ = result;
  result_time_ = clock::now();
  for (int64_t r = 0; r < ranks_.size(); ++r) {
    self_->send(caf::actor_cast<stage_actor>(ranks_[r].stage), quit_atom_v);
  }
}

void supervisor_state::note_lost_connection(const caf::down_msg& down) {
  const std::optional<int64_t> rank = ranks_.rank_of(down.source);
  if (!over_ && !result_ && rank) {
    condemn(io::ledger_kind::worker_failed, *rank, "the connection to it was lost");
  }
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
    suspect_unheard_hosts();
    const std::string how = describe_exit(wait_status);
    condemn(io::ledger_kind::worker_failed, ranks_.size() == 1 ? 0 : -1,
            clean ? "it ended before its work was done" : how, {{"exit", how}});
  }
  restart_or_give_up();
}

/// What srun needs of a host: that its slurmd answers. Slurm itself may find out only minutes later.
void supervisor_state::prepare_probe() {
  if (!settings_->given || settings_->given->hosts.size() < 2) {
    return;
  }
  try {
    if (const auto port = slurmd_port(output_of({"timeout", "5", "scontrol", "show", "config"}))) {
      std::vector<std::string> hosts = settings_->given->hosts;
      std::erase(hosts, settings_->given->batch_host);
      probe_.emplace(hosts, *port);
      probe_->start();
    }
  } catch (const error& failure) {  // without it a dead host costs a launch that fails
    spdlog::warn("cannot ask Slurm for the port of its daemons: {}", failure.what());
  }
}

/// Before ranks are started: which hosts answer now?
void supervisor_state::probe_hosts() {
  if (!probe_) {
    prepare_probe();
  }
  if (probe_) {
    if (probe_->age() > 2 * patience_with_hosts) {
      probe_->start();
    }
    probe_->wait(patience_with_hosts);
    silent_hosts_ = probe_->silent(failed_launches_ > 0);
  }
}

bool supervisor_state::plan_has_silent_host() const {
  return std::any_of(plan_.hosts.begin(), plan_.hosts.end(),
                     [this](const host_share& one) { return silent_hosts_.contains(one.host); });
}

/// Several nodes may have gone at once, and the last of them a moment after the first.
void supervisor_state::suspect_silent_hosts() {
  if (settings_->given) {
    const auto now = clock::now();
    for (const std::string& host : ranks_.silent_hosts(settings_->job.recovery.silence_deadline_s / 2, now)) {
      if (host != settings_->given->batch_host) {
        hosts_.suspect(host, now);
      }
    }
  }
}

/// After a launch that failed: is there a host that Slurm has taken away?
void supervisor_state::look_for_lost_hosts() {
  if (!settings_->given) {
    return;
  }
  try {
    std::string list = output_of(hosts_command(*settings_->given));
    list.erase(list.find_last_not_of(" \n") + 1);
    const std::vector<std::string> left = expand_hosts(list);
    for (const std::string& host : settings_->given->hosts) {
      if (!left.empty() && std::find(left.begin(), left.end(), host) == left.end()) {
        lost_hosts_.insert(host);
      }
    }
  } catch (const error& failure) {  // slurmctld may be away: the next attempt will tell
    spdlog::warn("cannot ask Slurm which hosts are left: {}", failure.what());
  }
}

std::set<std::string> supervisor_state::excluded_hosts() const {
  std::set<std::string> hosts = hosts_.excluded(clock::now());
  hosts.insert(lost_hosts_.begin(), lost_hosts_.end());
  hosts.insert(silent_hosts_.begin(), silent_hosts_.end());
  return hosts;
}

/// A launch that fails while some ranks have reported puts the others' hosts under suspicion.
void supervisor_state::suspect_unheard_hosts() {
  const std::vector<int64_t> missing = ranks_.unheard();
  if (missing.empty() || static_cast<int64_t>(missing.size()) == ranks_.size() || !settings_->given) {
    return;
  }
  int64_t first = 0;
  for (const host_share& one : plan_.hosts) {
    const bool unheard =
        std::any_of(missing.begin(), missing.end(), [&](int64_t r) { return r >= first && r < first + one.ranks; });
    if (unheard && one.host != settings_->given->batch_host) {
      hosts_.suspect(one.host, clock::now());
    }
    first += one.ranks;
  }
}

void supervisor_state::condemn(io::ledger_kind kind, int64_t rank, const std::string& reason,
                               std::vector<std::pair<std::string, key_value>> fields) {
  if (!failure_.empty() || over_) {
    return;
  }
  failure_ = reason;
  if (failed_ == clock::time_point{}) {  // else the recovery from an earlier failure is still under way
    failed_ = clock::now();
  }
  std::string who = "a rank";
  if (rank >= 0) {
    const rank_watch::rank& one = ranks_[rank];
    who = fmt::format("rank {} (host {}, pid {}, in \"{}\")", rank, one.host, one.pid, one.operation);
    fields.insert(fields.begin(), {{"rank", rank}, {"host", one.host}, {"operation", one.operation}});
  }
  fields.emplace_back("reason", reason);
  append(kind, std::move(fields));
  spdlog::warn("{}: {}", who, reason);
  dismiss_director();
  condemned_ = clock::now();
  if (probe_) {
    probe_->start();  // the answers are there when the next attempt is laid out
  }
  if (child_) {
    child_->signal(stop_signal(plan_.kind));
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
  if (ranks_.complete()) {
    failed_launches_ = 0;
    start_attempt();
    return;
  }
  ++failed_launches_;
  probe_hosts();
  if (plan_has_silent_host()) {  // which the next plan leaves out: the launch need not fail again
    start_attempt();
    return;
  }
  look_for_lost_hosts();
  // The launch itself failed: a rank may have died by chance; if it happens again, a node may be coming back, or Slurm
  // not be done with the last step.
  const auto pause = std::min<std::chrono::milliseconds>(failed_launches_ == 1 ? 250ms : failed_launches_ * 1s, 10s);
  child_.reset();
  self_->delayed_send(self_, pause, retry_atom_v);
}

void supervisor_state::request_stop(int32_t signal) {
  if (stop_signal_ != 0 || over_) {
    return;
  }
  stop_signal_ = signal;
  spdlog::info("stopping at the next boundary (signal {})", signal);
  if (director_) {
    self_->send(director_, stop_atom_v);
  } else if (!ranks_.complete()) {
    condemn(io::ledger_kind::stopped, -1, "stopped before the ranks were ready");
  }
}

void supervisor_state::look_at_deadlines() {
  if (over_ || !child_) {
    return;
  }
  const io::recovery_section& limits = settings_->job.recovery;
  const auto now = clock::now();
  const bool late = now - std::exchange(last_look_, now) > longest_nap;
  if (late) {  // this process itself stood still, on a disk or a busy machine: signs of life lie unread in its mailbox
    return;
  }
  if (!failure_.empty()) {  // condemned: a launcher that waits for a dead node is not waited for
    if (seconds(now - condemned_) > patience_with_launcher_s) {
      child_->signal(SIGKILL);
    }
    return;
  }
  if (result_) {  // the work is done and saved: only the ranks' end is missing
    if (seconds(now - result_time_) > limits.stop_deadline_s) {
      child_->signal(SIGKILL);
      result_time_ = now;
    }
    return;
  }
  if (!ranks_.complete()) {
    look_at_start(now);
    return;
  }
  if (const auto [rank, silence] = ranks_.longest_silence(now); silence > limits.silence_deadline_s) {
    suspect_silent_hosts();
    condemn(io::ledger_kind::worker_hung, rank, fmt::format("no sign of life for {:.1f} s", silence),
            {{"seconds", silence}});
    return;
  }
  if (const auto [rank, standstill] = ranks_.longest_standstill(now); standstill > limits.worker_deadline_s) {
    condemn(io::ledger_kind::worker_hung, rank, fmt::format("no progress for {:.1f} s", standstill),
            {{"seconds", standstill}});
  }
}

/// Ranks are being started. A host that dies now makes srun wait for long, and the ranks of the others too.
void supervisor_state::look_at_start(clock::time_point now) {
  const io::recovery_section& limits = settings_->job.recovery;
  const double waited = seconds(now - started_);
  // Ranks start together: those that are much later than the first will not come.
  const bool overdue = ranks_.first_report() &&
                       seconds(now - *ranks_.first_report()) > limits.silence_deadline_s + patience_with_late_ranks_s;
  if (waited > limits.start_deadline_s || overdue) {
    suspect_unheard_hosts();
    condemn(io::ledger_kind::worker_hung, ranks_.unheard().front(),
            fmt::format("waited {:.1f} s for its first word", waited), {{"seconds", waited}});
    return;
  }
  if (!probe_ || now - started_ < patience_with_start || probe_->age() < patience_with_start) {
    return;
  }
  silent_hosts_ = probe_->silent();
  probe_->start();
  if (plan_has_silent_host()) {
    condemn(io::ledger_kind::worker_failed, -1,
            fmt::format("hosts that do not answer: {}", fmt::join(silent_hosts_, ", ")));
  }
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
  guards_.reset();
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
