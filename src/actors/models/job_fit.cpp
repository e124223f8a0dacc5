#include "actors/models/job_fit.hpp"

#include "actors/models/model_fit.hpp"
#include "actors/models/options.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/models/rollout_lengths.hpp"
#include "base/error.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/tensor_parallel/columns.hpp"
#include "io/json/json_keys.hpp"
#include "io/run/starting_folders.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

namespace troupe::actors {

namespace {

namespace fs = std::filesystem;

constexpr int64_t mib = int64_t{1} << 20;

/// A model that reads what the policy writes, and which key names it.
struct reader {
  std::string key;
  fs::path folder;
};

engine::model_description shape_of(const fs::path& folder) {
  return engine::describe(io::read_json_keys(folder / "config.json"));
}

std::vector<reader> readers_of(const io::job& job, const io::starting_folders& from) {
  std::vector<reader> readers = {{"the reference", from.reference}, {"the critic", from.critic}};
  for (const io::reward_source& source : job.rewards) {
    if (source.kind == io::reward_kind::model) {
      readers.push_back({"rewards." + source.name, source.model.empty() ? from.reward : fs::path(source.model)});
    }
  }
  return readers;
}

bool all_have_configs(const io::job& job, const io::starting_folders& from) {
  std::vector<reader> models = readers_of(job, from);
  models.push_back({"model.policy", job.model.policy});
  models.push_back({"the policy", from.policy});
  models.push_back({"the reward model", from.trunk});
  return std::all_of(models.begin(), models.end(),
                     [](const reader& model) { return fs::exists(model.folder / "config.json"); });
}

/// 0 where the job does not have the phase.
int64_t longest_in(const io::job& job, io::phase phase, const engine::model_description& policy) {
  return job.has(phase) ? longest_rollout(job, phase, policy.max_positions) : 0;
}

void check_lengths(const io::job& job, const std::string& key, const fs::path& folder,
                   std::vector<std::string>& misfits) {
  if (std::string problem = length_problem(job, shape_of(folder), folder); !problem.empty()) {
    misfits.push_back(fmt::format("{}: {}", key, problem));
  }
}

/// One rank's part of a sequence must fit into its cache.
void check_cache(const io::job& job, const engine::model_description& policy, int64_t longest,
                 std::vector<std::string>& misfits) {
  const int ranks = static_cast<int>(job.place.policy_ranks.ranks.empty()
                                         ? job.place.ranks
                                         : static_cast<int64_t>(job.place.policy_ranks.ranks.size()));
  const int together = tensor_parallel_of(job.place, ranks);
  const engine::model_description part = engine::description_of(policy, engine::split_columns(policy, 0, together));
  const int64_t pages = generator_settings_of(rollout_of(job, io::phase::ppo), part).cache_pages;
  const int64_t needed = engine::kv_cache::pages_for(longest);
  if (needed > pages) {
    const int64_t bytes = needed * engine::kv_cache::page_bytes(part);
    misfits.push_back(fmt::format("generation.cache-mib = {} holds {} pages of keys and values, but a sequence of {} "
                                  "tokens (length.max-prompt-tokens and the new ones) needs {}: give at least {}",
                                  job.generation.cache_mib, pages, longest, needed, (bytes + mib - 1) / mib));
  }
}

void check_positions(const reader& by, int64_t longest, std::vector<std::string>& misfits) {
  if (const int64_t positions = shape_of(by.folder).max_positions; longest > positions) {
    misfits.push_back(fmt::format("{} ({}) has {} positions, but the policy writes sequences of up to {} tokens: lower "
                                  "generation.max-new-tokens or length.max-prompt-tokens, or name another model",
                                  by.key, by.folder.string(), positions, longest));
  }
}

void check_rollouts(const io::job& job, const io::starting_folders& from, std::vector<std::string>& misfits) {
  const engine::model_description policy = shape_of(from.policy);
  const int64_t longest = std::max(longest_in(job, io::phase::pairs, policy), longest_in(job, io::phase::ppo, policy));
  if (longest == 0) {
    return;
  }
  check_cache(job, policy, longest, misfits);
  if (!job.has(io::phase::ppo)) {
    return;
  }
  const std::unique_ptr<io::tokenizer> tokens = own_tokenizer(from.policy);
  for (const reader& by : readers_of(job, from)) {
    check_positions(by, longest_in(job, io::phase::ppo, policy), misfits);
    if (std::string problem = tokens ? vocabulary_problem(*tokens, from.policy, shape_of(by.folder), by.folder) : "";
        !problem.empty()) {
      misfits.push_back(fmt::format("{}: {}", by.key, problem));
    }
  }
}

}  // namespace

std::vector<std::string> misfits_of(const io::job& job) {
  const io::starting_folders from = io::starting_folders_of(job, nullptr);
  if (!all_have_configs(job, from)) {
    return {};  // what is missing is told by who reads it
  }
  std::vector<std::string> misfits;
  check_lengths(job, "model.policy", job.model.policy, misfits);
  if (job.has(io::phase::reward)) {
    check_lengths(job, "the reward model", from.trunk, misfits);
  }
  check_rollouts(job, from, misfits);
  // The same folder may stand in several places.
  std::sort(misfits.begin(), misfits.end());
  misfits.erase(std::unique(misfits.begin(), misfits.end()), misfits.end());
  return misfits;
}

void require_fit(const io::job& job) {
  if (const auto misfits = misfits_of(job); !misfits.empty()) {
    throw error(errc::bad_argument, "the job does not fit its models:\n  {}", fmt::join(misfits, "\n  "));
  }
}

}  // namespace troupe::actors
