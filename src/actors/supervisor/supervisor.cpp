#include "actors/supervisor/supervisor.hpp"

#include "actors/control/lifeline.hpp"
#include "actors/director/director.hpp"
#include "actors/hosts/child_process.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/processes.hpp"
#include "base/stopwatch.hpp"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr auto between_looks = 100ms;
constexpr auto longest_nap = 1s;
constexpr auto patience_with_exit = 250ms;    // which says more than a lost connection does
constexpr auto patience_with_start = 1500ms;  // then the hosts are asked whether they are still there

supervisor_actor::behavior_type supervisor(supervisor_actor::stateful_pointer<supervisor_state> self,
                                           supervisor_settings settings) {
  return self->state.make_behavior(std::move(settings));
}

supervisor_state::supervisor_state(supervisor_actor::stateful_pointer<supervisor_state> self)
    : self_(self), awake_(longest_nap) {}

supervisor_actor::behavior_type supervisor_state::make_behavior(supervisor_settings settings) {
  settings_.emplace(std::move(settings));
  // Before anything that may throw, a damaged ledger above all: else nobody would hear how the run ended.
  self_->set_exception_handler([this](std::exception_ptr& failure) -> caf::error {
    finish({outcome::failed, to_troupe_error(failure).what()});
    return caf::exit_reason::user_shutdown;
  });
  self_->set_down_handler([this](const caf::down_msg& down) { note_down(down); });
  if (settings_->metrics) {
    self_->monitor(settings_->metrics);
  }
  restarts_.emplace(settings_->job.recovery.restarts);
  hosts_.emplace(settings_->given, output_of);
  guards_.emplace([this](const std::vector<std::string>& hosts, std::function<void(int)> on_exit) {
    return std::make_unique<child_process>(guard_command_for(hosts, settings_->guard()).argv, std::move(on_exit));
  });
  heart_ = spawn_heart(self_->system());
  history_.emplace(settings_->run);
  last_attempt_ = settings_->run.attempt();
  return {
      [this](run_atom) {
        history_->append(io::ledger_kind::run_started, {{"pid", int64_t{::getpid()}}});
        start_attempt();
        self_->delayed_send(self_, between_looks, tick_atom_v);
      },
      [this](const hello& words) { return welcome(words); },
      [this](beat_atom, const beat& sign) { note_beat(sign); },
      [this](const ledger_note& event) { note_event(event); },
      [this](reached_atom, io::phase phase, uint64_t counter) {
        restarts_->note_step(fmt::format("{} {}", io::to_string(phase), counter));
      },
      [this](const attempt_result& result) { note_result(result); },
      [this](stop_atom, int32_t signal) { request_stop(signal); },
      [this](exited_atom, uint64_t number, int32_t status) { note_exit(number, status); },
      [this](retry_atom) { start_attempt(); },
      [this](tick_atom) {
        look_at_deadlines();
        look_at_guards();
        if (!over_) {
          self_->delayed_send(self_, between_looks, tick_atom_v);
        }
      },
  };
}

static placement placement_of(const io::job& job) {
  return {.ranks = job.place.ranks,
          .min_nodes = job.place.min_nodes,
          .shrink = job.place.shrink,
          .lanes = job.run.lanes,
          .threads_per_rank = job.run.threads,
          .on_cards = job.place.device == io::device_choice::cuda};
}

void supervisor_state::start_attempt() {
  if (over_) {
    return;
  }
  if (stops_.first() != 0) {  // it came before this attempt
    finish({outcome::stopped, attempt_ ? "stopped; the last attempt had failed: " + attempt_->failure() : "stopped"});
    return;
  }
  try {
    if (attempt_) {
      attempt_->release();
    }
    if (!owns_run()) {
      finish({outcome::failed,
              fmt::format("another troupe has taken over {}: this one ends", settings_->run.root().string())});
      return;
    }
    files_.persist([this] { last_attempt_ = settings_->run.number_attempt(last_attempt_); });
    files_.persist([this] { settings_->run.fence_attempt(last_attempt_); });
    history_->begin_attempt(static_cast<uint64_t>(last_attempt_));
    hosts_->look(restarts_->failed_launches() > 0);
    launch_plan plan = choose_hosts();
    if (plan.requeue) {
      finish({outcome::stopped, plan.reason});
      return;
    }
    launch(std::move(plan));
    guards_->keep(hosts_->fit_others(now()), now());
  } catch (...) {
    finish({outcome::failed, to_troupe_error(std::current_exception()).what()});
  }
}

