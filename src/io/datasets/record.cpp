#include "io/datasets/record.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/chat/chat.hpp"
#include "io/datasets/turns.hpp"
#include "io/json/json.hpp"

#include <algorithm>

namespace troupe::io {

using json = nlohmann::json;
using turn_list = std::vector<chat_message>;

static constexpr std::string_view assistant_mark = "\n\nAssistant:";
static constexpr std::string_view human_mark = "\n\nHuman:";

namespace {

/// One line being read: its object, the set's field names, and where errors say it is.
class record_parser {
public:
  record_parser(const json& object, const data_section& set, const std::string& where, const chat_format& format)
      : object_(object), set_(set), where_(where), format_(format) {}

  record read();

private:
  [[noreturn]] void fail(const std::string& what) const {
    throw error(errc::bad_file, "{}: {} (data.{}.format = {})", where_, what, set_.name, to_string(set_.format));
  }

  std::string text(const std::string& key) const;
  std::string text_or_nothing(const std::string& key) const { return has(key) ? text(key) : ""; }
  bool has(const std::string& key) const { return object_.contains(key) && !object_[key].is_null(); }
  bool has_list(const std::string& key) const { return has(key) && object_[key].is_array(); }
  static std::string name(const std::string& given, const char* usual) { return given.empty() ? usual : given; }

  void refuse_tools() const;
  void read_format();
  void read_text();
  void read_prompt(const std::string& key);
  void read_answer(const std::string& key);
  void read_prompt_answer(const char* prompt, const char* answer, bool answer_needed);
  void read_instruction();
  void read_dialogue();
  bool holds_its_prompt(const std::string& key) const;
  void read_pair();
  void read_pair_without_prompt(const std::string& chosen, const std::string& rejected);
  void read_pair_of_turns(const std::string& chosen, const std::string& rejected);
  void read_conversation();
  void take_last_turn();
  turn_list turns(const std::string& key) const;
  std::string reply(const std::string& key) const;
  void read_reference();
  void render();
  jinja::text render_reply(const std::string& words);
  void put_into_templates();

