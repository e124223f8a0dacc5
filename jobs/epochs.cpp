#include "jobs/epochs.hpp"

#include "actors/cast/loader.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/datasets/examples.hpp"
#include "io/experience/pairs_file.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

namespace troupe {

namespace {

/// A token for each text, so that no two that differ become equal.
std::vector<int32_t> one_token(std::string_view text, bool /*starts*/) {
  return {static_cast<int32_t>(digest(text) & 0x7fffffff)};
}

/// Of the run's pairs phase; empty: the phase does not train on any.
/// Errors  not_found: they are still to be made.
std::string made_pairs(const io::job& job, io::phase wanted) {
  const auto& phases = job.run.phases;
  const auto& trained_on = job.pairs.phases;
  if (std::find(phases.begin(), phases.end(), io::phase::pairs) == phases.end() ||
      std::find(trained_on.begin(), trained_on.end(), wanted) == trained_on.end()) {
    return "";
  }
  const std::filesystem::path made = io::pairs_file(io::run_directory::open(job.run.dir));
  if (!std::filesystem::exists(made)) {
    throw error(errc::not_found, "{} is not made yet", made.string());
  }
  return made.string();
}

int64_t updates_of(const io::job& job, io::phase wanted, const io::training_options& training) {
  const io::example_rules rules{
      .encode = one_token, .encode_chat = one_token, .start = {}, .end = {}, .length = job.length};
  try {
    const io::phase_data data = io::load_phase_data(job, wanted, rules, made_pairs(job, wanted));
    const auto epoch = static_cast<double>(io::epoch_size_of(actors::sources_of(data, job)));
    return std::max<int64_t>(1, static_cast<int64_t>(training.epochs * epoch / static_cast<double>(training.batch)));
  } catch (const error&) {
    return 0;
  }
}

}  // namespace

void count_epochs(const io::job& job, std::vector<phase_plan>& plans) {
  for (phase_plan& plan : plans) {
    if (plan.count == 0 && plan.phase == io::to_string(io::phase::sft)) {
      plan.count = updates_of(job, io::phase::sft, job.sft.training);
    } else if (plan.count == 0 && plan.phase == io::to_string(io::phase::reward)) {
      plan.count = updates_of(job, io::phase::reward, job.reward.training);
    }
  }
}

}  // namespace troupe