/// Doubtful cards of hosts that may have ranks, but for those that are left out.
static card_set others_than(const card_set& left_out, card_set doubtful, const std::set<std::string>& unfit) {
  for (const std::string& host : unfit) {
    doubtful.erase(host);
  }
  for (const auto& [host, numbers] : left_out) {
    for (const int64_t number : numbers) {
      doubtful[host].erase(number);
    }
  }
  std::erase_if(doubtful, [](const auto& of_host) { return of_host.second.empty(); });
  return doubtful;
}

launch_plan supervisor_state::choose_hosts() {
  const auto now = this->now();
  const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
  const placement wanted = placement_of(settings_->job);
  if (!settings_->given) {
    return choose({}, wanted, {}, cores, cards_.doubtful());
  }
  const std::set<std::string> unfit =
      leave_out(*settings_->given, wanted, hosts_->excluded(now), crashes_.doubtful(now));
  launch_plan plan = choose(settings_->given, wanted, unfit, cores, cards_.doubtful());
  for (const std::string& host : crashes_.doubtful(now)) {
    if (!unfit.contains(host)) {
      plan.reason += fmt::format("{}{} stays, though its ranks crash: too few others are left",
                                 plan.reason.empty() ? "" : "; ", host);
    }
  }
  if (const card_set stay = others_than(plan.left_out, cards_.doubtful(), unfit); !stay.empty()) {
    plan.reason += fmt::format("{}{} stays, though it has failed twice: too few others are left",
                               plan.reason.empty() ? "" : "; ", card_set_text(stay));
  }
  return plan;
}

static io::ledger_fields fields_of(const launch_plan& plan) {
  io::ledger_fields fields = {{"ranks", plan.ranks}, {"launcher", std::string(to_string(plan.kind))}};
  if (!plan.hosts.empty()) {
    std::vector<std::string> hosts;
    for (const host_share& one : plan.hosts) {
      hosts.push_back(fmt::format("{}:{}", one.host, one.ranks));
    }
    fields.emplace_back("hosts", fmt::format("{}", fmt::join(hosts, " ")));
  }
  if (!plan.reason.empty()) {
    fields.emplace_back("reason", plan.reason);
  }
  return fields;
}

void supervisor_state::launch(launch_plan plan) {
  const uint64_t number = history_->attempt();
  history_->append(io::ledger_kind::attempt_started, fields_of(plan));
  const launch_command start =
      command_for(plan, settings_->command(number, plan), current_environment(), ::geteuid() == 0);
  attempt_.emplace(
      number, std::move(plan), start,
      [target = caf::actor_cast<supervisor_actor>(self_), number](int status) {
        caf::anon_send(target, exited_atom_v, number, int32_t{status});
      },
      settings_->words, now());
  lost_rank_.reset();
}

caf::result<caf::actor> supervisor_state::welcome(const hello& words) {
  if (over_ || !attempt_ || words.attempt != attempt_->number() || attempt_->condemned()) {
    return to_caf_error(error(errc::interrupted, "attempt {} is over", words.attempt));
  }
  try {
    attempt_->ranks().welcome(words, now());
  } catch (const error& refusal) {
    if (refusal.code() == errc::unsupported) {  // no other rank will come in its place
      condemn({.reason = refusal.what()});
    }
    return to_caf_error(refusal);
  }
  self_->monitor(words.stage);
  if (attempt_->ranks().complete()) {
    begin_direction();
  }
  return heart_;
}

/// Of ranks that have all reported.
static std::vector<stage_actor> stages_of(const rank_watch& ranks) {
  std::vector<stage_actor> stages;
  for (int64_t r = 0; r < ranks.size(); ++r) {
    stages.push_back(caf::actor_cast<stage_actor>(ranks[r].stage));
  }
  return stages;
}

/// All ranks are there: the plan begins.
void supervisor_state::begin_direction() {
  restarts_->note_launch();
  director_ = self_->spawn(director, director_settings{.job = settings_->job,
                                                       .run = settings_->run,
                                                       .attempt = attempt_->number(),
                                                       .finished_phases = history_->finished_phases(),
                                                       .stages = stages_of(attempt_->ranks()),
                                                       .metrics = settings_->metrics,
                                                       .supervisor = caf::actor_cast<caf::actor>(self_)});
  self_->monitor(director_);
  if (stops_.first() != 0) {
    self_->send(director_, stop_atom_v);
  }
}

