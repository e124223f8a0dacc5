// Combinations of options that cannot work, each with its remedy.
#include "base/error.hpp"
#include "io/chat/chat.hpp"
#include "io/job/command_words.hpp"
#include "io/job/options.hpp"
#include "io/job/phases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <tuple>

namespace troupe::io {

namespace {

struct checker {
  job& j;
  problem_list& problems;

  template <class... Args> void refuse(fmt::format_string<Args...> text, Args&&... args) {
    problems.push_back(fmt::format(text, std::forward<Args>(args)...));
  }

  void run();
  void place();
  void placed(const char* model, const rank_list& on, bool learns);
  void models();
  void data_sets();
  void data_set(const data_section& set);
  void stored_set(const data_section& set);
  void phase_has_data(phase wanted);
  void split_and_length();
  void pairs();
  void supervised(const char* section, const training_options& t);
  void default_reward();
  void rewards();
  void command_is_whole(const reward_source& source);
  void reward_source_is_whole(const reward_source& source);
  void reward_sources_are_whole();
  void ppo();
  void warm_ups();
  void generation();
  void experience();
  void mixing();
  void replay();
};

void checker::run() {
  if (j.run.phases.empty()) {
    refuse("run.phases is empty: name at least one of pairs, sft, reward, ppo, or replay alone");
  }
  const auto end = j.run.phases.end();
  if (std::adjacent_find(j.run.phases.begin(), end, std::greater_equal<>()) != end) {
    refuse("run.phases = {}: each may stand once, in the order pairs sft reward ppo, since each uses what those before "
           "it made",
           phases_text(j.run.phases));
  }
  if ((j.run.lanes & (j.run.lanes - 1)) != 0) {
    refuse("run.lanes = {}: give a power of two", j.run.lanes);
  } else if (j.run.lanes > 1 && j.run.lanes % j.place.ranks != 0) {
    refuse("place.ranks = {} does not divide run.lanes = {}: give a power of two of at most {}, or "
           "run.lanes = 1",
           j.place.ranks, j.run.lanes, j.run.lanes);
  }
}

void checker::place() {
  if (j.place.frozen_zero != 0 && j.place.frozen_zero != 3) {
    refuse("place.frozen-zero = {}: a model that only scores has neither gradients nor moments, so 0 or 3",
           j.place.frozen_zero);
  }
  if (j.place.ranks % j.place.tensor_parallel != 0) {
    refuse("place.tensor-parallel = {} does not divide place.ranks = {}", j.place.tensor_parallel, j.place.ranks);
  }
  placed("policy", j.place.policy_ranks, true);
  placed("critic", j.place.critic_ranks, true);
  placed("reference", j.place.reference_ranks, false);
  placed("reward", j.place.reward_ranks, false);
  const auto generating = static_cast<int64_t>(j.place.policy_ranks.ranks.size());
  if (generating % j.place.tensor_parallel != 0) {
    refuse("place.tensor-parallel = {} does not divide the {} ranks of place.policy-ranks", j.place.tensor_parallel,
           generating);
  }
}

/// The ranks of a model.
void checker::placed(const char* model, const rank_list& on, bool learns) {
  if (on.ranks.empty()) {
    return;
  }
  if (on.ranks.back() >= j.place.ranks) {
    refuse("place.{}-ranks names rank {}, but place.ranks = {} gives 0 to {}", model, on.ranks.back(), j.place.ranks,
           j.place.ranks - 1);
  }
  const auto count = static_cast<int64_t>(on.ranks.size());
  if (learns && j.run.lanes > 1 && j.run.lanes % count != 0) {
    refuse("place.{}-ranks are {} ranks, which does not divide run.lanes = {}", model, count, j.run.lanes);
  }
  if (j.place.shrink) {
    refuse("place.{}-ranks names ranks, and place.shrink = true lets them become fewer: give one of the two", model);
  }
}

void checker::models() {
  if (j.model.policy.empty()) {
    refuse("model.policy is missing: name the folder of the model to train");
  }
}

/// What says what is learned from experience.
static auto stored_options(const data_section& set) {
  return std::make_tuple(set.unique, set.best, set.min_reward, set.advantage_temperature, set.pairs_per_prompt,
                         set.pair_margin);
}

/// What would be passed over without a word is refused by name.
void checker::stored_set(const data_section& set) {
  const data_section plain;
  if (set.limit > 0) {
    refuse("data.{}.limit = {} is for files of records: of experience choose by best or pairs-per-prompt", set.name,
           set.limit);
  }
  const auto of_records = [&](const char* key, const auto& value, const auto& usual) {
    if (value != usual) {
      refuse(
          "data.{}.{} = {} is for files of records: experience has tokens, which are taken as they are; leave it out",
          set.name, key, value);
    }
  };
  of_records("text", set.text, plain.text);
  of_records("prompt", set.prompt, plain.prompt);
  of_records("input", set.input, plain.input);
  of_records("answer", set.answer, plain.answer);
  of_records("chosen", set.chosen, plain.chosen);
  of_records("rejected", set.rejected, plain.rejected);
  of_records("conversations", set.conversations, plain.conversations);
  of_records("reference", set.reference, plain.reference);
  of_records("prompt-template", set.prompt_template, plain.prompt_template);
  of_records("answer-template", set.answer_template, plain.answer_template);
  of_records("chat-template", set.chat_template, plain.chat_template);
  of_records("template-date", set.template_date, plain.template_date);
  of_records("template-variables", set.template_variables, plain.template_variables);
  of_records("end-token", set.end_token, plain.end_token);
  const auto of_phase = [&](phase of, const char* key, const auto& value, const auto& usual) {
    if (value != usual && !serves(set, of)) {
      refuse("data.{}.{} = {} is about phase {}, which the set does not serve (phases = {}): leave it out", set.name,
             key, value, to_string(of), phases_text(set.phases));
    }
  };
  of_phase(phase::sft, "best", set.best, plain.best);
  of_phase(phase::sft, "min-reward", set.min_reward, plain.min_reward);
  of_phase(phase::sft, "advantage-temperature", set.advantage_temperature, plain.advantage_temperature);
  of_phase(phase::reward, "pairs-per-prompt", set.pairs_per_prompt, plain.pairs_per_prompt);
  of_phase(phase::reward, "pair-margin", set.pair_margin, plain.pair_margin);
}

void checker::data_set(const data_section& set) {
  if (set.path.empty()) {
    refuse("data.{}.path is missing: name a .jsonl or .jsonl.gz file, or stored experience", set.name);
  }
  for (const phase wanted : set.phases) {
    if (!can_serve(set.format, set.prompt_words > 0, wanted)) {
      const bool text = set.format == data_format::text && wanted != phase::reward;
      refuse("data.{}.phases has {}, which format = {} cannot serve: {}", set.name, to_string(wanted),
             to_string(set.format),
             text ? "give prompt-words, so that there are prompts" : "leave it out, or use a set of pairs");
    }
  }
  if (set.prompt_words > 0 && set.format != data_format::text) {
    refuse("data.{}.prompt-words = {} is for format = text only, here it is {}", set.name, set.prompt_words,
           to_string(set.format));
  }
  if (set.format == data_format::experience) {
    stored_set(set);
  } else if (stored_options(set) != stored_options(data_section())) {
    refuse(
        "data.{}: unique, best, min-reward, advantage-temperature, pairs-per-prompt and pair-margin are for format = "
        "experience, here it is {}",
        set.name, to_string(set.format));
  }
  const bool whole_texts = set.format == data_format::text || set.format == data_format::hh_dialogue;
  if (!set.chat_template.empty() && whole_texts) {
    refuse("data.{}.chat-template = {} is for prompts and turns, and format = {} has whole texts", set.name,
           set.chat_template, to_string(set.format));
  }
  if (!set.chat_template.empty() && !is_chat_format(set.chat_template) && !std::filesystem::exists(set.chat_template)) {
    refuse("data.{}.chat-template = {} is neither a file nor a known name: give a file with a template, model, or {}",
           set.name, set.chat_template, fmt::join(chat_format::names(), ", "));
  }
  if (!set.prompt_template.empty() && set.prompt_template.find("{prompt}") == std::string::npos) {
    refuse("data.{}.prompt-template = {} has no {{prompt}} in it", set.name, quote_text(set.prompt_template));
  }
  if (!set.answer_template.empty() && set.answer_template.find("{answer}") == std::string::npos) {
    refuse("data.{}.answer-template = {} has no {{answer}} in it", set.name, quote_text(set.answer_template));
  }
}

void checker::phase_has_data(phase wanted) {
  const bool made = j.has(phase::pairs) && contains(j.pairs.phases, wanted);
  const bool given =
      std::any_of(j.data.begin(), j.data.end(), [&](const data_section& set) { return serves(set, wanted); });
  if (!made && !given) {
    refuse("phase {} has no data: give a [data.NAME] that serves it{}", to_string(wanted),
           wanted == phase::pairs ? " (phases = pairs …)" : "");
  }
}

void checker::data_sets() {
  for (const data_section& set : j.data) {
    data_set(set);
    if (set.name == "pairs") {
      refuse("[data.pairs]: this name is kept for the pairs that a run makes: choose another");
    }
  }
  for (const phase wanted : j.run.phases) {
    if (wanted != phase::replay) {  // what it learns from is stored
      phase_has_data(wanted);
    }
  }
}

void checker::split_and_length() {
  const auto share = [&](phase wanted, double value) {
    if (j.has(wanted) && value <= 0) {
      refuse("split.{} = 0 leaves phase {} without data: give it a share", to_string(wanted), to_string(wanted));
    }
  };
  share(phase::sft, j.split.sft);
  share(phase::reward, j.split.reward);
  share(phase::ppo, j.split.ppo);
  if (j.split.held_out <= 0 && (j.evaluation.prompts > 0 || j.evaluation.records > 0)) {
    refuse("split.held-out = 0 leaves nothing to evaluate on: give it a share, or set evaluation.prompts and "
           "evaluation.records to 0");
  }
  if (j.length.max_prompt_tokens >= j.length.max_tokens) {
    refuse("length.max-prompt-tokens = {} leaves no room for an answer in length.max-tokens = {}: "
           "lower the first",
           j.length.max_prompt_tokens, j.length.max_tokens);
  }
}

void checker::pairs() {
  const bool bad = j.pairs.phases.empty() || std::any_of(j.pairs.phases.begin(), j.pairs.phases.end(),
                                                         [](phase p) { return p != phase::sft && p != phase::reward; });
  if (bad) {
    refuse("pairs.phases = {}: give sft, reward or both", phases_text(j.pairs.phases));
  }
  if (!j.has(phase::pairs)) {
    return;
  }
  const reward_source* source = j.reward_named(j.pairs.reward);
  if (j.pairs.reward.empty()) {
    refuse("pairs.reward is missing: phase pairs needs the name of a [rewards.NAME] of kind "
           "lexicon, answer or command");
  } else if (source == nullptr) {
    refuse("pairs.reward = {}: there is no [rewards.{}]", j.pairs.reward, j.pairs.reward);
  } else if (source->kind == reward_kind::model) {
    refuse("pairs.reward = {} is of kind model: pairs are labelled by a rule (lexicon, answer or command)",
           j.pairs.reward);
  }
}

void checker::supervised(const char* section, const training_options& t) {
  if (t.updates > 0 && t.optimizer.warm_up > t.updates) {
    refuse("{}.warm-up = {} is longer than the phase ({}.updates = {}): lower it", section, t.optimizer.warm_up,
           section, t.updates);
  }
}

void checker::default_reward() {
  if (j.rewards.empty() && j.learns_by_ppo()) {
    reward_source& source = j.rewards.emplace_back();
    source.name = "model";
  }
}

void checker::command_is_whole(const reward_source& source) {
  try {
    if (command_words(source.command).empty()) {
      refuse("rewards.{}.command is missing: kind = command needs a program and its arguments, as in python3 reward.py",
             source.name);
    }
  } catch (const error& failure) {
    refuse("rewards.{}.command = {}: {}", source.name, source.command, failure.what());
  }
}

void checker::reward_source_is_whole(const reward_source& source) {
  if (source.kind == reward_kind::lexicon && source.lexicon.empty()) {
    refuse("rewards.{}.lexicon is missing: kind = lexicon needs a word list", source.name);
  }
  if (source.kind == reward_kind::command) {
    command_is_whole(source);
  }
  const auto only_of = [&](reward_kind kind, const char* key, const std::string& value) {
    if (source.kind != kind && !value.empty()) {
      refuse("rewards.{}.{} = {} has no use with kind = {}: set kind = {} or leave it out", source.name, key, value,
             to_string(source.kind), to_string(kind));
    }
  };
  only_of(reward_kind::lexicon, "lexicon", source.lexicon);
  only_of(reward_kind::model, "model", source.model);
  only_of(reward_kind::command, "command", source.command);
  only_of(reward_kind::command, "folder", source.folder);
  const bool own = source.model.empty();
  if (source.kind == reward_kind::model && own && j.has(phase::ppo) && !j.has(phase::reward) &&
      j.model.reward.empty()) {
    refuse("phase ppo has no reward: rewards.{} is a model, but there is neither a reward phase nor model.reward; add "
           "one of them, or a [rewards.NAME] with kind = lexicon, answer or command",
           source.name);
  }
}

void checker::reward_sources_are_whole() {
  for (const reward_source& source : j.rewards) {
    reward_source_is_whole(source);
  }
}

void checker::rewards() {
  bool learned = false;
  bool answers = false;
  for (const reward_source& source : j.rewards) {
    learned = learned || source.weight != 0;
    answers = answers || source.kind == reward_kind::answer;
  }
  if (!learned && j.learns_by_ppo()) {
    refuse("phase {} has no reward: every [rewards.NAME] has weight = 0", j.has(phase::ppo) ? "ppo" : "replay");
  }
  const auto has_reference = [&](const data_section& set) {
    return set.format != data_format::text && (serves(set, phase::ppo) || serves(set, phase::pairs));
  };
  if (answers && !j.has(phase::replay) && !std::any_of(j.data.begin(), j.data.end(), has_reference)) {
    refuse("a reward of kind answer needs prompts with a known answer: give a [data.NAME] with format = "
           "question-answer or prompt-answer that serves ppo or pairs");
  }
}

void checker::ppo() {
  const ppo_section& p = j.ppo;
  const int64_t generated = p.prompts * p.samples_per_prompt;
  if (generated % p.minibatches != 0) {
    refuse("ppo.minibatches = {} does not divide the generation batch of {} (ppo.prompts = {} times "
           "ppo.samples-per-prompt = {})",
           p.minibatches, generated, p.prompts, p.samples_per_prompt);
  }
  if (j.generation.temperature == 0 && p.samples_per_prompt > 1) {
    refuse("ppo.samples-per-prompt = {} with generation.temperature = 0 draws the same answer so many times: raise the "
           "temperature or give 1",
           p.samples_per_prompt);
  }
  if (p.critic_only_iterations >= p.iterations) {
    refuse("ppo.critic-only-iterations = {} leaves none of ppo.iterations = {} to the policy: "
           "lower it",
           p.critic_only_iterations, p.iterations);
  }
  if (p.kl_in == kl_place::loss && p.kl_estimator == kl_estimator::k1) {
    refuse(
        "ppo.kl-in = loss with ppo.kl-estimator = k1 does not hold the policy: the gradient of k1 is zero on average. "
        "Give ppo.kl-estimator = k3+ (or k2, k3), or ppo.kl-in = reward");
  }
  if (p.kl_in == kl_place::reward && p.kl_estimator == kl_estimator::k3_plus) {
    refuse("ppo.kl-estimator = k3+ differs from k3 by its gradient alone, and a reward has none: give k3, or "
           "ppo.kl-in = loss");
  }
  if (p.min_answer_tokens > j.generation.max_new_tokens) {
    refuse("ppo.min-answer-tokens = {} is over generation.max-new-tokens = {}: no answer would be "
           "learned from",
           p.min_answer_tokens, j.generation.max_new_tokens);
  }
  const bool sft_data =
      (j.has(phase::pairs) && contains(j.pairs.phases, phase::sft)) ||
      std::any_of(j.data.begin(), j.data.end(), [](const data_section& set) { return serves(set, phase::sft); });
  if (p.ptx_coef > 0 && !sft_data && !j.has(phase::replay)) {  // a replay has the pairs of its run
    refuse("ppo.ptx-coef = {} needs sft data: give a [data.NAME] that serves sft, or set it to 0", p.ptx_coef);
  }
}

void checker::warm_ups() {
  const auto check = [&](const char* key, int64_t value, int64_t iterations) {
    const double updates =
        static_cast<double>(iterations) * static_cast<double>(j.ppo.epochs) * static_cast<double>(j.ppo.minibatches);
    if (static_cast<double>(value) > updates) {
      refuse("ppo.{} = {} is longer than the phase ({} updates): lower it", key, value, updates);
    }
  };
  check("policy-warm-up", j.ppo.policy.warm_up, j.ppo.iterations - j.ppo.critic_only_iterations);
  check("critic-warm-up", j.ppo.critic.warm_up, j.ppo.iterations);
}

void checker::replay() {
  const replay_section& r = j.replay;
  if (j.run.phases.size() > 1) {
    refuse("run.phases = {}: replay stands alone, since it takes the place of another run's ppo phase",
           phases_text(j.run.phases));
  }
  if (r.of.empty()) {
    refuse("replay.of is missing: name the folder of the run whose experience is replayed");
  }
  if (r.to_iteration <= r.from_iteration) {
    refuse("replay.to-iteration = {} leaves nothing to replay after replay.from-iteration = {}: raise it",
           r.to_iteration, r.from_iteration);
  }
  if (r.low > r.high) {
    refuse("replay.low = {} is above replay.high = {}", r.low, r.high);
  }
  if (r.verify && r.weights != importance_rule::none) {
    refuse("replay.verify = true replays the run's own updates, which have no replay.weights: give none");
  }
}

void checker::generation() {
  const std::vector<std::string>& stop = j.generation.stop;
  if (std::find(stop.begin(), stop.end(), "") != stop.end()) {
    refuse("generation.stop = \"\": an empty text would end every answer at once: leave it out");
  }
}

void checker::experience() {
  const experience_section& keeps = j.experience;
  if (keeps.keep == 0 && (keeps.keep_every > 0 || keeps.keep_best > 0)) {
    refuse("experience.keep = 0 keeps all, so that experience.{} = {} says nothing: say by keep how many of the last "
           "iterations stay besides",
           keeps.keep_every > 0 ? "keep-every" : "keep-best",
           keeps.keep_every > 0 ? keeps.keep_every : keeps.keep_best);
  }
}

void checker::mixing() {
  const experience_section& stored = j.experience;
  if (stored.mix == 0) {
    return;
  }
  const int64_t window = j.mixing_window();
  if (window == 0) {
    refuse("experience.mix = {} has nothing to take: the answers of the iteration before are {} * {} policy versions "
           "behind (ppo.epochs, ppo.minibatches), more than experience.max-staleness = {}. Raise it, or set mix to 0",
           stored.mix, j.ppo.epochs, j.ppo.minibatches, stored.max_staleness);
  }
  // The oldest checkpoint that a run may go back to is so far behind the iteration after which files were removed: the
  // newest of them may not be written yet.
  const double behind = (static_cast<double>(j.run.keep_checkpoints) + 1) * static_cast<double>(j.run.checkpoint_every);
  const double needed = static_cast<double>(window) + behind;
  if (j.has(phase::ppo) && stored.keep > 0 && static_cast<double>(stored.keep) < needed) {
    refuse("experience.keep = {} removes what experience.mix = {} needs: answers of {} iterations (by "
           "experience.max-staleness = {}) before each of the {:.0f} that may be done again (run.checkpoint-every = "
           "{}, run.keep-checkpoints = {}). Give keep = {:.0f} at least, or 0 to keep all",
           stored.keep, stored.mix, window, stored.max_staleness, behind, j.run.checkpoint_every,
           j.run.keep_checkpoints, needed);
  }
}

}  // namespace

void check_job(job& job, problem_list& problems) {
  checker check{job, problems};
  check.default_reward();
  check.run();
  check.place();
  check.models();
  check.data_sets();
  check.split_and_length();
  check.pairs();
  check.generation();
  check.experience();
  if (job.has(phase::sft)) {
    check.supervised("sft", job.sft.training);
  }
  if (job.has(phase::reward)) {
    check.supervised("reward", job.reward.training);
  }
  check.reward_sources_are_whole();
  check.rewards();
  if (job.learns_by_ppo()) {
    check.ppo();
    check.warm_ups();
    check.mixing();
  }
  if (job.has(phase::replay)) {
    check.replay();
  }
}

void check_reward_sources(job& job, problem_list& problems) {
  checker check{job, problems};
  check.default_reward();
  check.reward_sources_are_whole();
}

}  // namespace troupe::io
