#include "actors/director/director.hpp"

#include "actors/cast/checkpointer.hpp"
#include "actors/cast/loader.hpp"
#include "actors/director/director_plans.hpp"
#include "base/stopwatch.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

namespace troupe::actors {

constexpr double noticeable_wait_s = 1;

director_actor::behavior_type director(director_actor::stateful_pointer<director_state> self,
                                       director_settings settings) {
  self->state.open(std::move(settings));
  return {[self](stop_atom) { self->state.request_stop(); }};
}

void director_state::open(director_settings settings) {
  settings_.emplace(std::move(settings));
  plan_ = perform();
  plan_.start();
}

task<> director_state::perform() {
  attempt_result result{.attempt = settings_->attempt, .outcome = outcome::finished, .code = 0, .text = ""};
  bool at_rest = false;  // the ranks, after a failure
  try {
    for (const io::phase phase : settings_->job.run.phases) {
      const std::string name(io::to_string(phase));
      if (!stopping_ && !settings_->finished_phases.contains(name)) {
        co_await perform_phase(phase);
      }
      if (!settings_->finished_phases.contains(name)) {
        result.outcome = outcome::stopped;  // a stop that came during the last phase's end changes nothing
      }
    }
  } catch (const error& failure) {
    result.outcome = outcome::failed;
    result.code = static_cast<int32_t>(failure.code());
    result.text = failure.what();
    at_rest = found_by_all(failure);
  } catch (const std::exception& failure) {
    result.outcome = outcome::failed;
    result.code = -1;
    result.text = failure.what();
  }
  if (at_rest && has(&cast::checkpointer)) {
    co_await finish_checkpoint();
  }
  caf::anon_send(settings_->supervisor, result);
}

/// A job that fails keeps the checkpoint that is still being written.
task<> director_state::finish_checkpoint() {
  try {
    co_await await_durable();
  } catch (const error& failure) {
    spdlog::warn("the last checkpoint was not finished: {}", failure.what());
  }
}

task<> director_state::perform_phase(io::phase phase) {
  const std::string name(io::to_string(phase));
  co_await set_stage(name);
  switch (phase) {
  case io::phase::pairs:
    co_await pairs();
    break;
  case io::phase::sft: {
    const supervised_plan plan{name, settings_->job.sft.training, &cast::policy, &cast::policy_optimizer};
    co_await supervised(plan);
    break;
  }
  case io::phase::reward: {
    const supervised_plan plan{name, settings_->job.reward.training, &cast::reward, &cast::reward_optimizer};
    co_await supervised(plan);
    break;
  }
  case io::phase::ppo:
    co_await ppo();
    break;
  }
}

task<> director_state::set_stage(const std::string& phase) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the caller's may be gone when the plan goes on
  const std::string name = phase;
  company_ = co_await ask_everyone<cast>(self_, settings_->stages, stage_atom_v, name);
  for (const std::string& line : company_.front().notes) {
    spdlog::info("{}: {}", name, line);
  }
  state_ = {.phase = name, .counter = 0, .values = {}};
  checkpointed_ = state_;
}

bool director_state::has(caf::strong_actor_ptr cast::*part) const {
  return std::any_of(company_.begin(), company_.end(), [part](const cast& one) { return one.*part != nullptr; });
}

bool director_state::share_ranks(caf::strong_actor_ptr cast::*one, caf::strong_actor_ptr cast::*other) const {
  return std::any_of(company_.begin(), company_.end(),
                     [=](const cast& rank) { return rank.*one != nullptr && rank.*other != nullptr; });
}

namespace {

/// Of the file that comes first, whichever ranks have looked at it; null: all are as they should be.
const damage_report* first_damage(const std::vector<damage_report>& by_rank) {
  const damage_report* first = nullptr;
  for (const damage_report& one : by_rank) {
    if (one.file >= 0 && (first == nullptr || one.file < first->file)) {
      first = &one;
    }
  }
  return first;
}

}  // namespace

/// The newest valid checkpoint before a counter. Each rank reads its share of a candidate's files, and the director alone
/// decides by what all have found.
task<director_state::checkpoint_search> director_state::find_checkpoint(uint64_t before) {
  const auto checkpointers = everyone<checkpointer_actor>(&cast::checkpointer);
  const stopwatch watch;
  checkpoint_search search;
  bool looking = true;
  while (looking) {
    const auto newest = co_await ask<located_checkpoint>(self_, checkpointers.front(), locate_atom_v, before);
    std::string problem = newest.problem;
    if (newest.found && problem.empty()) {
      const auto reports = co_await ask_everyone<damage_report>(self_, checkpointers, verify_atom_v, newest);
      const damage_report* damage = first_damage(reports);
      problem = damage != nullptr ? damage->problem : "";
    }
    looking = !problem.empty();
    if (looking) {
      search.problems.push_back(problem);
      before = newest.counter;
    } else {
      search.found = newest;
    }
  }
  search.seconds = watch.seconds();
  co_return search;
}