void supervisor_state::note_beat(const beat& sign) {
  if (attempt_ && sign.attempt == attempt_->number()) {
    attempt_->ranks().note(sign, now());
  }
}

void supervisor_state::note_event(const ledger_note& event) {
  const io::ledger_kind noted = history_->note(event);
  if (noted == io::ledger_kind::checkpoint || noted == io::ledger_kind::phase_finished) {
    restarts_->note_progress();
    crashes_.note_progress();
    cards_.note_progress();
    node_failed_ = false;
  } else if (noted == io::ledger_kind::phase_started || noted == io::ledger_kind::phase_resumed) {
    restarts_->note_step(
        fmt::format("{} {}", io::to_string(event.phase), noted == io::ledger_kind::phase_resumed ? event.counter : 0));
    note_recovery();
  }
}

/// Ranks have joined each other and loaded what a phase goes on from: the work begins.
void supervisor_state::note_recovery() {
  if (failed_ != clock::time_point{} && !attempt_->condemned()) {
    history_->append(io::ledger_kind::recovered, {{"seconds", seconds(now() - failed_)}});
    failed_ = {};
  }
}

/// A lost rank is another attempt's concern, and so is a card that has failed. So may be a file or memory that a node
/// could not have, but not twice without a new checkpoint: then it is the job's own failure.
bool supervisor_state::may_pass(const attempt_result& failed) {
  const bool of_a_node = failed.code == errc::io_failure || failed.code == errc::out_of_memory;
  if (!of_a_node) {
    return failed.code == errc::lost_peer || failed.code == errc::device_failure;
  }
  wait_for_files_ = true;
  return !std::exchange(node_failed_, true);
}

void supervisor_state::note_result(const attempt_result& result) {
  if (!attempt_ || result.attempt != attempt_->number() || attempt_->condemned()) {
    return;  // condemned meanwhile: what the plan says of a dead worker is only an echo
  }
  if (result.outcome == outcome::failed && may_pass(result)) {
    if (result.code == errc::device_failure) {
      note_lost_card(result.text);
    } else {
      condemn({.reason = result.text});
    }
    return;
  }
  attempt_->conclude(result, now());
  for (const stage_actor& stage : stages_of(attempt_->ranks())) {
    self_->send(stage, quit_atom_v);
  }
}

void supervisor_state::note_down(const caf::down_msg& down) {
  if (over_) {
    return;
  }
  if (settings_->metrics && down.source == settings_->metrics.address()) {
    finish({outcome::failed, to_troupe_error(down.reason).what()});
    return;
  }
  if (director_ && down.source == director_.address()) {
    note_lost_director(down.reason);
    return;
  }
  if (!attempt_ || attempt_->result()) {
    return;
  }
  if (const std::optional<int64_t> rank = attempt_->ranks().rank_of(down.source)) {
    note_lost_rank(*rank, down.reason);
  }
}

/// It has no other way left to say how the attempt ends.
void supervisor_state::note_lost_director(const caf::error& reason) {
  const error why = to_troupe_error(reason);
  director_ = nullptr;
  note_result({.attempt = attempt_->number(), .outcome = outcome::failed, .code = why.code(), .text = why.what()});
}

void supervisor_state::note_lost_rank(int64_t rank, const caf::error& reason) {
  std::optional<error> told;  // an actor of its cast has failed
  if (is_told(reason)) {
    told = to_troupe_error(reason);
  }
  const bool is_of_others = told && (told->code() == errc::device_failure || told->code() == errc::lost_peer);
  const bool has_choice = settings_->given && settings_->given->hosts.size() > 1;
  if (!is_of_others && has_choice && !slurm_ends_ranks()) {
    crashes_.note_lost(host_of(attempt_->plan(), rank), !attempt_->condemned(), now());
  }
  if (told) {
    note_result({.attempt = attempt_->number(),
                 .outcome = outcome::failed,
                 .code = told->code(),
                 .text = fmt::format("rank {}: {}", rank, told->what())});
  } else if (!lost_rank_) {
    lost_rank_.emplace(rank, now());
  }
}

