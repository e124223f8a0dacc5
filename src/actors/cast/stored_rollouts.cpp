#include "actors/cast/stored_rollouts.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/experience/capabilities.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <utility>

namespace troupe::actors {

namespace {

class requirement {
public:
  requirement(const expected_experience& expected, const io::experience& e, const std::string& file)
      : expected_(expected), e_(e), file_(file) {}

  void iteration(int64_t wanted) const {
    if (e_.iteration != wanted) {
      refuse("it holds iteration {}, not {}: put the right file back", e_.iteration, wanted);
    }
  }

  void origin() const {
    const auto& jobs = expected_.job_digests;
    if (std::find(jobs.begin(), jobs.end(), e_.job_digest) == jobs.end() && !allows(io::replay_leniency::job)) {
      refuse("it was made by a job with digest {}, the run's is {}. Give back the run's own file{}", e_.job_digest,
             fmt::join(jobs, " or "), or_allow("to learn from it all the same", "job"));
    }
    if (e_.policy_digest != expected_.policy_digest && !allows(io::replay_leniency::policy)) {
      refuse("it comes from a run whose policy started with digest {}, here it starts with {}. Give back the run's own "
             "file or start model{}",
             e_.policy_digest, expected_.policy_digest, or_allow("to learn from another policy's answers", "policy"));
    }
    if (e_.tokenizer_digest != expected_.tokenizer_digest) {
      refuse(
          "its tokens are those of a tokenizer with digest {}, the policy's has {}: they mean other texts. Give back "
          "the policy's folder as it was",
          e_.tokenizer_digest, expected_.tokenizer_digest);
    }
    if (e_.temperature != expected_.temperature) {
      refuse("it was sampled at temperature {}, not {}: its log-probabilities are others", e_.temperature,
             expected_.temperature);
    }
  }

  void rewards() const {
    if (e_.reward_names != expected_.reward_names) {
      refuse("its raw rewards are of {}, the job's [rewards.*] are {}: give sections of these names",
             fmt::join(e_.reward_names, ", "), fmt::join(expected_.reward_names, ", "));
    }
  }

  void parts() const {
    for (bool io::capabilities::*need : {&io::capabilities::log_probs, &io::capabilities::reference,
                                         &io::capabilities::values, &io::capabilities::rewards}) {
      io::require_served(e_, need, expected_.mixing ? "experience.mix" : "a replay", file_);
    }
  }

  void groups() const {
    if (allows(io::replay_leniency::groups)) {
      return;
    }
    const std::string remedy = or_allow("to learn from what is there", "groups");
    if (!e_.complete) {
      refuse("it holds a part of what was sampled in its iteration. Give back the whole file{}", remedy);
    }
    std::map<uint64_t, int64_t> answers;
    for (const uint64_t group : e_.group_B) {
      ++answers[group];
    }
    if (static_cast<int64_t>(answers.size()) != expected_.prompts) {
      refuse("it has answers to {} prompts, an iteration of the run has {}: it is a part of one, or of another run. "
             "Give back the run's own file{}",
             answers.size(), expected_.prompts, remedy);
    }
    for (const auto& [key, count] : answers) {
      if (count != expected_.samples_per_prompt) {
        refuse("its group {} has {} answers, a group of the run has {}. Give back the whole file{}", key, count,
               expected_.samples_per_prompt, remedy);
      }
    }
  }

private:
  bool allows(io::replay_leniency what) const {
    return std::find(expected_.allowed.begin(), expected_.allowed.end(), what) != expected_.allowed.end();
  }
  std::string or_allow(const char* purpose, const char* word) const {
    return expected_.mixing ? "" : fmt::format(", or, {}, replay.allow = {}", purpose, word);
  }
  template <class... Args> [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
    throw error(errc::bad_argument, "{}: {}", file_, fmt::format(text, std::forward<Args>(args)...));
  }