task<> director_state::restore(const std::string& phase) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the caller's may be gone when the plan goes on
  const std::string name = phase;
  checkpoint_search search = co_await find_checkpoint(any_counter);
  co_await restore_from(name, std::move(search));
}

task<> director_state::restore_from(const std::string& phase, checkpoint_search search) {
  const auto checkpointers = everyone<checkpointer_actor>(&cast::checkpointer);
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the caller's may be gone when the plan goes on
  const std::string name = phase;
  const stopwatch watch;
  const located_checkpoint located = search.found;
  const auto restored = co_await ask_everyone<phase_state>(self_, checkpointers, restore_atom_v, located);
  const double read_s = watch.seconds();
  state_ = restored.front();  // the same on every rank
  for (const std::string& problem : search.problems) {
    spdlog::warn("passing over a damaged checkpoint: {}", problem);
    note("checkpoint_damaged", name, state_.counter, problem);
  }
  checkpointed_ = state_;
  const int64_t counter = located.found ? static_cast<int64_t>(state_.counter) : -1;
  co_await cut_records(name, counter);
  if (located.found) {
    spdlog::info("{}: going on after {}", name, state_.counter);
    note("phase_resumed", name, state_.counter,
         fmt::format("restored {}: verified in {:.3f} s, read in {:.3f} s", located.path, search.seconds, read_s));
  } else {
    note("phase_started", name, total_of(name));
  }
}

/// Updates or iterations of a phase whose cast is set.
uint64_t director_state::total_of(const std::string& phase) const {
  const io::job& job = settings_->job;
  return static_cast<uint64_t>(phase == "sft"      ? updates_of(job.sft.training)
                               : phase == "reward" ? updates_of(job.reward.training)
                                                   : job.ppo.iterations);
}

task<> director_state::cut_records(const std::string& phase, int64_t counter) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the caller's may be gone when the plan goes on
  const std::string name = phase;
  std::vector<std::string> later;
  bool after = false;
  for (const io::phase one : settings_->job.run.phases) {
    if (after) {
      later.emplace_back(io::to_string(one));
    }
    after = after || io::to_string(one) == name;
  }
  co_await ask<bool>(self_, settings_->metrics, truncate_atom_v, name, counter, later);
}

task<serve_reply> director_state::serve(serving what, uint64_t counter) {
  const serve_command wanted{what, counter};
  const auto loaders = everyone<loader_actor>(&cast::loader);
  const std::vector<serve_reply> served = co_await ask_everyone<serve_reply>(self_, loaders, serve_atom_v, wanted);
  co_return served.front();  // every rank has made the same batch
}

bool director_state::checkpoint_due(bool last) const {
  const auto every = static_cast<uint64_t>(settings_->job.run.checkpoint_every);
  return (last || stopping_ || state_.counter % every == 0) && state_.counter != checkpointed_.counter;
}

task<> director_state::checkpoint_if_due(bool last) {
  if (checkpoint_due(last)) {
    co_await take_checkpoint();
  }
}

task<> director_state::take_checkpoint() {
  const standstill stood = co_await copy_for_checkpoint();
  commit_when_written(stood);
}

/// Work that no checkpoint would keep is not begun.
void director_state::require_checkpoints() const {
  if (checkpoint_failure_) {
    throw *checkpoint_failure_;
  }
}

task<director_state::standstill> director_state::copy_for_checkpoint() {
  require_checkpoints();
  const auto checkpointers = everyone<checkpointer_actor>(&cast::checkpointer);
  const phase_state state = state_;
  const stopwatch watch;
  const auto copied = co_await ask_everyone<snapshot_reply>(self_, checkpointers, snapshot_atom_v, state);
  checkpointed_ = state;
  standstill stood{.copy_s = 0, .all_s = watch.seconds()};
  for (const snapshot_reply& one : copied) {
    stood.copy_s = std::max(stood.copy_s, one.seconds);
  }
  if (stood.waited_s() > noticeable_wait_s) {
    spdlog::warn("{} {}: training waited {:.1f} s for the checkpoint before to be written: the file system is slow, or "
                 "run.checkpoint-every = {} too small for it",
                 state_.phase, state_.counter, stood.waited_s(), settings_->job.run.checkpoint_every);
  }
  co_return stood;
}

/// The record becomes durable before the checkpoint does: what is cut off on resume lies beyond it.
task<> director_state::close(metrics_record line, bool last) {
  require_checkpoints();
  const bool best = note_best(line.values);
  const bool due = checkpoint_due(last || best);
  standstill stood;
  if (due) {
    stood = co_await copy_for_checkpoint();
    line.values["time/checkpoint_copy_s"] = stood.copy_s;
    line.values["time/checkpoint_stall_s"] = stood.all_s;
    line.durable = true;
  }
  co_await record(std::move(line));
  if (due) {
    commit_when_written(stood);
  }
}