  const json& object_;
  const data_section& set_;
  const std::string& where_;
  const chat_format& format_;
  record out_;
  turn_list turns_;  ///< of the prompt, where it has any
  const char* prompt_template_ = "{prompt}";
  const char* answer_template_ = "{answer}";
};

std::string record_parser::text(const std::string& key) const {
  if (!has(key)) {
    fail("the record has no field \"" + key + "\"");
  }
  if (!object_[key].is_string()) {
    fail("field \"" + key + "\" is a JSON " + object_[key].type_name() + ", not a text");
  }
  return object_[key].get<std::string>();
}

/// The text up to the end of its n-th word; words are separated by ASCII white space.
std::string_view first_words(std::string_view text, int64_t n) {
  constexpr std::string_view space = " \t\n\r";
  size_t at = 0;
  for (int64_t i = 0; i < n && at < text.size(); ++i) {
    at = std::min(text.find_first_not_of(space, at), text.size());
    at = std::min(text.find_first_of(space, at), text.size());
  }
  return text.substr(0, at);
}

void record_parser::read_text() {
  const std::string whole = text(name(set_.text, "text"));
  out_.prompt = first_words(whole, set_.prompt_words);
  out_.chosen = whole.substr(out_.prompt.size());
  out_.has_answer = true;
}

turn_list record_parser::turns(const std::string& key) const {
  try {
    return read_turns(object_[key]);
  } catch (const error& e) {
    fail("field \"" + key + "\": " + e.what());
  }
}

void record_parser::read_prompt(const std::string& key) {
  if (has_list(key)) {
    turns_ = turns(key);
  } else if (!set_.chat_template.empty()) {
    turns_ = {{"user", text(key)}};
  } else {
    out_.prompt = text(key);
  }
}

/// An answer: a text, the assistant's turn, or a list that holds this turn alone.
std::string record_parser::reply(const std::string& key) const {
  if (!has(key) || !object_[key].is_structured()) {
    return text(key);
  }
  const turn_list said = has_list(key) ? turns(key) : [&] {
    try {
      return turn_list{read_turn(object_[key])};
    } catch (const error& e) {
      fail("field \"" + key + "\": " + e.what());
    }
  }();
  if (said.size() != 1 || said.front().role != "assistant") {
    fail("field \"" + key + "\" must be a text, or one turn of the assistant");
  }
  return said.front().content;
}

void record_parser::read_answer(const std::string& key) {
  out_.chosen = reply(key);
  out_.has_answer = true;
}

/// Without another answer the assistant's last turn is one.
void record_parser::take_last_turn() {
  if (!turns_.empty() && turns_.back().role == "assistant") {
    out_.chosen = turns_.back().content;
    out_.has_answer = true;
    turns_.pop_back();
  }
}

void record_parser::read_prompt_answer(const char* prompt, const char* answer, bool answer_needed) {
  const std::string key = name(set_.answer, answer);
  read_prompt(name(set_.prompt, prompt));
  if (answer_needed || has(key)) {
    read_answer(key);
  } else {
    take_last_turn();
  }
}

void record_parser::read_instruction() {
  read_prompt_answer("instruction", "output", true);
  const std::string input = text_or_nothing(name(set_.input, "input"));
  if (!input.empty()) {
    (turns_.empty() ? out_.prompt : turns_.back().content) += "\n" + input;
  }
}

/// The beginning that two texts share.
std::string_view common_beginning(const std::string& a, const std::string& b) {
  const auto parted = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  return {a.data(), static_cast<size_t>(parted - a.begin())};
}

void record_parser::read_dialogue() {
  const std::string chosen = text(name(set_.chosen, "chosen"));
  const std::string rejected = text(name(set_.rejected, "rejected"));
  const std::string_view common = common_beginning(chosen, rejected);
  const size_t mark = common.rfind(assistant_mark);
  if (mark == std::string_view::npos) {
    fail(R"(the dialogues have no common beginning that ends in "\n\nAssistant:")");
  }
  const size_t length = mark + assistant_mark.size();
  if (common.find(human_mark, length) != std::string_view::npos) {
    fail("the dialogues part in the human's words: no answer of the assistant is the better one");
  }
  out_.prompt = chosen.substr(0, length);
  out_.chosen = chosen.substr(length);
  out_.rejected = rejected.substr(length);
  out_.has_answer = out_.has_pair = true;
}

/// The prompt ends before the white space in front of the first word that differs.
/// Source  TRL's extract_prompt, which goes by characters.
void record_parser::read_pair_without_prompt(const std::string& chosen, const std::string& rejected) {
  const std::string better = text(chosen);
  const std::string worse = text(rejected);
  const std::string_view common = common_beginning(better, worse);
  const size_t space = common.find_last_of(" \t\n\r");
  const size_t last_of_prompt = space == std::string_view::npos ? space : common.find_last_not_of(" \t\n\r", space);
  if (last_of_prompt == std::string_view::npos) {
    fail("the record has no prompt, and \"" + chosen + "\" and \"" + rejected + "\" begin with no word in common");
  }
  out_.prompt = better.substr(0, last_of_prompt + 1);
  out_.chosen = better.substr(last_of_prompt + 1);
  out_.rejected = worse.substr(last_of_prompt + 1);
}

void record_parser::read_pair_of_turns(const std::string& chosen, const std::string& rejected) {
  turn_list better = turns(chosen);
  turn_list worse = turns(rejected);
  try {
    parted_turns parted = part_turns(turns_, std::move(better), std::move(worse));
    turns_ = std::move(parted.prompt);
    out_.chosen = std::move(parted.chosen);
    out_.rejected = std::move(parted.rejected);
  } catch (const error& e) {
    fail(e.what());
  }
}

/// A list of turns that does not begin with the assistant's.
bool record_parser::holds_its_prompt(const std::string& key) const {
  const turn_list all = turns(key);
  return !all.empty() && all.front().role != "assistant";
}

void record_parser::read_pair() {
  const std::string prompt = name(set_.prompt, "prompt");
  const std::string chosen = name(set_.chosen, "chosen");
  const std::string rejected = name(set_.rejected, "rejected");
  const bool lists = has_list(chosen) && has_list(rejected);
  if (has_list(prompt)) {
    turns_ = turns(prompt);
  } else if (lists && has(prompt) && !holds_its_prompt(chosen)) {
    turns_ = {{"user", text(prompt)}};
  } else if (!lists && has(prompt)) {
    read_prompt(prompt);
  }
  if (lists) {
    read_pair_of_turns(chosen, rejected);
  } else if (has(prompt)) {
    out_.chosen = reply(chosen);
    out_.rejected = reply(rejected);
  } else {
    read_pair_without_prompt(chosen, rejected);
  }
  out_.has_answer = out_.has_pair = true;
}

void record_parser::read_conversation() {
  const std::string chosen = name(set_.chosen, "chosen");
  const std::string rejected = name(set_.rejected, "rejected");
  const std::string usual = has("conversations") || !has("messages") ? "conversations" : "messages";
  const std::string key = name(set_.conversations, usual.c_str());
  if (!has_list(key) || object_[key].empty()) {
    fail("the record has no list of turns \"" + key + "\"");
  }
  turns_ = turns(key);
  if (!has(chosen)) {
    take_last_turn();
    return;
  }
  read_answer(chosen);
  out_.has_pair = has(rejected);
  out_.rejected = out_.has_pair ? reply(rejected) : "";
}

/// The value at a path of names, "reward_model.ground_truth"; null where there is none.
const json* value_at(const json& object, std::string_view path) {
  const json* at = &object;
  while (at != nullptr && !path.empty()) {
    const size_t dot = std::min(path.find('.'), path.size());
    const auto found = at->is_object() ? at->find(std::string(path.substr(0, dot))) : at->end();
    at = at->is_object() && found != at->end() && !found->is_null() ? &*found : nullptr;
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return at;
}

void record_parser::read_reference() {
  if (set_.reference.empty()) {
    out_.reference = out_.chosen;
    return;
  }
  const json* value = value_at(object_, set_.reference);
  if (value == nullptr) {
    fail("the record has no field \"" + set_.reference + "\"");
  }
  if (!value->is_string() && !value->is_number()) {
    fail("field \"" + set_.reference + "\" is a JSON " + value->type_name() + ", not a text or a number");
  }
  out_.reference = value->is_string() ? value->get<std::string>() : value->dump();
}

std::string put_into(const std::string& given, const char* usual, std::string_view mark, const std::string& text) {
  std::string out = given.empty() ? usual : given;
  const size_t at = out.find(mark);
  return at == std::string::npos ? out : out.replace(at, mark.size(), text);
}

/// The same of a text with its marks, into a template that holds `mark`.
jinja::text put_into(const std::string& given, std::string_view mark, const jinja::text& text) {
  const size_t at = given.find(mark);
  if (at == std::string::npos) {
    return text;
  }
  jinja::text out(std::string_view(given).substr(0, at));
  out.append(text);
  out.append(std::string_view(given).substr(at + mark.size()));
  return out;
}

/// An answer as the format writes it after the prompt; where the job has an answer template, as that does.
jinja::text record_parser::render_reply(const std::string& words) {
  if (!set_.answer_template.empty()) {
    return put_into(set_.answer_template, "{answer}", jinja::text(words, jinja::from_data));
  }
  prompt_and_answer whole = render_answer(format_, turns_, words);
  out_.rendered->before = put_into(set_.prompt_template, "{prompt}", whole.prompt);
  return std::move(whole.answer);
}

void record_parser::render() {
  try {
    record::rendered_turns& to = out_.rendered.emplace();
    to.prompt = put_into(set_.prompt_template, "{prompt}", format_.render(turns_, true));
    to.before = to.prompt;
    to.chosen = out_.has_answer ? render_reply(out_.chosen) : jinja::text();
    to.rejected = out_.has_pair ? render_reply(out_.rejected) : jinja::text();
    out_.prompt = to.prompt.bytes();
    out_.chosen = to.chosen.bytes();
    out_.rejected = to.rejected.bytes();
  } catch (const error& e) {
    fail(e.what());
  }
}

void record_parser::put_into_templates() {
  if (set_.format == data_format::instruction || set_.format == data_format::question_answer) {
    prompt_template_ = "\n\nHuman: {prompt}\n\nAssistant:";
    answer_template_ = " {answer}";
  }
  out_.prompt = put_into(set_.prompt_template, prompt_template_, "{prompt}", out_.prompt);
  if (out_.has_answer) {
    out_.chosen = put_into(set_.answer_template, answer_template_, "{answer}", out_.chosen);
  }
  if (out_.has_pair) {
    out_.rejected = put_into(set_.answer_template, answer_template_, "{answer}", out_.rejected);
  }
}

void record_parser::refuse_tools() const {
  if (has("tools") && !object_["tools"].empty() && object_["tools"] != json("[]")) {
    fail("the record offers tools, which no chat format here can write");
  }
}

void record_parser::read_format() {
  switch (set_.format) {
  case data_format::text:
    return read_text();
  case data_format::pairs:
    return read_pair();
  case data_format::hh_dialogue:
    return read_dialogue();
  case data_format::conversations:
    return read_conversation();
  case data_format::instruction:
    return read_instruction();
  case data_format::question_answer:
    return read_prompt_answer("question", "answer", true);
  case data_format::prompt_answer:
  case data_format::automatic:
    return read_prompt_answer("prompt", "answer", false);
  case data_format::experience:
    break;
  }
  fail("format experience is for files of rollouts (HDF5), not for lines of JSON");
}

record record_parser::read() {
  refuse_tools();
  read_format();
  if (!turns_.empty()) {
    read_reference();  // the assistant's words, without what the format writes around them
    render();
  } else {
    put_into_templates();
    read_reference();
  }
  out_.prompt_digest = digest(out_.prompt.empty() ? out_.chosen : out_.prompt);
  return std::move(out_);
}

}  // namespace

chat_settings chat_settings_of(const data_section& set) {
  return {.format = set.chat_template, .date = set.template_date, .variables = set.template_variables};
}

record read_record(const std::string& json_line, const data_section& set, const std::string& where,
                   const chat_format& format) {
  const json object = parse_json(json_line, where);
  if (!object.is_object()) {
    throw error(errc::bad_file, "{}: is a JSON {}, not an object: one record a line is expected", where,
                object.type_name());
  }
  return record_parser(object, set, where, format).read();
}

}  // namespace troupe::io