  const expected_experience& expected_;
  const io::experience& e_;
  const std::string& file_;
};

template <class T> std::vector<T> slice(const std::vector<T>& all, int64_t first, int64_t last) {
  return {all.begin() + first, all.begin() + last};
}

scores_handle scores_of(uint64_t id, scorer by, std::vector<float> values) {
  auto scores = std::make_shared<sequence_scores>();
  scores->sequence_id = id;
  scores->by = by;
  scores->values = std::move(values);
  return {std::move(scores)};
}

scored_sequence sequence_of(const io::experience& e, size_t b) {
  const int64_t first = e.answer_offset_B1[b];
  const int64_t last = e.answer_offset_B1[b + 1];
  const int64_t end = e.sequence_offset_B1[b + 1];
  const int64_t answer = end - (last - first);
  const uint64_t id = e.sequence_id_B[b];
  auto sequence = std::make_shared<finished_sequence>();
  sequence->sequence_id = id;
  sequence->prompt = {.tokens = slice(e.token_N, e.sequence_offset_B1[b], answer),
                      .prompt_id = e.prompt_id_B[b],
                      .source = e.source_B[b],
                      .reference = {}};
  sequence->answer = slice(e.token_N, answer, end);
  sequence->logprob = slice(e.logprob_old_A, first, last);
  sequence->finished = e.finished_B[b] != 0;
  const auto sources = static_cast<int64_t>(e.reward_names.size());
  const auto row = static_cast<int64_t>(b) * sources;
  scored_sequence scored{.sequence = {std::move(sequence)}, .scores = {}};
  scored.scores[scorer::reference] = scores_of(id, scorer::reference, slice(e.logprob_ref_A, first, last));
  scored.scores[scorer::reward] = scores_of(id, scorer::reward, slice(e.reward_raw_BS, row, row + sources));
  scored.scores[scorer::critic] = scores_of(id, scorer::critic, slice(e.value_A, first, last));
  return scored;
}

}  // namespace

expected_experience expected_of(const io::job& job, const io::tokenizer& tokens, std::string policy_digest) {
  expected_experience expected{.job_digests = {},
                               .policy_digest = std::move(policy_digest),
                               .tokenizer_digest = digest_text(tokens.digest()),
                               .reward_names = {},
                               .temperature = job.generation.temperature,
                               .prompts = job.ppo.prompts,
                               .samples_per_prompt = job.ppo.samples_per_prompt,
                               .allowed = job.replay.allow};
  for (const io::reward_source& source : job.rewards) {
    expected.reward_names.push_back(source.name);
  }
  return expected;
}

void require_expected(const expected_experience& expected, const io::experience& e, const std::string& file,
                      int64_t iteration) {
  const requirement required(expected, e, file);
  required.iteration(iteration);
  required.parts();
  required.origin();
  required.rewards();
  required.groups();
}

void require_exact(const io::experience& e, const std::string& file) {
  std::vector<std::string> missing;
  if (e.behaviour != io::behaviour_source::sampled) {
    missing.emplace_back("log-probabilities that were noted when it was sampled");
  }
  for (const auto& [what, values_A] :
       {std::pair("shaped rewards", &e.reward_shaped_A), std::pair("advantages", &e.advantage_A)}) {
    if (static_cast<int64_t>(values_A->size()) != e.answer_tokens()) {
      missing.emplace_back(what);
    }
  }
  if (!missing.empty()) {
    throw error(
        errc::unsupported,
        "{}: an exact replay holds everything against what the run made, and this file has no {}: it was "
        "judged anew, or comes from elsewhere. Give back the run's own file, or learn from this one in a run of "
        "its own: troupe replay RUN --run.dir NEW, without --verify",
        file, fmt::join(missing, ", no "));
  }
}

stored_rollout rollout_of(io::experience e, std::string file) {
  stored_rollout stored{.file = std::move(file),
                        .policy_version = e.policy_version,
                        .sequences = {},
                        .reward_shaped_A = {},
                        .advantage_A = {},
                        .shaping = {}};
  for (size_t b = 0; b < e.sequence_id_B.size(); ++b) {
    stored.sequences.push_back(sequence_of(e, b));
  }
  stored.reward_shaped_A = std::move(e.reward_shaped_A);
  stored.advantage_A = std::move(e.advantage_A);
  stored.shaping = e.shaping;
  return stored;
}

void require_same_state(const stored_rollout& rollout, const io::shaping_state& found) {
  if (!rollout.shaping) {
    return;
  }
  const io::shaping_state& stored = *rollout.shaping;
  const auto require = [&](const char* what, double then, double now) {
    if (std::bit_cast<uint64_t>(then) != std::bit_cast<uint64_t>(now)) {
      throw error(
          errc::not_exact,
          "{}: before this iteration {} was {}, and comes out as {}: the file was altered, or the replay is not "
          "of this checkpoint and job",
          rollout.file, what, then, now);
    }
  };
  require("the KL's coefficient", stored.kl_coefficient, found.kl_coefficient);
  require("the number of scores seen", static_cast<double>(stored.scale_count), static_cast<double>(found.scale_count));
  require("the mean of the scores seen", stored.scale_mean, found.scale_mean);
  require("the spread of the scores seen", stored.scale_squares, found.scale_squares);
}

void require_same(const stored_rollout& rollout, const char* what, const std::vector<float>& stored_A,
                  const std::vector<float>& found_A) {
  size_t a = 0;
  for (const scored_sequence& scored : rollout.sequences) {
    for (size_t t = 0; t < scored.sequence->answer.size(); ++t, ++a) {
      if (std::bit_cast<uint32_t>(stored_A[a]) != std::bit_cast<uint32_t>(found_A[a])) {
        throw error(errc::not_exact,
                    "{}: {} of answer token {} of sequence {} is stored as {:.9g} ({:08x}), and comes out as {:.9g} "
                    "({:08x}): the file was altered, or is not of this policy and job",
                    rollout.file, what, t, scored.sequence->sequence_id, stored_A[a],
                    std::bit_cast<uint32_t>(stored_A[a]), found_A[a], std::bit_cast<uint32_t>(found_A[a]));
      }
    }
  }
}

stored_rollout stored_rollouts::take(const recall_command& command) {
  const bool is_ahead = ahead_.valid() && ahead_file_ == command.file;
  io::experience e = is_ahead ? ahead_.get() : io::read_experience(command.file);
  require_expected(expected_, e, command.file, static_cast<int64_t>(command.iteration));
  if (command.exact) {
    require_exact(e, command.file);
  }
  if (command.exact && e.policy_version != static_cast<int64_t>(command.policy_version)) {
    throw error(errc::bad_argument, "{}: it was sampled after {} updates, the replay has made {} by then", command.file,
                e.policy_version, command.policy_version);
  }
  return rollout_of(std::move(e), command.file);
}

void stored_rollouts::read_ahead(const std::string& file) {
  ahead_file_ = file;
  ahead_ = std::async(std::launch::async, [file] { return io::read_experience(file); });
}

}  // namespace troupe::actors
