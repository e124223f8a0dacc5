#include "actors/director/recall.hpp"

#include "actors/director/ppo_state.hpp"
#include "actors/director/scoring_groups.hpp"
#include "base/stopwatch.hpp"
#include "io/files/paths.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

task<statistics> recall(director_context& on, recall_command stored) {
  const stopwatch watch;
  const auto replies = co_await on.ask_all<replay_actor, recall_reply>(&cast::replay, recall_atom_v, std::move(stored));
  if (const int64_t rollbacks = replies.front().rollbacks; rollbacks > 0) {
    set_rollbacks(on.state(), static_cast<double>(rollbacks));
  }
  co_return statistics{{"time/recall_s", watch.seconds()}};
}

/// The files of the iterations before this one that are near enough.
static std::vector<std::string> files_before(const io::job& job, const io::run_directory& run, uint64_t iteration) {
  const auto now = static_cast<int64_t>(iteration);
  std::vector<std::string> files;
  for (int64_t i = std::max<int64_t>(1, now - job.mixing_window()); i < now; ++i) {
    const std::filesystem::path file = run.experience(i);
    if (io::is_there(file)) {
      files.push_back(file.string());
    } else if (!job.replay.allows(io::replay_leniency::iterations)) {
      throw error(errc::not_found,
                  "{} is missing: iteration {} mixes in answers of the {} before it (experience.mix, "
                  "experience.max-staleness). Put it back, or begin a run that mixes nothing in",
                  file.string(), iteration, job.mixing_window());
    }
  }
  return files;
}

task<statistics> mix_in(director_context& on, const io::run_directory& from, uint64_t iteration) {
  if (on.job().mixing_window() == 0) {
    co_return statistics{};
  }
  const stopwatch watch;
  mix_command command;
  command.iteration = iteration;
  command.policy_version = updates_done(on.state());
  command.files = files_before(on.job(), from, iteration);
  const auto taken = co_await on.ask_all<replay_actor, statistics>(&cast::replay, mix_atom_v, command);
  statistics found = taken.front();  // the same on every rank
  found["time/mix_s"] = watch.seconds();
  co_return found;
}

task<statistics> score_by_policy(director_context& on) {
  if (!on.company().has(&cast::policy_scorer)) {
    co_return statistics{};
  }
  const score_reply scored = co_await score_waiting(on, &cast::policy_scorer);
  statistics found;
  add_scoring(found, "policy_scoring", scored);
  co_return found;
}

}  // namespace troupe::actors