namespace {

constexpr const char* best_counter_key = "best_counter";
constexpr const char* best_value_key = "best_value";

/// What an evaluation is judged by.
struct judged_by {
  std::string metric;
  double sign = 1;  ///< -1: the lower the better
};

judged_by judge_of(const std::string& phase) {
  return phase == "sft"      ? judged_by{"held_out/perplexity", -1}
         : phase == "reward" ? judged_by{"held_out/accuracy", 1}
                             : judged_by{"evaluation/reward/raw_mean", 1};
}

}  // namespace

/// Whether an evaluation is better than all before it. The state goes into the next checkpoint, so that a run which is
/// resumed knows it.
bool director_state::note_best(const statistics& evaluated) {
  const judged_by by = judge_of(state_.phase);
  const auto found = evaluated.find(by.metric);
  if (!settings_->job.run.keep_best || found == evaluated.end() || !std::isfinite(found->second)) {
    return false;
  }
  const auto before = state_.values.find(best_value_key);
  if (before != state_.values.end() && by.sign * found->second <= by.sign * before->second) {
    return false;
  }
  state_.values[best_counter_key] = static_cast<double>(state_.counter);
  state_.values[best_value_key] = found->second;
  return true;
}

best_so_far director_state::best() const {
  if (!settings_->job.run.keep_best || !state_.values.contains(best_counter_key)) {
    return {};
  }
  return {.counter = static_cast<int64_t>(statistic(state_.values, best_counter_key)),
          .metric = judge_of(state_.phase).metric,
          .value = statistic(state_.values, best_value_key)};
}

/// Training goes on while files are written; checkpointers answer in order, so what they say is about the last snapshot.
void director_state::commit_when_written(standstill stood) {
  const std::string phase = state_.phase;
  const uint64_t counter = state_.counter;
  const auto checkpointers = everyone<checkpointer_actor>(&cast::checkpointer);
  const auto failed = [this, phase, counter](const caf::error& reason) {
    checkpoint_failure_ = to_troupe_error(reason);
    note("checkpoint_failed", phase, counter, checkpoint_failure_->what());
  };
  const auto command = std::make_shared<commit_command>();
  command->counter = counter;
  command->best = best();
  const auto committed = [this, phase, stood, best = command->best](const durable_report& durable) {
    std::string text = fmt::format("{}: {} bytes in {:.2f} s, copied in {:.3f} s", durable.path, durable.bytes,
                                   durable.seconds, stood.copy_s);
    if (best.counter == static_cast<int64_t>(durable.counter)) {
      text += fmt::format("; the best so far: {} = {:.6g}", best.metric, best.value);
    }
    note("checkpoint", phase, durable.counter, text);
  };
  command->files.resize(checkpointers.size());
  const auto missing = std::make_shared<size_t>(checkpointers.size());
  for (size_t rank = 0; rank < checkpointers.size(); ++rank) {
    const auto written = [=, this, first = checkpointers.front()](const written_file& file) {
      command->files[rank] = file;
      if (--*missing == 0) {
        self_->request(first, reply_deadline, commit_atom_v, *command).then(committed, failed);
      }
    };
    self_->request(checkpointers[rank], reply_deadline, durable_atom_v).then(written, failed);
  }
}

task<> director_state::await_durable() {
  const auto checkpointers = everyone<checkpointer_actor>(&cast::checkpointer);
  co_await ask_everyone<written_file>(self_, checkpointers, durable_atom_v);
  // Once all have answered, a commit that is due has been ordered: rank 0 answers this after it.
  const commit_command nothing;
  co_await ask<durable_report>(self_, checkpointers.front(), commit_atom_v, nothing);
  require_checkpoints();
}

task<> director_state::save_models() {
  const auto checkpointers = everyone<checkpointer_actor>(&cast::checkpointer);
  const auto paths = co_await ask_everyone<std::vector<std::string>>(self_, checkpointers, save_atom_v);
  for (const std::vector<std::string>& of_rank : paths) {
    for (const std::string& path : of_rank) {
      spdlog::info("{}: saved {}", state_.phase, (settings_->run.root() / path).string());
    }
  }
  note("phase_finished", state_.phase, state_.counter);
}

task<> director_state::record(metrics_record values) {
  values.phase = state_.phase;
  values.attempt = settings_->attempt;
  co_await ask<bool>(self_, settings_->metrics, record_atom_v, values);
  caf::anon_send(settings_->supervisor, reached_atom_v, state_.phase, state_.counter);
}

void director_state::note(const std::string& kind, const std::string& phase, uint64_t counter,
                          const std::string& text) {
  if (kind == "phase_finished") {
    settings_->finished_phases.insert(phase);
  }
  caf::anon_send(settings_->supervisor, note_atom_v, kind, phase, counter, text);
}

void director_state::show(const std::string& part, uint64_t done, uint64_t total, const std::string& unit,
                          const std::string& summary) {
  self_->send(settings_->metrics, progress_atom_v,
              progress_note{
                  .phase = state_.phase, .part = part, .done = done, .total = total, .unit = unit, .summary = summary});
}

}  // namespace troupe::actors
