#include "io/fork/fork.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/checkpoint/checkpoint_files.hpp"
#include "io/experience/experience.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"
#include "io/job/phases.hpp"
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/phases_begun.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

namespace troupe::io {

namespace fs = std::filesystem;

namespace {

std::vector<found_checkpoint> checkpoints_of(const run_directory& run, phase of) {
  return list_checkpoints(run.checkpoints(), std::string(to_string(of)));
}

/// The best of a phase's checkpoints, as its newest one says.
std::optional<found_checkpoint> best_among(const std::vector<found_checkpoint>& all) {
  const int64_t best = all.empty() ? -1 : get_int(all.back().manifest.counters, "best", -1);
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.manifest.counter == best; });
  return found == all.end() ? std::nullopt : std::optional(*found);
}

std::optional<found_checkpoint> best_of(const run_directory& run, phase of) {
  return best_among(checkpoints_of(run, of));
}

std::optional<found_checkpoint> counted(const run_directory& run, phase of, std::string_view number) {
  int64_t counter = -1;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), counter);
  if (read.ec != std::errc() || read.ptr != number.data() + number.size()) {
    return std::nullopt;
  }
  for (const found_checkpoint& one : checkpoints_of(run, of)) {
    if (one.manifest.counter == counter) {
      return one;
    }
  }
  return std::nullopt;
}

const std::vector<phase>& all_phases() {
  static const std::vector<phase> phases = {phase::pairs, phase::sft, phase::reward, phase::ppo};
  return phases;
}

std::optional<found_checkpoint> named(const run_directory& run, const std::string& at) {
  if (at == "best") {
    for (auto of = all_phases().rbegin(); of != all_phases().rend(); ++of) {
      if (const auto best = best_of(run, *of)) {
        return best;
      }
    }
    return std::nullopt;
  }
  const size_t slash = at.find('/');
  const std::optional<phase> of = slash == std::string::npos ? std::nullopt : phase_of(at.substr(0, slash));
  if (!of) {
    return std::nullopt;
  }
  const std::string which = at.substr(slash + 1);
  return which == "best" ? best_of(run, *of) : counted(run, *of, which);
}

/// By its folder, named from here or from the run.
std::optional<found_checkpoint> placed(const run_directory& run, const std::string& at) {
  std::vector<found_checkpoint> all;
  for (const phase of : all_phases()) {
    std::ranges::move(checkpoints_of(run, of), std::back_inserter(all));
  }
  std::error_code ignored;
  for (const fs::path& given : {fs::path(at), run.root() / at, run.checkpoints() / at}) {
    for (const found_checkpoint& one : all) {
      if (fs::equivalent(one.folder, given, ignored)) {
        return one;
      }
    }
  }
  return std::nullopt;
}

std::string known_points(const run_directory& run) {
  std::vector<std::string> known;
  for (const phase of : all_phases()) {
    const std::vector<found_checkpoint> all = checkpoints_of(run, of);
    for (const found_checkpoint& one : all) {
      known.push_back(fmt::format("{}/{}", to_string(of), one.manifest.counter));
    }
    if (best_among(all)) {
      known.push_back(fmt::format("{}/best", to_string(of)));
    }
  }
  return known.empty() ? "it has none" : fmt::format("it has {}", fmt::join(known, ", "));
}

/// Whether what a phase has made depends on another.
bool goes_on_from(const job& job, phase user, phase maker) {
  return feeds(job, maker, user) || std::any_of(all_phases().begin(), all_phases().end(), [&](phase between) {
           return feeds(job, maker, between) && feeds(job, between, user);
         });
}

/// The finished phases that come along: those that do not go on from the phase of the checkpoint.
std::vector<phase> kept_phases(const run_directory& from, const fork_point& at) {
  const job before = from.recorded_job();
  std::vector<phase> out;
  for (const phase one : phases_begun_of(read_ledger(from.ledger())).finished()) {
    if (one != at.of && !goes_on_from(before, one, at.of)) {
      out.push_back(one);
    }
  }
  return out;
}

