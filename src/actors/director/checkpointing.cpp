#include "actors/director/checkpointing.hpp"

#include "base/stopwatch.hpp"
#include "io/checkpoint/checkpoint.hpp"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

namespace troupe::actors {

constexpr double noticeable_wait_s = 1;

/// Of the file that comes first, whichever ranks have looked at it. Empty: all are as they should be.
static std::string first_problem(const std::vector<damage_report>& by_rank) {
  const damage_report* first = nullptr;
  for (const damage_report& rank : by_rank) {
    if (rank.file >= 0 && (first == nullptr || rank.file < first->file)) {
      first = &rank;
    }
  }
  return first != nullptr ? first->problem : "";
}

/// A phase that has checkpoints, all of them damaged, must not begin anew by itself: that would remove them, and its
/// records.
void checkpointing::require_one_sound(const checkpoint_search& search) const {
  if (search.found.found || search.problems.empty()) {
    return;
  }
  const std::string phase(io::to_string(on_.state().phase));
  const std::string folder = (on_.run().checkpoints() / phase).string();
  throw error(errc::bad_file,
              "no checkpoint of phase {} can be read: {}. Nothing was removed. Put sound ones back, or, to begin the "
              "phase afresh, move {} away (mv {} {}.damaged) and give the same command again",
              phase, fmt::join(search.problems, "; "), folder, folder, folder);
}

task<checkpoint_search> checkpointing::find(uint64_t before) {
  const stopwatch watch;
  checkpoint_search search;
  bool looking = true;
  while (looking) {
    const auto newest =
        co_await on_.ask_first<checkpointer_actor, located_checkpoint>(&cast::checkpointer, locate_atom_v, before);
    std::string problem = newest.problem;
    if (newest.found && problem.empty()) {
      const auto reports =
          co_await on_.ask_all<checkpointer_actor, damage_report>(&cast::checkpointer, verify_atom_v, newest);
      problem = first_problem(reports);
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
  require_one_sound(search);
  co_return search;
}

task<checkpoint_search> checkpointing::look_at(std::string folder) {
  const stopwatch watch;
  const io::checkpoint_manifest manifest = io::read_manifest(folder);
  if (!folder.ends_with(fmt::format("{}-{:06}", manifest.unit, manifest.counter))) {
    throw error(errc::bad_file, "{} holds the checkpoint after {} {}: put the right one back", folder, manifest.unit,
                manifest.counter);
  }
  located_checkpoint located{
      .found = true, .path = folder, .counter = static_cast<uint64_t>(manifest.counter), .files = {}, .problem = {}};
  for (const io::checkpoint_file& file : manifest.files) {
    located.files.push_back({.name = file.name, .bytes = file.bytes, .digest = file.digest});
  }
  const auto reports =
      co_await on_.ask_all<checkpointer_actor, damage_report>(&cast::checkpointer, verify_atom_v, located);
  if (const std::string problem = first_problem(reports); !problem.empty()) {
    throw error(errc::bad_file, "{} is damaged: {}", folder, problem);
  }
  co_return checkpoint_search{.found = std::move(located), .problems = {}, .seconds = watch.seconds()};
}

task<> checkpointing::begin_phase(uint64_t total, evaluation_measure by) {
  total_ = total;
  measure_ = std::move(by);
  checkpoint_search search = co_await find();
  if (search.found.found && search.found.counter > total_) {
    throw error(errc::bad_argument,
                "phase {} has done {} already, and the job gives it {}: nothing is done. Make it at least as long as "
                "it was",
                io::to_string(on_.state().phase), search.found.counter, total_);
  }
  co_await restore(std::move(search));
}

task<> checkpointing::begin_replay(uint64_t total, std::string origin) {
  total_ = total;
  measure_ = {};
  checkpoint_search search = co_await find();
  if (!search.found.found && !origin.empty()) {
    search = co_await look_at(std::move(origin));
  }
  co_await restore(std::move(search));
}

task<> checkpointing::restore(checkpoint_search search) {
  const stopwatch watch;
  const located_checkpoint located = search.found;
  const auto restored =
      co_await on_.ask_all<checkpointer_actor, phase_state>(&cast::checkpointer, restore_atom_v, located);
  const double read_s = watch.seconds();
  on_.state() = restored.front();  // the same on every rank
  last_ = on_.state();
  for (const std::string& problem : search.problems) {
    spdlog::warn("passing over a damaged checkpoint: {}", problem);
    on_.note(io::ledger_kind::checkpoint_damaged, last_.counter, problem);
  }
  const int64_t kept = located.found ? static_cast<int64_t>(last_.counter) : -1;
  co_await on_.truncate_records(kept);
  if (located.found) {
    spdlog::info("{}: going on after {}", io::to_string(last_.phase), last_.counter);
    on_.note(io::ledger_kind::phase_resumed, last_.counter,
             fmt::format("restored {}: verified in {:.3f} s, read in {:.3f} s", located.path, search.seconds, read_s));
  } else {
    on_.note(io::ledger_kind::phase_started, total_);
  }
}

bool checkpointing::due(bool last) const {
  const uint64_t counter = on_.state().counter;
  const auto every = static_cast<uint64_t>(on_.job().run.checkpoint_every);
  return (last || on_.stopping() || counter % every == 0) && counter != last_.counter;
}

void checkpointing::require_written() const {
  if (failure_) {
    throw *failure_;
  }
}

task<checkpointing::pause> checkpointing::copy() {
  require_written();
  const phase_state state = on_.state();
  const stopwatch watch;
  const auto copied =
      co_await on_.ask_all<checkpointer_actor, snapshot_reply>(&cast::checkpointer, snapshot_atom_v, state);
  last_ = state;
  pause stood{.copy_s = 0, .all_s = watch.seconds()};
  for (const snapshot_reply& rank : copied) {
    stood.copy_s = std::max(stood.copy_s, rank.seconds);
  }
  if (stood.waited_s() > noticeable_wait_s) {
    spdlog::warn("{} {}: training waited {:.1f} s for the checkpoint before to be written: the file system is slow, or "
                 "run.checkpoint-every = {} too small for it",
                 io::to_string(state.phase), state.counter, stood.waited_s(), on_.job().run.checkpoint_every);
  }
  co_return stood;
}

/// The record becomes durable before the checkpoint does: on resume, the records to drop are those beyond the
/// checkpoint.
task<> checkpointing::close(metrics_record line, bool last) {
  require_written();
  const bool best = note_best(line.values);
  const bool is_due = due(last || best);
  pause stood;
  if (is_due) {
    stood = co_await copy();
    line.values["time/checkpoint_copy_s"] = stood.copy_s;
    line.values["time/checkpoint_stall_s"] = stood.all_s;
    line.durable = true;
  }
  co_await on_.record(std::move(line));
  if (is_due) {
    commit_when_written(stood);
  }
}

bool checkpointing::note_best(const statistics& evaluated) {
  return on_.job().run.keep_best && actors::note_best(on_.state(), measure_, evaluated);
}

best_so_far checkpointing::best() const {
  return on_.job().run.keep_best ? best_of(on_.state(), measure_) : best_so_far{};
}

/// Training goes on while files are written. A checkpointer answers in order, so that what it says is about the last
/// copy.
void checkpointing::commit_when_written(pause stood) {
  const auto checkpointers = on_.company().everyone<checkpointer_actor>(&cast::checkpointer);
  const auto begun = std::make_shared<unfinished>();
  begun->phase = on_.state().phase;
  begun->copy_s = stood.copy_s;
  begun->committer = checkpointers.front();
  begun->missing = checkpointers.size();
  begun->command.counter = on_.state().counter;
  begun->command.files.resize(checkpointers.size());
  begun->command.best = best();
  for (size_t rank = 0; rank < checkpointers.size(); ++rank) {
    const auto written = [=, this](const written_file& file) {
      begun->command.files[rank] = file;
      if (--begun->missing == 0) {
        commit(begun);
      }
    };
    on_.self()
        ->request(checkpointers[rank], reply_deadline, durable_atom_v)
        .then(written, [=, this](const caf::error& reason) { note_failure(*begun, reason); });
  }
}

void checkpointing::commit(std::shared_ptr<const unfinished> written) {
  on_.self()
      ->request(written->committer, reply_deadline, commit_atom_v, written->command)
      .then([=, this](const durable_report& durable) { note_success(*written, durable); },
            [=, this](const caf::error& reason) { note_failure(*written, reason); });
}

void checkpointing::note_success(const unfinished& written, const durable_report& durable) {
  std::string text = fmt::format("{}: {} bytes in {:.2f} s, copied in {:.3f} s", durable.path, durable.bytes,
                                 durable.seconds, written.copy_s);
  const best_so_far& best = written.command.best;
  if (best.counter == static_cast<int64_t>(durable.counter)) {
    text += fmt::format("; the best so far: {} = {:.6g}", best.metric, best.value);
  }
  on_.note({.kind = io::ledger_kind::checkpoint,
            .phase = written.phase,
            .counter = durable.counter,
            .text = std::move(text)});
}

void checkpointing::note_failure(const unfinished& begun, const caf::error& reason) {
  failure_ = to_troupe_error(reason);
  on_.note({.kind = io::ledger_kind::checkpoint_failed,
            .phase = begun.phase,
            .counter = begun.command.counter,
            .text = failure_->what()});
}

task<> checkpointing::await_durable() {
  co_await on_.ask_all<checkpointer_actor, written_file>(&cast::checkpointer, durable_atom_v);
  // Once all have answered, a commit that is due has been ordered: rank 0 answers this after it.
  const commit_command nothing;
  co_await on_.ask_first<checkpointer_actor, durable_report>(&cast::checkpointer, commit_atom_v, nothing);
  require_written();
}

task<> checkpointing::end_phase() {
  if (due(true)) {
    const pause stood = co_await copy();
    commit_when_written(stood);
  }
  co_await await_durable();
  if (on_.state().counter == total_) {
    co_await save_models();
    on_.finish_phase();
  }
}

task<> checkpointing::save_models() {
  const auto paths =
      co_await on_.ask_all<checkpointer_actor, std::vector<std::string>>(&cast::checkpointer, save_atom_v);
  for (const std::vector<std::string>& of_rank : paths) {
    for (const std::string& path : of_rank) {
      spdlog::info("{}: saved {}", io::to_string(on_.state().phase), (on_.run().root() / path).string());
    }
  }
}

task<> checkpointing::rescue_last() {
  if (!on_.company().has(&cast::checkpointer)) {
    co_return;
  }
  try {
    co_await await_durable();
  } catch (const error& failure) {
    spdlog::warn("the last checkpoint was not finished: {}", failure.what());
  }
}

}  // namespace troupe::actors
