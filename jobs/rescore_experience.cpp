#include "jobs/rescore_experience.hpp"

#include "actors/cast/judge_loading.hpp"
#include "actors/cast/judging.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/weights_digest.hpp"
#include "base/durations.hpp"
#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "base/thread_pool.hpp"
#include "engine/train/scoring.hpp"
#include "io/experience/capabilities.hpp"
#include "io/experience/experience_set.hpp"
#include "io/job/rewards_of_job.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/starting_folders.hpp"
#include "io/tokenizer/tokenizer.hpp"
#include "jobs/arguments.hpp"
#include "jobs/fields.hpp"
#include "jobs/new_experience.hpp"
#include "jobs/same_tokenizer.hpp"
#include "jobs/tidy_interrupt.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr int64_t tokens_at_once = 4096;

bool is_run(const fs::path& path) { return fs::is_regular_file(path / "job.ini"); }

/// The job whose reward sources the user means; without any, an empty one.
io::job judging_job(const std::string& rewards) {
  io::job job;
  if (rewards.empty()) {
    return job;
  }
  if (is_run(rewards)) {
    job = from_user([&] { return io::rewards_of_job((fs::path(rewards) / "job.ini").string()); });
    job.run.dir = rewards;
  } else if (!fs::is_directory(rewards)) {
    job = from_user([&] { return io::rewards_of_job(rewards); });
  } else {
    job.rewards.push_back({.name = "model", .kind = io::reward_kind::model, .model = rewards});
  }
  return job;
}

/// The folder of the model of sources that name none, as the job's run finds it; empty: there is no run to make it.
fs::path own_reward_model(const io::job& job) {
  if (!job.has(io::phase::reward)) {
    return io::starting_folders_of(job, nullptr).reward;
  }
  if (!is_run(job.run.dir)) {
    return {};
  }
  const io::run_directory run = io::run_directory::open(job.run.dir);
  return io::starting_folders_of(job, &run).reward;
}

void require_own_model(const io::job& job) {
  const fs::path own = own_reward_model(job);
  for (const io::reward_source& source : job.rewards) {
    if (source.kind == io::reward_kind::model && source.model.empty() && !fs::exists(own / "config.json")) {
      throw usage_error("rewards.{} is a model that is not there: the run {} has made none. Name one by "
                        "rewards.{}.model",
                        source.name, job.run.dir, source.name);
    }
  }
}

struct found_tokenizer {
  std::unique_ptr<io::tokenizer> tokens;
  fs::path folder;
};

/// The first tokenizer of the folders that may have the policy's, the likeliest first.
found_tokenizer find_tokenizer(const rescoring& how, const io::job& job) {
  std::vector<fs::path> folders = {how.tokenizer};
  if (is_run(how.source)) {
    folders.emplace_back(io::run_directory::open(how.source).recorded_job().model.policy);
  }
  folders.emplace_back(job.model.policy);
  folders.emplace_back(how.reference);
  folders.emplace_back(how.critic);
  for (const io::reward_source& source : job.rewards) {
    folders.emplace_back(source.model);
  }
  for (const fs::path& folder : folders) {
    if (folder.empty()) {
      continue;
    }
    if (auto tokens = actors::own_tokenizer(folder)) {
      return {std::move(tokens), folder};
    }
    if (folder == how.tokenizer) {
      throw usage_error("--tokenizer {}: there is no tokenizer", how.tokenizer);
    }
  }
  throw usage_error("which tokenizer wrote the answers is not known: name a model's folder by --tokenizer");
}

class rescorer {
public:
  explicit rescorer(const rescoring& how);

  void rescore(io::experience& e, const fs::path& file);

private:
  void require_fit(const io::experience& e, const fs::path& file) const;
  void require_read(const actors::model& m) const;
  void forget(io::experience& e) const;
  void require_verdicts(const io::experience& e, const fs::path& file) const;
  void score(io::experience& e, const actors::scored_batch& batch);

  thread_pool pool_;
  context ctx_{pool_};
  found_tokenizer tokenizer_;
  std::vector<actors::reward_judge> judges_;  ///< none: raw rewards stay
  actors::model_ptr reference_, critic_;      ///< null: what they said stays
  std::string reference_digest_, critic_digest_;
};

rescorer::rescorer(const rescoring& how) : pool_(how.threads) {
  const io::job job = judging_job(how.rewards);
  require_own_model(job);
  tokenizer_ = find_tokenizer(how, job);
  for (const io::reward_source& source : job.rewards) {
    judges_.push_back(actors::load_judge(source, {.own_model = own_reward_model(job), .loading = {.type = how.type}}));
    if (judges_.back().of) {
      require_read(*judges_.back().of);
    }
  }
  if (!how.reference.empty()) {
    reference_ = actors::load_model(how.reference, actors::head_kind::language_model, {.type = how.type});
    require_read(*reference_);
    reference_digest_ = actors::weights_digest(ctx_, *reference_);
  }
  if (!how.critic.empty()) {
    critic_ = actors::load_model(how.critic, actors::head_kind::stored_scalar, {.type = how.type});
    require_read(*critic_);
    critic_digest_ = actors::weights_digest(ctx_, *critic_);
  }
}

void rescorer::require_read(const actors::model& m) const {
  const std::string problem =
      actors::reading_problem(*tokenizer_.tokens, tokenizer_.folder, m.net.description(), m.folder);
  if (!problem.empty()) {
    throw error(errc::bad_argument, "{}", problem);
  }
}