/// Copies a run's files into another.
class forking {
public:
  forking(const run_directory& from, const fork_point& at, const job& job, const key_map& counters)
      : from_(from), at_(at), job_(job), counters_(counters), to_(fs::path(job.run.dir)), kept_(kept_phases(from, at)) {
  }

  void make() const;

private:
  void copy_file(const fs::path& name) const;
  void copy_folder(const fs::path& name) const;
  void copy_checkpoints() const;
  void copy_results() const;
  void copy_experience(const fs::path& folder) const;
  void copy_records() const;
  void write_ledger() const;
  fs::path name_of_checkpoint() const { return at_.folder.lexically_relative(from_.root()); }

  const run_directory& from_;
  const fork_point& at_;
  const job& job_;
  const key_map& counters_;
  fs::path to_;
  std::vector<phase> kept_;
};

void forking::copy_file(const fs::path& name) const {
  make_folder((to_ / name).parent_path());
  fs::copy_file(from_.root() / name, to_ / name);
  sync_file(to_ / name);
}

void forking::copy_folder(const fs::path& name) const {
  if (!is_there(from_.root() / name)) {
    return;
  }
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from_.root() / name)) {
    if (entry.is_regular_file()) {
      copy_file(entry.path().lexically_relative(from_.root()));
    }
  }
}

/// What the checkpoint was made with of rewards holds no longer, where the job has others now.
void forking::copy_checkpoints() const {
  copy_folder(name_of_checkpoint());
  const fs::path copy = to_ / name_of_checkpoint();
  checkpoint_manifest manifest = read_manifest(copy);
  verify_checkpoint(copy, manifest);
  manifest.counters["forked_from"] = at_.folder.string();
  for (const auto& [name, value] : counters_) {
    manifest.counters[name] = value;
  }
  manifest.digests["job"] = digest_text(job_digest(job_, at_.of));
  std::erase_if(manifest.digests, [](const auto& one) { return one.first.starts_with("rewards."); });
  write_file_atomically(copy / manifest_name, manifest_text(manifest));
  const auto best = best_of(from_, at_.of);
  if (best && best->manifest.counter < at_.counter) {
    copy_folder(best->folder.lexically_relative(from_.root()));
  }
}

void forking::copy_results() const {
  for (const phase one : kept_) {
    switch (one) {
    case phase::pairs:
      copy_folder("pairs");
      break;
    case phase::sft:
    case phase::reward:
      copy_folder(fs::path("models") / to_string(one));
      break;
    case phase::ppo:
    case phase::replay:
      break;  // comes last: nothing goes on from it
    }
  }
}

void forking::copy_experience(const fs::path& folder) const {
  for (const fs::path& file : experience_files(from_.root() / folder)) {
    if (iteration_of(file).value() <= at_.counter) {
      copy_file(file.lexically_relative(from_.root()));
    }
  }
}

void forking::copy_records() const {
  const auto is_kept = [&](const std::string& name) {
    const std::optional<phase> of = phase_of(name);
    return of && contains(kept_, *of);
  };
  std::string lines;
  for (const metrics_record& record : read_metrics(from_.metrics())) {
    const bool own = record.phase == to_string(at_.of) && record.counter() <= at_.counter;
    lines += own || is_kept(record.phase) ? metrics_line(record) + "\n" : "";
  }
  write_file_atomically(to_ / "metrics.jsonl", lines);
  copy_folder(fs::path("tensorboard") / to_string(at_.of));  // cut off where the run goes on
  for (const phase one : kept_) {
    copy_folder(fs::path("tensorboard") / to_string(one));
  }
}

