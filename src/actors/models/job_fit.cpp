#include "actors/models/job_fit.hpp"

#include "actors/models/data_fit.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/options.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/models/rollout_lengths.hpp"
#include "base/error.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/tensor_parallel/columns.hpp"
#include "io/job/phases.hpp"
#include "io/rewards/lexicon.hpp"
#include "io/run/starting_folders.hpp"
#include "io/weights/model_folder.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
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

std::vector<reader> readers_of(const io::job& job, const io::starting_folders& from) {
  if (job.has(io::phase::replay)) {
    return {{"the critic", from.critic}};  // what all others said is stored
  }
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
  const int64_t pages = generator_settings_of(rollout_of(job, io::phase::ppo), part, computed_type_of(job)).cache_pages;
  const int64_t needed = engine::kv_cache::pages_for(longest);
  if (needed > pages) {
    const int64_t bytes = needed * engine::kv_cache::page_bytes(part, computed_type_of(job));
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

/// The reward model that a phase trains on pairs of the policy's own samples reads the policy's ids.
bool trains_on_made_pairs(const io::job& job) {
  return job.has(io::phase::reward) && io::feeds(job, io::phase::pairs, io::phase::reward);
}

void check_rollouts(const io::job& job, const io::starting_folders& from, const io::tokenizer* tokens,
                    std::vector<std::string>& misfits) {
  const engine::model_description policy = shape_of(from.policy);
  const int64_t longest = std::max(longest_in(job, io::phase::pairs, policy), longest_in(job, io::phase::ppo, policy));
  if (longest == 0) {
    return;
  }
  check_cache(job, policy, longest, misfits);
  std::vector<reader> readers = job.has(io::phase::ppo) ? readers_of(job, from) : std::vector<reader>();
  for (const reader& by : readers) {
    check_positions(by, longest_in(job, io::phase::ppo, policy), misfits);
  }
  if (trains_on_made_pairs(job)) {
    readers.push_back({"the reward model", from.trunk});
  }
  std::map<fs::path, std::string> problems;  // several readers may come from one folder
  for (const reader& by : readers) {
    const auto [problem, fresh] = problems.try_emplace(by.folder);
    if (fresh && tokens != nullptr) {
      problem->second = reading_problem(*tokens, from.policy, shape_of(by.folder), by.folder);
    }
    if (!problem->second.empty()) {
      misfits.push_back(fmt::format("{}: {}", by.key, problem->second));
    }
  }
}

void check_policy_is_one(const fs::path& folder, std::vector<std::string>& misfits) {
  if (const std::string problem = head_problem(shape_of(folder), {}, head_kind::language_model); !problem.empty()) {
    misfits.push_back(fmt::format("model.policy = {}: {}", folder.string(), problem));
  }
}

/// Opens the weights of a folder; none of their numbers is read.
void check_weights(const reader& of, bool judges, needed_weights weights, std::vector<std::string>& misfits) {
  try {
    const io::model_folder source = io::model_folder::open(of.folder);
    const head_kind head = judges ? head_kind::stored_scalar : head_kind::as_stored;
    if (const std::string problem = head_problem(shape_of(of.folder), source.tensor_names(), head); !problem.empty()) {
      misfits.push_back(fmt::format("{} ({}): {}", of.key, of.folder.string(), problem));
    }
  } catch (const error& failure) {
    if (weights == needed_weights::all) {
      misfits.push_back(fmt::format("{}: {}", of.key, failure.what()));
    }
  }
}

/// Of the models that are read from where the job names them, whichever phase does so.
void check_all_weights(const io::job& job, const io::starting_folders& from, needed_weights weights,
                       std::vector<std::string>& misfits) {
  const auto is_drawn = [&](const fs::path& folder) {
    return job.model.initial == io::initial_weights::random && folder == job.model.policy;
  };
  std::vector<reader> learners = {{"model.policy", job.model.policy}};
  if (job.has(io::phase::reward)) {
    learners.push_back({"the reward model", from.trunk});
  }
  if (job.has(io::phase::ppo)) {
    learners.push_back({"the reference", from.reference});
  }
  if (job.has(io::phase::ppo) || job.has(io::phase::replay)) {
    learners.push_back({"the critic", from.critic});
  }
  for (const reader& of : learners) {
    if (!is_drawn(of.folder)) {
      check_weights(of, false, weights, misfits);
    }
  }
  for (const io::reward_source& source : job.rewards) {
    const bool made = source.model.empty() && job.has(io::phase::reward);
    if (source.kind == io::reward_kind::model && job.has(io::phase::ppo) && !made) {
      check_weights({"rewards." + source.name, source.model.empty() ? from.reward : fs::path(source.model)}, true,
                    weights, misfits);
    }
  }
}

void check_models(const io::job& job, const io::tokenizer* tokens, needed_weights weights,
                  std::vector<std::string>& misfits) {
  const io::starting_folders from = io::starting_folders_of(job, nullptr);
  if (!all_have_configs(job, from)) {
    return;  // what is missing is told by who reads it
  }
  if (weights != needed_weights::none) {
    check_all_weights(job, from, weights, misfits);
  }
  check_policy_is_one(job.model.policy, misfits);
  check_lengths(job, "model.policy", job.model.policy, misfits);
  if (job.has(io::phase::reward)) {
    check_lengths(job, "the reward model", from.trunk, misfits);
    if (from.trunk != job.model.policy) {
      own_tokenizer(from.trunk);  // whether it can be read at all
    }
  }
  if (tokens != nullptr) {
    if (std::string problem = vocabulary_problem(*tokens, from.policy, shape_of(from.policy), from.policy);
        !problem.empty()) {
      misfits.push_back("model.policy: " + std::move(problem));
    }
  }
  check_rollouts(job, from, tokens, misfits);
}

/// Word lists that rules judge by.
void check_rules(const io::job& job, std::vector<std::string>& misfits) {
  std::error_code ignored;
  for (const io::reward_source& source : job.rewards) {
    if (source.kind != io::reward_kind::lexicon || !fs::is_regular_file(source.lexicon, ignored)) {
      continue;
    }
    try {
      io::lexicon::load(source.lexicon);
    } catch (const error& failure) {
      misfits.push_back(fmt::format("rewards.{}.lexicon: {}", source.name, failure.what()));
    }
  }
}

}  // namespace

std::vector<std::string> misfits_of(const io::job& job, needed_weights weights) {
  std::vector<std::string> misfits;
  std::unique_ptr<io::tokenizer> tokens;
  try {
    tokens = own_tokenizer(job.model.policy);
    check_models(job, tokens.get(), weights, misfits);
  } catch (const error& failure) {  // a file of a model cannot be read: the rest is still looked at
    misfits.emplace_back(failure.what());
  }
  check_rules(job, misfits);
  const std::vector<std::string> of_data = data_misfits(job, tokens.get());
  misfits.insert(misfits.end(), of_data.begin(), of_data.end());
  // The same folder may stand in several places.
  std::sort(misfits.begin(), misfits.end());
  misfits.erase(std::unique(misfits.begin(), misfits.end()), misfits.end());
  return misfits;
}

void require_fit(const io::job& job, needed_weights weights) {
  if (const auto misfits = misfits_of(job, weights); !misfits.empty()) {
    throw error(errc::bad_argument, "the job does not fit what it names:\n  {}", fmt::join(misfits, "\n  "));
  }
}

}  // namespace troupe::actors