void rescorer::require_fit(const io::experience& e, const fs::path& file) const {
  require_same_tokenizer(e, file, *tokenizer_.tokens, tokenizer_.folder);
  for (const actors::reward_judge& judge : judges_) {
    if (judge.source.kind == io::reward_kind::answer) {
      io::require_served(e, &io::capabilities::labels, "rewards." + judge.source.name, file.string());
    }
  }
}

actors::sequence_handle sequence_of(const io::experience& e, int64_t b) {
  const auto at = static_cast<size_t>(b);
  const auto prompt = e.prompt_tokens(b);
  const auto answer = e.answer_tokens(b);
  auto sequence = std::make_shared<actors::finished_sequence>();
  sequence->sequence_id = e.sequence_id_B[at];
  sequence->prompt = {.tokens = {prompt.begin(), prompt.end()},
                      .prompt_id = e.prompt_id_B[at],
                      .source = e.source_B[at],
                      .reference = e.label_text_B.empty() ? "" : e.label_text_B[at]};
  sequence->answer = {answer.begin(), answer.end()};
  sequence->finished = e.finished_B[at] != 0;
  return {std::move(sequence)};
}

/// As in a run: a source that may be without a reward gives enough of them, any other all.
void rescorer::require_verdicts(const io::experience& e, const fs::path& file) const {
  for (size_t s = 0; s < judges_.size(); ++s) {
    std::vector<float> raw;
    for (size_t at = s; at < e.reward_raw_BS.size(); at += judges_.size()) {
      raw.push_back(e.reward_raw_BS[at]);
    }
    const io::reward_source& source = judges_[s].source;
    if (actors::may_be_unscorable(source.kind)) {
      actors::require_scored(source, raw);
      continue;
    }
    const auto bad = std::find_if_not(raw.begin(), raw.end(), [](float reward) { return std::isfinite(reward); });
    if (bad != raw.end()) {
      throw error(errc::not_finite, "{}: rewards.{} gives sequence {} a reward of {}", file.string(), source.name,
                  e.sequence_id_B[static_cast<size_t>(bad - raw.begin())], *bad);
    }
  }
}

void append(std::vector<float>& to, std::span<const float> values) {
  to.insert(to.end(), values.begin(), values.end());
}

void rescorer::score(io::experience& e, const actors::scored_batch& batch) {
  if (reference_) {
    const auto found = engine::answer_log_probs(ctx_, reference_->net, reference_->weights.data(), batch.packed,
                                                static_cast<float>(e.temperature));
    append(e.logprob_ref_A, require_finite(found, reference_->folder));
  }
  if (critic_) {
    const auto found = engine::answer_values(ctx_, critic_->net, critic_->weights.data(), batch.packed);
    append(e.value_A, require_finite(found, critic_->folder));
  }
}

/// What the old judges said, and all that was made of it.
void rescorer::forget(io::experience& e) const {
  e.reward_shaped_A.clear();
  e.advantage_A.clear();
  e.shaping.reset();
  if (!judges_.empty()) {
    e.reward_raw_BS.clear();
    e.reward_names.clear();
    e.reward_weight_S.clear();
    for (const actors::reward_judge& judge : judges_) {
      e.reward_names.push_back(judge.source.name);
      e.reward_weight_S.push_back(judge.source.weight);
    }
  }
  if (reference_) {
    e.logprob_ref_A.clear();
    e.reference_digest = reference_digest_;
  }
  if (critic_) {
    e.value_A.clear();
    e.critic_digest = critic_digest_;
  }
}

void rescorer::rescore(io::experience& e, const fs::path& file) {
  require_fit(e, file);
  forget(e);
  actors::judging judges(ctx_, judges_, *tokenizer_.tokens, e.source_names);
  std::vector<actors::sequence_handle> some;
  int64_t tokens = 0;
  for (int64_t b = 0; b < e.sequences(); ++b) {
    some.push_back(sequence_of(e, b));
    tokens += some.back()->tokens();
    if (tokens < tokens_at_once && b + 1 < e.sequences()) {
      continue;
    }
    const actors::scored_batch batch{.sequences = some, .packed = actors::pack(some)};
    if (!judges_.empty()) {
      for (const std::vector<float>& verdict : judges.verdicts(batch)) {
        append(e.reward_raw_BS, verdict);
      }
    }
    score(e, batch);
    some.clear();
    tokens = 0;
  }
  require_verdicts(e, file);
}

void tell_progress(const stopwatch& watch, const io::experience& e, size_t done, size_t files) {
  const double left = watch.seconds() / static_cast<double>(done) * static_cast<double>(files - done);
  spdlog::info("iteration {}: {} answers scored, {} of {} files{}", e.iteration, e.sequences(), done, files,
               done < files ? fmt::format(", {} left", duration_text(left)) : "");
}

}  // namespace

std::string rescore_experience(const rescoring& how) {
  const std::vector<fs::path> files = io::find_experience(how.source);
  const tidy_interrupt tidy;
  new_experience out(how.target);
  rescorer scorer(how);
  const stopwatch watch;
  for (size_t i = 0; i < files.size(); ++i) {
    io::experience e = io::read_experience(files[i]);
    scorer.rescore(e, files[i]);
    out.add(e);
    tell_progress(watch, e, i + 1, files.size());
  }
  out.commit();
  return fmt::format("{}: {} answers in {} files scored anew\n{}", how.target, out.answers(), out.files(),
                     out.serves());
}

}  // namespace troupe
