#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/experience/exchange.hpp"
#include "io/experience/groups.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>
#include <utility>

namespace troupe::io {
namespace {

constexpr float none = std::numeric_limits<float>::quiet_NaN();

// Fields of a line. Absent and null are the same.

const json_line* find(const json_line& line, const char* name) {
  const auto found = line.find(name);
  return found == line.end() || found->is_null() ? nullptr : &*found;
}

[[noreturn]] void refuse_type(const char* name, const json_line& value, const char* wanted) {
  throw error(errc::bad_argument, "\"{}\" is of type {}, not {}", name, value.type_name(), wanted);
}

const json_line& need(const json_line& line, const char* name) {
  const json_line* found = find(line, name);
  if (found == nullptr) {
    throw error(errc::bad_argument, "\"{}\" is missing", name);
  }
  return *found;
}

std::string text_of(const json_line& line, const char* name, std::string otherwise) {
  const json_line* found = find(line, name);
  if (found != nullptr && !found->is_string()) {
    refuse_type(name, *found, "text");
  }
  return found != nullptr ? found->get<std::string>() : std::move(otherwise);
}

std::optional<int64_t> count_of(const json_line& line, const char* name) {
  const json_line* found = find(line, name);
  if (found == nullptr) {
    return std::nullopt;
  }
  if (!found->is_number_unsigned() || found->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    throw error(errc::bad_argument, "\"{}\" is {}, not a number from 0 on without fraction", name, found->dump());
  }
  return found->get<int64_t>();
}

/// A group's id: any 64 bits, as the digest of a prompt is.
std::optional<uint64_t> group_of(const json_line& line, const char* name) {
  const json_line* found = find(line, name);
  if (found == nullptr) {
    return std::nullopt;
  }
  if (!found->is_number_unsigned()) {
    throw error(errc::bad_argument, "\"{}\" is {}, not a number from 0 on without fraction", name, found->dump());
  }
  return found->get<uint64_t>();
}

float number_of(const char* name, const json_line& value) {
  if (value.is_boolean()) {
    return value.get<bool>() ? 1 : 0;
  }
  if (!value.is_number()) {
    refuse_type(name, value, "a number");
  }
  const auto number = value.get<float>();
  if (!std::isfinite(number)) {
    throw error(errc::bad_argument, "\"{}\" is {}: a float cannot hold it", name, value.dump());
  }
  return number;
}

std::vector<float> numbers_of(const json_line& line, const char* name) {
  const json_line& list = need(line, name);
  if (!list.is_array()) {
    refuse_type(name, list, "a list");
  }
  std::vector<float> values;
  for (const json_line& value : list) {
    values.push_back(number_of(name, value));
  }
  return values;
}

std::vector<int32_t> ids_of(const json_line& line, const char* name) {
  const json_line& list = need(line, name);
  if (!list.is_array()) {
    refuse_type(name, list, "a list");
  }
  std::vector<int32_t> ids;
  for (const json_line& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
      throw error(errc::bad_argument, "\"{}\"[{}] is {}, not an id", name, ids.size(), id.dump());
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

struct raw_reward {
  std::string name;
  float value = none;  ///< NaN: unscorable
};

/// What a line says of an answer.
struct imported_answer {
  json_line prompt, answer;  ///< text or turns; null: tokens alone
  std::optional<std::vector<int32_t>> prompt_ids, answer_ids;
  std::optional<std::vector<float>> log_probs;
  std::string log_probs_of;  ///< digest of the model that gave them afterwards
  std::optional<double> temperature;
  std::optional<float> reward;
  std::vector<raw_reward> rewards;
  std::optional<float> advantage;
  std::string label, source = "import", tokenizer;
  std::optional<uint64_t> group;
  int64_t step = 1;
  std::optional<int64_t> policy_version;
  bool finished = true, aborted = false;
};

void read_finish(const json_line& line, const char* name, imported_answer& to) {
  const std::string finish = text_of(line, name, "stop");
  to.finished = finish == "stop";
  to.aborted = finish == "abort";
  if (finish != "stop" && finish != "abort" && finish != "length") {
    throw error(errc::bad_argument, "\"{}\" is \"{}\", not stop, length or abort", name, finish);
  }
}

float reward_of(const char* name, const json_line* value) { return value != nullptr ? number_of(name, *value) : none; }

void require_no_mask(const json_line& line) {
  const json_line* mask = find(line, "mask");
  if (mask == nullptr) {
    return;
  }
  const std::vector<float> values = numbers_of(line, "mask");
  if (std::any_of(values.begin(), values.end(), [](float value) { return value != 1; })) {
    throw error(errc::unsupported, "\"mask\" leaves out tokens within the answer, which experience cannot say");
  }
}

void read_own_rewards(const json_line& line, imported_answer& to) {
  const json_line* named = find(line, "rewards");
  if (line.contains("reward")) {
    to.reward = reward_of("reward", find(line, "reward"));
  } else if (named != nullptr) {
    throw error(errc::bad_argument, "\"rewards\" is there without \"reward\", their weighted sum");
  }
  if (named != nullptr && !named->is_object()) {
    refuse_type("rewards", *named, "an object");
  }
  if (named != nullptr) {
    for (const auto& [name, value] : named->items()) {
      to.rewards.push_back({name, value.is_null() ? none : number_of(name.c_str(), value)});
    }
  }
}

void read_own_texts(const json_line& line, imported_answer& to) {
  const json_line* turns = find(line, "messages");
  const json_line* prompt = turns != nullptr ? turns : find(line, "prompt");
  if (prompt != nullptr) {
    to.prompt = *prompt;
    to.answer = need(line, "answer");
  }
}

imported_answer own_answer(const json_line& line) {
  imported_answer a;
  read_own_texts(line, a);
  if (find(line, "prompt_tokens") != nullptr || find(line, "answer_tokens") != nullptr || a.prompt.is_null()) {
    a.prompt_ids = ids_of(line, "prompt_tokens");
    a.answer_ids = ids_of(line, "answer_tokens");
  }
  if (find(line, "logprobs") != nullptr) {
    a.log_probs = numbers_of(line, "logprobs");
  }
  a.log_probs_of = text_of(line, "logprobs_of", "");
  if (const json_line* temperature = find(line, "temperature")) {
    a.temperature = temperature->is_number() ? temperature->get<double>() : -1;
  }
  read_own_rewards(line, a);
  a.label = text_of(line, "label", "");
  a.group = group_of(line, "group");
  a.step = count_of(line, "step").value_or(1);
  a.policy_version = count_of(line, "policy_version");
  count_of(line, "sample");  // says nothing that the order of the lines does not
  read_finish(line, "finish", a);
  a.source = text_of(line, "source", "import");
  a.tokenizer = text_of(line, "tokenizer", "");
  require_no_mask(line);
  return a;
}

/// Further numbers of a line are rewards that count for nothing.
imported_answer verl_answer(const json_line& line) {
  imported_answer a;
  a.prompt = need(line, "input");
  a.answer = need(line, "output");
  if (const json_line* truth = find(line, "gts")) {
    a.label = truth->is_string() ? truth->get<std::string>() : truth->dump();
  }
  a.reward = reward_of("score", find(line, "score"));
  a.step = count_of(line, "step").value_or(1);
  for (const auto& [name, value] : line.items()) {
    const bool known = name == "input" || name == "output" || name == "gts" || name == "score" || name == "step";
    if (!known && (value.is_number() || value.is_boolean() || value.is_null())) {
      a.rewards.push_back({name, value.is_null() ? none : number_of(name.c_str(), value)});
    }
  }
  return a;
}

imported_answer open_instruct_answer(const json_line& line) {
  imported_answer a;
  a.prompt_ids = ids_of(line, "prompt_tokens");
  a.answer_ids = ids_of(line, "response_tokens");
  if (find(line, "logprobs") != nullptr) {
    a.log_probs = numbers_of(line, "logprobs");
  }
  a.reward = reward_of("reward", find(line, "reward"));
  if (const json_line* advantage = find(line, "advantage")) {
    a.advantage = number_of("advantage", *advantage);
  }
  a.group = group_of(line, "prompt_idx");
  a.step = count_of(line, "step").value_or(1);
  read_finish(line, "finish_reason", a);
  a.source = text_of(line, "dataset", "import");
  return a;
}

imported_answer completion_of(const json_line& prompt, const json_line& completion, std::optional<float> reward) {
  imported_answer a;
  a.prompt = prompt;
  a.answer = completion;
  a.reward = reward;
  return a;
}

/// The answers of a line. `number` counts the lines before it.
std::vector<imported_answer> answers_of(const json_line& line, exchange_format format, uint64_t number) {
  switch (format) {
  case exchange_format::troupe:
    return {own_answer(line)};
  case exchange_format::verl:
    return {verl_answer(line)};
  case exchange_format::open_instruct:
    return {open_instruct_answer(line)};
  case exchange_format::trl_prompt_completion:
    return {completion_of(need(line, "prompt"), need(line, "completion"), std::nullopt)};
  case exchange_format::trl_preference: {
    const json_line& prompt = need(line, "prompt");
    std::vector<imported_answer> pair = {completion_of(prompt, need(line, "chosen"), 1.0F),
                                         completion_of(prompt, need(line, "rejected"), 0.0F)};
    pair[0].group = pair[1].group = number;
    return pair;
  }
  case exchange_format::trl_unpaired: {
    const json_line& label = need(line, "label");
    if (!label.is_boolean()) {
      refuse_type("label", label, "true or false");
    }
    return {completion_of(need(line, "prompt"), need(line, "completion"), label.get<bool>() ? 1.0F : 0.0F)};
  }
  }
  throw error(errc::bad_argument, "a format that nobody reads");
}

/// All sequences of a step must say the same of it, or none of them anything.
template <class T> void agree(const char* what, const T& first, const T& now) {
  if (first != now) {
    throw error(errc::bad_argument, "{} is {}, and {} in the lines of the same step before: give each its own step",
                what, now, first);
  }
}

/// The lines of one step so far.
struct step_lines {
  experience e;
  std::vector<std::vector<raw_reward>> rewards_B;
  std::vector<float> advantage_B;  ///< NaN: none
  bool scored = false;             ///< some line has a reward
  bool advantages = false;
  std::unordered_map<uint64_t, int64_t> first_of_group;  ///< its sequence

  void add(const imported_answer& a, const import_tokens& tokens, bool texts, const import_settings& settings);
  experience finish();

private:
  void agree_with(const imported_answer& a, bool texts, const import_settings& settings);
  void require_one_prompt(uint64_t group, std::span<const int32_t> prompt);
  uint16_t source_index(const std::string& name);
  void lay_out_rewards();
  void lay_out_advantages();
};

behaviour_source behaviour_of(const imported_answer& a) {
  if (!a.log_probs) {
    return behaviour_source::unknown;
  }
  return a.log_probs_of.empty() ? behaviour_source::imported : behaviour_source::scored;
}

void step_lines::agree_with(const imported_answer& a, bool texts, const import_settings& settings) {
  const double temperature = a.temperature.value_or(settings.temperature);
  const std::string& tokenizer = a.tokenizer.empty() ? settings.tokenizer_digest : a.tokenizer;
  const int64_t version = a.policy_version.value_or(a.step);
  if (e.sequence_id_B.empty()) {
    e.iteration = a.step;
    e.policy_version = version;
    e.temperature = temperature;
    e.tokenizer_digest = tokenizer;
    e.behaviour = behaviour_of(a);
    e.behaviour_digest = a.log_probs_of;
    e.complete = false;
    return;
  }
  agree("\"policy_version\"", e.policy_version, version);
  agree("\"temperature\"", e.temperature, temperature);
  agree("\"tokenizer\"", e.tokenizer_digest, tokenizer);
  agree("what gave \"logprobs\"", to_string(e.behaviour), to_string(behaviour_of(a)));
  agree("\"logprobs_of\"", e.behaviour_digest, a.log_probs_of);
  agree("whether there are texts", !e.prompt_text_B.empty(), texts);
}

/// Experience keeps names in attributes of HDF5, which have 64 KiB at most, and takes 16 bytes of them for each.
void require_room(const std::vector<std::string>& names, const std::string& next, const char* what) {
  constexpr size_t most = 4000;
  if (names.size() >= most) {
    throw error(errc::bad_argument, "\"{}\" is one {} too many: a step may have {}", next, what, most);
  }
}

void step_lines::require_one_prompt(uint64_t group, std::span<const int32_t> prompt) {
  const auto [first, fresh] = first_of_group.emplace(group, e.sequences());
  const std::string differs = fresh ? "" : prompt_difference(prompt, e.prompt_tokens(first->second));
  if (!differs.empty()) {
    throw error(errc::bad_argument,
                "it is of group {}, and its prompt is another than in the lines of the same step and group before (it "
                "{}): give each prompt its own group",
                group, differs);
  }
}

uint16_t step_lines::source_index(const std::string& name) {
  const auto found = std::find(e.source_names.begin(), e.source_names.end(), name);
  const auto index = static_cast<size_t>(found - e.source_names.begin());
  if (found == e.source_names.end()) {
    require_room(e.source_names, name, "source");
    e.source_names.push_back(name);
  }
  return static_cast<uint16_t>(index);
}

void step_lines::add(const imported_answer& a, const import_tokens& tokens, bool texts,
                     const import_settings& settings) {
  agree_with(a, texts, settings);
  const uint64_t prompt_id = digest(std::as_bytes(std::span(tokens.prompt)));
  if (e.sequence_id_B.empty()) {
    e.sequence_offset_B1 = e.answer_offset_B1 = {0};
  }
  const uint64_t group = a.group.value_or(prompt_id);
  require_one_prompt(group, tokens.prompt);
  e.sequence_id_B.push_back(e.sequence_id_B.size());
  e.prompt_id_B.push_back(prompt_id);
  e.group_B.push_back(group);
  e.source_B.push_back(source_index(a.source));
  e.token_N.insert(e.token_N.end(), tokens.prompt.begin(), tokens.prompt.end());
  e.token_N.insert(e.token_N.end(), tokens.answer.begin(), tokens.answer.end());
  e.sequence_offset_B1.push_back(static_cast<int64_t>(e.token_N.size()));
  e.answer_offset_B1.push_back(e.answer_offset_B1.back() + static_cast<int64_t>(tokens.answer.size()));
  e.finished_B.push_back(a.finished ? 1 : 0);
  if (a.log_probs) {
    e.logprob_old_A.insert(e.logprob_old_A.end(), a.log_probs->begin(), a.log_probs->end());
  }
  if (texts) {
    e.prompt_text_B.push_back(tokens.prompt_text);
    e.answer_text_B.push_back(tokens.answer_text);
  }
  e.label_text_B.push_back(a.label);
  rewards_B.push_back(a.rewards);
  rewards_B.back().insert(rewards_B.back().begin(), raw_reward{"reward", a.reward.value_or(none)});
  scored = scored || a.reward.has_value();
  advantage_B.push_back(a.advantage.value_or(none));
  advantages = advantages || a.advantage.has_value();
}

/// A column for each name, in the order in which they came; what a line does not say could not be had.
void step_lines::lay_out_rewards() {
  e.reward_names = {"reward"};
  for (const auto& row : rewards_B) {
    for (size_t i = 1; i < row.size(); ++i) {
      if (std::find(e.reward_names.begin() + 1, e.reward_names.end(), row[i].name) == e.reward_names.end()) {
        require_room(e.reward_names, row[i].name, "reward");
        e.reward_names.push_back(row[i].name);
      }
    }
  }
  e.reward_weight_S.assign(e.reward_names.size(), 0);
  e.reward_weight_S[0] = 1;
  e.reward_raw_BS.reserve(rewards_B.size() * e.reward_names.size());
  for (const auto& row : rewards_B) {
    e.reward_raw_BS.push_back(row[0].value);
    for (size_t s = 1; s < e.reward_names.size(); ++s) {
      const auto found = std::find_if(row.begin() + 1, row.end(),
                                      [&](const raw_reward& one) { return one.name == e.reward_names[s]; });
      e.reward_raw_BS.push_back(found != row.end() ? found->value : none);
    }
  }
}

void step_lines::lay_out_advantages() {
  for (int64_t b = 0; b < e.sequences(); ++b) {
    const float advantage = advantage_B[static_cast<size_t>(b)];
    if (std::isnan(advantage) && !e.answer_tokens(b).empty()) {
      throw error(errc::bad_argument, "step {}: some of its lines have an \"advantage\" and some have none",
                  e.iteration);
    }
    const float learned = std::isnan(e.score(b)) ? 0 : advantage;
    e.advantage_A.insert(e.advantage_A.end(), e.answer_tokens(b).size(), learned);
  }
}

experience step_lines::finish() {
  if (scored) {
    lay_out_rewards();
  }
  if (advantages) {
    lay_out_advantages();
  }
  if (std::all_of(e.label_text_B.begin(), e.label_text_B.end(), [](const std::string& s) { return s.empty(); })) {
    e.label_text_B.clear();
  }
  try {
    validate(e, fmt::format("step {}", e.iteration));
  } catch (const error& failure) {
    throw error(errc::bad_argument, "{}", failure.what());
  }
  return std::move(e);
}

}  // namespace

static bool is_temperature(double value) { return value >= 0 && std::isfinite(value); }

struct experience_import::state {
  import_settings settings;
  std::map<int64_t, step_lines> steps;
  uint64_t lines = 0;
  int64_t left_out = 0;

  void add(const imported_answer& a);
  import_tokens tokens_of(const imported_answer& a) const;
  void require_tokens(const import_tokens& tokens, const imported_answer& a) const;
};

import_tokens experience_import::state::tokens_of(const imported_answer& a) const {
  import_tokens tokens;
  if (a.answer_ids) {
    tokens = {.prompt = *a.prompt_ids, .answer = *a.answer_ids};
    if (!a.prompt.is_null()) {
      tokens.prompt_text = a.prompt.is_string() ? a.prompt.get<std::string>() : json_line_text(a.prompt);
      tokens.answer_text = a.answer.is_string() ? a.answer.get<std::string>() : json_line_text(a.answer);
    }
    return tokens;
  }
  if (!settings.tokenise) {
    throw error(errc::bad_argument, "it has text and no tokens: name the folder of the model's tokenizer");
  }
  return settings.tokenise(a.prompt, a.answer, a.finished);
}

void experience_import::state::require_tokens(const import_tokens& tokens, const imported_answer& a) const {
  if (!a.tokenizer.empty() && !settings.tokenizer_digest.empty() && a.tokenizer != settings.tokenizer_digest) {
    throw error(errc::bad_argument, "its tokens are of the tokenizer {}, and the one that was named is {}", a.tokenizer,
                settings.tokenizer_digest);
  }
  if (tokens.prompt.empty()) {
    throw error(errc::bad_argument, "its prompt has no token: nothing says what its answer begins from");
  }
  for (const auto* ids : {&tokens.prompt, &tokens.answer}) {
    for (const int32_t id : *ids) {
      if (settings.vocabulary > 0 && id >= settings.vocabulary) {
        throw error(errc::bad_argument, "the id {} is beyond the {} of the tokenizer: its tokens are another's", id,
                    settings.vocabulary);
      }
    }
  }
  if (a.log_probs && a.log_probs->size() != tokens.answer.size()) {
    throw error(errc::bad_argument, "\"logprobs\" has {} numbers for {} tokens of the answer", a.log_probs->size(),
                tokens.answer.size());
  }
  if (a.temperature && !is_temperature(*a.temperature)) {
    throw error(errc::bad_argument, "\"temperature\" is no number from 0 on");
  }
}

void experience_import::state::add(const imported_answer& a) {
  if (a.aborted) {
    ++left_out;
    return;
  }
  const import_tokens tokens = tokens_of(a);
  require_tokens(tokens, a);
  steps[a.step].add(a, tokens, !a.prompt.is_null(), settings);
}

experience_import::experience_import(import_settings settings) : state_(std::make_unique<state>()) {
  if (!is_temperature(settings.temperature)) {
    throw error(errc::bad_argument, "the temperature {} is no number from 0 on", settings.temperature);
  }
  state_->settings = std::move(settings);
}
experience_import::~experience_import() = default;
experience_import::experience_import(experience_import&&) noexcept = default;

void experience_import::add(const json_line& line) {
  for (const imported_answer& a : answers_of(line, state_->settings.format, state_->lines)) {
    state_->add(a);
  }
  ++state_->lines;
}

int64_t experience_import::left_out() const { return state_->left_out; }

std::vector<experience> experience_import::finish() {
  std::vector<experience> all;
  for (auto& [step, lines] : std::exchange(state_->steps, {})) {
    all.push_back(lines.finish());
  }
  return all;
}

}  // namespace troupe::io