/// SIGTERM comes to the batch script and to the ranks alike where Slurm ends the job (scancel, a partition that wants
/// its nodes back, time that is up): that they go is then no failure, and no host's fault.
bool supervisor_state::slurm_ends_ranks() const { return settings_->given && stops_.first() == SIGTERM; }

/// The launcher says nothing of its end: the others have to go.
void supervisor_state::judge_lost_rank() {
  if (lost_rank_ && !attempt_->ending() && now() - lost_rank_->second > patience_with_exit) {
    condemn({.rank = lost_rank_->first, .reason = "the connection to it was lost"});
  }
}

void supervisor_state::note_exit(uint64_t number, int32_t wait_status) {
  if (over_ || !attempt_ || number != attempt_->number()) {
    return;
  }
  if (const auto& result = attempt_->result()) {
    history_->append(io::ledger_kind::attempt_finished, {{"exit", describe_exit(wait_status)}});
    finish({result->outcome, result->text});
    return;
  }
  const bool refused = attempt_->refused(wait_status);
  if (attempt_->condemned()) {
    attempt_->note_end(wait_status);
  } else {
    trouble end = attempt_->untimely_end(wait_status);
    if (lost_rank_) {
      end.rank = lost_rank_->first;
    }
    condemn(end);
  }
  follow_failure(refused);
}

void supervisor_state::request_stop(int32_t signal) {
  if (over_) {
    return;
  }
  switch (stops_.note(signal, clock::now())) {
  case stop_request::stop:
    stop_at_boundary(signal);
    break;
  case stop_request::tell:
    spdlog::info("stopping: waiting for {}. Ctrl-C once more ends the run at once, without what it has done since its "
                 "last checkpoint",
                 what_is_awaited());
    break;
  case stop_request::end_at_once:
    end_at_once();
    break;
  case stop_request::repetition:
    break;
  }
}

void supervisor_state::stop_at_boundary(int32_t signal) {
  if (attempt_ && attempt_->released()) {
    finish({outcome::stopped, "stopped; the last attempt had failed: " + attempt_->failure()});
    return;
  }
  spdlog::info("stopping at the next boundary (signal {})", signal);
  if (director_) {
    self_->send(director_, stop_atom_v);
  } else if (attempt_ && !attempt_->ranks().complete()) {
    condemn({.kind = io::ledger_kind::stopped, .reason = "stopped before the ranks were ready"});
  }
}

void supervisor_state::end_at_once() {
  spdlog::warn("ending at once");
  if (!attempt_ || attempt_->released()) {
    finish({outcome::stopped, "stopped between two attempts"});
  } else if (attempt_->ending()) {
    attempt_->kill();
  } else {
    condemn({.kind = io::ledger_kind::stopped, .reason = "ended at once on request"});
    attempt_->kill();
  }
}

std::string supervisor_state::what_is_awaited() {
  if (!attempt_ || attempt_->released()) {
    return "the pause between two attempts to end";
  }
  if (attempt_->ending()) {
    return "the ranks to end";
  }
  const rank_watch& ranks = attempt_->ranks();
  if (!ranks.complete()) {
    return fmt::format("{} of {} ranks to report", ranks.unheard().size(), ranks.size());
  }
  constexpr int64_t most_told = 4;
  std::vector<std::string> doing;
  for (int64_t r = 0; r < std::min(ranks.size(), most_told); ++r) {
    const std::optional<standstill> at = ranks.last_of(r, now());
    doing.push_back(at ? fmt::format("rank {}: {} in \"{}\"", r, at->actor, at->operation)
                       : fmt::format("rank {}: idle", r));
  }
  const std::string& step = restarts_->step();
  return fmt::format("the next boundary{} and its checkpoint ({}{})", step.empty() ? "" : " after " + step,
                     fmt::join(doing, "; "), ranks.size() > most_told ? "; ..." : "");
}

void supervisor_state::look_at_deadlines() {
  if (over_ || !attempt_ || attempt_->released()) {
    return;
  }
  const io::recovery_section& limits = settings_->job.recovery;
  judge_lost_rank();
  const auto now = this->now();
  if (attempt_->ending()) {
    attempt_->hasten_end(limits, now);
  } else if (const std::optional<trouble> found = attempt_->overdue(limits, now)) {
    condemn(*found);
  } else if (!attempt_->ranks().complete()) {
    look_at_starting_hosts(now);
  }
}

void supervisor_state::look_at_guards() {
  try {
    if (!over_) {
      guards_->look(now());
    }
  } catch (const error& failure) {  // without guards the run goes on, and they are tried again
    spdlog::warn("{}", failure.what());
  }
}