void forking::write_ledger() const {
  ledger_writer ledger(to_ / "ledger.jsonl");
  ledger.append(
      {.kind = ledger_kind::forked,
       .phase = std::string(to_string(at_.of)),
       .counter = at_.counter,
       .fields = {{"from", fs::absolute(from_.root()).string()}, {"checkpoint", name_of_checkpoint().string()}}});
  for (const ledger_event& event : read_ledger(from_.ledger())) {
    const std::optional<phase> of = phase_of(event.phase);
    const bool progress = event.kind == ledger_kind::phase_started || event.kind == ledger_kind::phase_finished;
    const bool own = of == at_.of && event.kind == ledger_kind::phase_started;
    if (of && progress && (own || contains(kept_, *of))) {
      ledger.append({.kind = event.kind,
                     .time = event.time,
                     .phase = event.phase,
                     .counter = event.counter,
                     .fields = event.fields});
    }
  }
  ledger.append({.kind = ledger_kind::checkpoint,
                 .phase = std::string(to_string(at_.of)),
                 .counter = at_.counter,
                 .fields = {{"text", name_of_checkpoint().string() + ": copied"}}});
}

void forking::make() const {
  for (const char* folder : {"checkpoints", "experience", "models", "tensorboard"}) {
    make_folder(to_ / folder);
  }
  copy_checkpoints();
  copy_results();
  if (at_.of == phase::ppo) {
    copy_experience("experience");
    copy_experience("evaluations");
  }
  copy_records();
  write_ledger();
  write_file_atomically(to_ / "job.ini", job_text(job_));
  sync_folder(to_);
  write_file_atomically(to_ / "attempt", std::string_view("0\n"));
}

void require_no_objections(const std::vector<std::string>& objections, const fork_point& at) {
  if (!objections.empty()) {
    throw error(errc::bad_argument,
                "{} cannot be gone on from with another job:\n  {}\nGive these options their former values, fork at an "
                "earlier phase, or begin a run of its own: `troupe convert {} MODEL` makes a model.policy of it",
                at.folder.string(), fmt::join(objections, "\n  "), at.folder.string());
  }
}

}  // namespace

fork_point find_fork_point(const run_directory& from, const std::string& at) {
  auto found = named(from, at);
  if (!found) {
    found = placed(from, at);
  }
  const std::optional<phase> of = found ? phase_of(found->manifest.phase) : std::nullopt;
  if (!of) {
    throw error(errc::bad_argument, "{} has no checkpoint {}: {}", from.root().string(), at, known_points(from));
  }
  return {.of = *of, .counter = found->manifest.counter, .folder = found->folder};
}

std::vector<std::string> fork_objections(const run_directory& from, const fork_point& at, const job& job) {
  const io::job before = from.recorded_job();
  const std::vector<phase> kept = kept_phases(from, at);
  std::vector<std::string> out = differences(before, job, kept);
  for (const phase one : kept) {
    if (!falls_with_length(before, one)) {  // else among the others
      const std::vector<std::string> length = length_differences(before, job, one);
      out.insert(out.end(), length.begin(), length.end());
    }
  }
  for (std::string& line : input_differences(before, job, at.of)) {
    if (std::find(out.begin(), out.end(), line) == out.end()) {
      out.push_back(std::move(line));
    }
  }
  if (!job.has(at.of)) {
    out.push_back(fmt::format("run.phases = {} lacks {}", phases_text(job.run.phases), to_string(at.of)));
  }
  if (const auto length = length_of(job, at.of); length && *length < at.counter) {
    out.push_back(
        fmt::format("phase {} has done {} there, and the job gives it {}", to_string(at.of), at.counter, *length));
  }
  return out;
}

void fork_run(const run_directory& from, const fork_point& at, const job& job, const key_map& counters) {
  require_no_objections(fork_objections(from, at, job), at);
  const fs::path target = job.run.dir;
  std::error_code ignored;
  if (fs::exists(target, ignored) && (!fs::is_directory(target, ignored) || !fs::is_empty(target, ignored))) {
    throw error(errc::bad_argument, "{} is there already, and not empty: give another run.dir", target.string());
  }
  try {
    forking(from, at, job, counters).make();
  } catch (const fs::filesystem_error& failure) {
    throw error(errc::io_failure, "cannot fork {} into {}: {}", from.root().string(), target.string(), failure.what());
  }
}

}  // namespace troupe::io