/// A host that dies while ranks are being started makes srun wait for long, and the ranks of the others too.
void supervisor_state::look_at_starting_hosts(clock::time_point now) {
  if (now - attempt_->started() >= patience_with_start && hosts_->renew_round(patience_with_start) &&
      hosts_->has_silent_host(attempt_->plan())) {
    condemn({.reason = fmt::format("hosts that do not answer: {}", fmt::join(hosts_->silent(), ", "))});
  }
}

void supervisor_state::condemn(const trouble& why) {
  if (attempt_->condemned() || over_) {
    return;
  }
  if (slurm_ends_ranks() && why.kind == io::ledger_kind::worker_failed) {
    constexpr const char* reason = "Slurm has ended the ranks";
    history_->append(io::ledger_kind::stopped, {{"reason", std::string(reason)}});
    spdlog::info("{}", reason);
    dismiss_director();
    attempt_->condemn(reason, now());
    return;
  }
  const auto now = this->now();
  if (failed_ == clock::time_point{}) {  // else the recovery from an earlier failure is still under way
    failed_ = now;
  }
  std::string who = "a rank";
  io::ledger_fields fields = why.fields;
  if (why.rank >= 0) {
    const rank_watch::rank& one = attempt_->ranks()[why.rank];
    const std::optional<standstill> at = why.at ? why.at : attempt_->ranks().last_of(why.rank, now);
    const std::string doing = at && !at->actor.empty() ? fmt::format("{} in \"{}\"", at->actor, at->operation) : "idle";
    who = fmt::format("rank {} (host {}, pid {}, {})", why.rank, one.host, one.pid, doing);
    fields.insert(fields.begin(), {{"rank", why.rank},
                                   {"host", one.host},
                                   {"actor", at ? at->actor : ""},
                                   {"operation", at ? at->operation : "idle"}});
  }
  fields.emplace_back("reason", why.reason);
  history_->append(why.kind, std::move(fields));
  spdlog::warn("{}: {}", who, why.reason);
  suspect(why.suspects);
  dismiss_director();
  hosts_->begin_round();
  attempt_->condemn(why.reason, now);
}

/// Of hosts whose ranks fell silent, or never reported though others did.
void supervisor_state::suspect(const std::set<std::string>& hosts) {
  for (const auto& [host, verdict] : hosts_->suspect(hosts, now())) {
    history_->append(io::ledger_kind::host_suspected,
                     {{"host", host}, {"reason", "its ranks are not heard of; " + verdict}});
  }
}

void supervisor_state::note_lost_card(const std::string& failure) {
  const std::optional<lost_card> lost = attempt_->card_in(failure);
  condemn({.rank = lost ? lost->rank.value_or(-1) : -1, .reason = failure});
  if (!lost || slurm_ends_ranks()) {
    return;
  }
  const int64_t failures = cards_.note(lost->node, lost->number);
  history_->append(io::ledger_kind::card_suspected,
                   {{"host", lost->node.empty() ? lost->host : lost->node},
                    {"card", lost->number},
                    {"failures", failures},
                    {"reason", fmt::format("failure {} of its card {}{}", failures, lost->number,
                                           cards_.is_doubtful(lost->node, lost->number)
                                               ? "; it is left out where the job can do without"
                                               : "")}});
}

void supervisor_state::judge_crash() {
  if (slurm_ends_ranks()) {
    return;
  }
  const std::optional<crash_watch::crash> found = crashes_.conclude(now());
  if (!found) {
    return;
  }
  std::string reason = fmt::format("its ranks died first, crash {} in a row", found->in_a_row);
  reason += found->verdict.empty() ? "" : "; " + found->verdict;
  history_->append(io::ledger_kind::host_suspected,
                   {{"host", found->host}, {"crashes", found->in_a_row}, {"reason", std::move(reason)}});
}

void supervisor_state::dismiss_director() {
  if (director_) {
    self_->send_exit(director_, caf::exit_reason::user_shutdown);
    director_ = nullptr;
  }
}

void supervisor_state::follow_failure(bool refused) {
  if (refused) {
    restarts_->note_refusal(now());
  } else {
    restarts_->note_failure(attempt_->ranks().complete());
  }
  judge_crash();
  if (slurm_ends_ranks()) {
    finish({outcome::stopped, "stopped; " + attempt_->failure()});
    return;
  }
  if (stops_.first() != 0) {
    finish({outcome::stopped, "stopped; the worker failed meanwhile: " + attempt_->failure()});
    return;
  }
  if (restarts_->gives_up()) {
    std::set<std::string> where = crashes_.hosts();
    where.insert(cards_.places().begin(), cards_.places().end());
    finish({outcome::failed, restarts_->parting_words(attempt_->failure(), where)});
    return;
  }
  if (refused) {
    spdlog::info("Slurm has not started the ranks; another try");
    if (restarts_->failed_launches() > 1) {  // one may be chance
      suspect(named_hosts(attempt_->plan(), attempt_->said().text()));
    }
  } else {
    spdlog::info("restarting from the last checkpoint ({} of {} tries)", restarts_->failures(), restarts_->restarts());
  }
  try_again();
}

void supervisor_state::try_again() {
  const bool launched = attempt_->ranks().complete();
  if (!launched) {
    hosts_->look(true);
  }
  // Guards on the other hosts have put the job back into the queue, or will: whoever starts there needs the lock.
  if (restarts_->refusals() > 1 && hosts_->alone()) {
    finish(
        {outcome::stopped, "neither Slurm nor any other host of the job answers: this one has no network, it seems"});
    return;
  }
  if (std::exchange(wait_for_files_, false)) {
    attempt_->release();
    self_->delayed_send(self_,
                        std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::duration<double>(settings_->job.recovery.pause_s)),
                        retry_atom_v);
    return;
  }
  if (launched ||
      hosts_->has_silent_host(attempt_->plan())) {  // which the next plan leaves out: it need not fail again
    start_attempt();
    return;
  }
  hosts_->look_for_lost_hosts();
  attempt_->release();
  self_->delayed_send(self_, restarts_->pause(), retry_atom_v);
}

/// A host that had no network may have lost the run's lock meanwhile, without notice (run_claim.hpp).
bool supervisor_state::owns_run() const { return settings_->run.attempt() == last_attempt_; }

static io::ledger_kind ledger_kind_of(outcome how) {
  switch (how) {
  case outcome::finished:
    return io::ledger_kind::run_finished;
  case outcome::stopped:
    return io::ledger_kind::stopped;
  case outcome::failed:
    break;
  }
  return io::ledger_kind::run_failed;
}

/// Nobody begins another attempt soon, which would do it.
void supervisor_state::shut_out_late_processes() const {
  try {
    if (owns_run()) {
      settings_->run.end_attempt();
    }
  } catch (const std::exception& failure) {
    spdlog::warn("{}", failure.what());
  }
}

run_result supervisor_state::judge_requeue(run_result result) const {
  const int64_t stops = history_ ? history_->fruitless_stops() : 0;
  const int64_t most = std::max<int64_t>(1, settings_->job.recovery.restarts);
  if (result.outcome != outcome::stopped || !settings_->given || stops <= most) {
    return result;
  }
  return {
      outcome::failed,
      fmt::format("the run was stopped {} times in a row without a new checkpoint, last: {}. It would only go round "
                  "in the queue: see that its checkpoints (run.checkpoint-every) lie within the time that it gets, "
                  "or that enough nodes are to be had, and submit it again (recovery.restarts = {})",
                  stops, result.text.empty() ? "on request" : result.text, most)};
}

void supervisor_state::finish(run_result result) {
  if (over_) {
    return;
  }
  over_ = true;
  result = judge_requeue(std::move(result));
  io::ledger_fields fields;
  if (!result.text.empty()) {
    fields.emplace_back("reason", result.text);
  }
  if (result.outcome == outcome::stopped) {
    fields.emplace_back("signal", int64_t{stops_.first()});
  }
  try {
    if (history_ && owns_run()) {  // else it could not be opened, which is why the run ends, or tells of another's
      history_->append(ledger_kind_of(result.outcome), std::move(fields));
    }
  } catch (const std::exception& failure) {  // a full disk must not hide how the run ended
    spdlog::error("{}", failure.what());
  }
  shut_out_late_processes();
  settings_->on_end(std::move(result));
  if (attempt_) {
    attempt_->release();
  }
  guards_->dismiss();
  dismiss_director();
  self_->send_exit(heart_, caf::exit_reason::user_shutdown);
  self_->quit();
}

}  // namespace troupe::actors
