#include "io/datasets/record.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/json/json.hpp"
#include "io/tokenizer/chat.hpp"

#include <algorithm>

namespace troupe::io {

using json = nlohmann::json;

static constexpr std::string_view assistant_mark = "\n\nAssistant:";

namespace {

/// One line being read: its object, the set's field names, and where errors say it is.
class record_parser {
public:
  record_parser(const json& object, const data_section& set, const std::string& where)
      : object_(object), set_(set), where_(where) {}

  record read();

private:
  [[noreturn]] void fail(const std::string& what) const {
    throw error(errc::bad_file, "{}: {} (data.{}.format = {})", where_, what, set_.name, to_string(set_.format));
  }

  std::string text(const std::string& key) const;
  std::string text_or_nothing(const std::string& key) const;
  bool has(const std::string& key) const { return object_.contains(key) && !object_[key].is_null(); }
  static std::string name(const std::string& given, const char* usual) { return given.empty() ? usual : given; }

  void read_text();
  void read_prompt_answer(const char* prompt, const char* answer, bool answer_needed);
  void read_instruction();
  void read_pair();
  void read_dialogue();
  void read_conversation();
  std::vector<chat_message> read_turns() const;
  chat_message read_turn(const json& turn) const;
  std::string read_reply(const std::string& key) const;
  std::string render(const std::vector<chat_message>& turns) const;
  void put_into_templates();

  const json& object_;
  const data_section& set_;
  const std::string& where_;
  record out_;
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

std::string record_parser::text_or_nothing(const std::string& key) const { return has(key) ? text(key) : ""; }

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

void record_parser::read_prompt_answer(const char* prompt, const char* answer, bool answer_needed) {
  const std::string key = name(set_.answer, answer);
  out_.prompt = text(name(set_.prompt, prompt));
  out_.has_answer = answer_needed || has(key);
  out_.chosen = out_.has_answer ? text(key) : "";
}

void record_parser::read_instruction() {
  read_prompt_answer("instruction", "output", true);
  const std::string input = text_or_nothing(name(set_.input, "input"));
  if (!input.empty()) {
    out_.prompt += "\n" + input;
  }
}

void record_parser::read_pair() {
  out_.prompt = text(name(set_.prompt, "prompt"));
  out_.chosen = text(name(set_.chosen, "chosen"));
  out_.rejected = text(name(set_.rejected, "rejected"));
  out_.has_answer = out_.has_pair = true;
}

void record_parser::read_dialogue() {
  const std::string chosen = text(name(set_.chosen, "chosen"));
  const std::string rejected = text(name(set_.rejected, "rejected"));
  const auto parted = std::mismatch(chosen.begin(), chosen.end(), rejected.begin(), rejected.end()).first;
  const std::string_view common(chosen.data(), static_cast<size_t>(parted - chosen.begin()));
  const size_t mark = common.rfind(assistant_mark);
  if (mark == std::string_view::npos) {
    fail(R"(the dialogues have no common beginning that ends in "\n\nAssistant:")");
  }
  const size_t length = mark + assistant_mark.size();
  out_.prompt = chosen.substr(0, length);
  out_.chosen = chosen.substr(length);
  out_.rejected = rejected.substr(length);
  out_.has_answer = out_.has_pair = true;
}

chat_message record_parser::read_turn(const json& turn) const {
  if (!turn.is_object()) {
    fail("a turn is a JSON " + std::string(turn.type_name()) + ", not an object");
  }
  const char* role_key = turn.contains("from") ? "from" : "role";
  const char* text_key = turn.contains("value") ? "value" : "content";
  for (const char* key : {role_key, text_key}) {
    if (!turn.contains(key) || !turn[key].is_string()) {
      fail(R"(a turn needs texts "from" and "value", or "role" and "content")");
    }
  }
  std::string role = turn[role_key].get<std::string>();
  if (role == "human") {
    role = "user";
  } else if (role == "gpt" || role == "chatgpt") {
    role = "assistant";
  }
  if (role != "user" && role != "assistant" && role != "system") {
    fail("a turn is from \"" + role + "\": possible are human, user, gpt, assistant, system");
  }
  return {role, turn[text_key].get<std::string>()};
}

std::vector<chat_message> record_parser::read_turns() const {
  const std::string usual = has("conversations") || !has("messages") ? "conversations" : "messages";
  const std::string key = name(set_.conversations, usual.c_str());
  if (!has(key) || !object_[key].is_array() || object_[key].empty()) {
    fail("the record has no list of turns \"" + key + "\"");
  }
  std::vector<chat_message> turns;
  for (const json& turn : object_[key]) {
    turns.push_back(read_turn(turn));
  }
  return turns;
}

std::string record_parser::read_reply(const std::string& key) const {
  return object_[key].is_string() ? text(key) : read_turn(object_[key]).content;
}

std::string record_parser::render(const std::vector<chat_message>& turns) const {
  const char* usual = "dialogue";
  try {
    const std::string& given = set_.chat_template;
    return chat_format::named(given.empty() ? usual : given).render(turns, true);
  } catch (const error& e) {
    fail(e.what());
  }
}

void record_parser::read_conversation() {
  const std::string chosen = name(set_.chosen, "chosen");
  const std::string rejected = name(set_.rejected, "rejected");
  std::vector<chat_message> turns = read_turns();
  answer_template_ = set_.chat_template.empty() ? " {answer}" : "{answer}";
  if (has(chosen)) {
    out_.chosen = read_reply(chosen);
    out_.has_answer = true;
    out_.has_pair = has(rejected);
    out_.rejected = out_.has_pair ? read_reply(rejected) : "";
  } else if (turns.back().role == "assistant") {
    out_.chosen = turns.back().content;
    out_.has_answer = true;
    turns.pop_back();
  }
  out_.prompt = render(turns);
}

std::string put_into(const std::string& given, const char* usual, std::string_view mark, const std::string& text) {
  std::string out = given.empty() ? usual : given;
  const size_t at = out.find(mark);
  return at == std::string::npos ? out : out.replace(at, mark.size(), text);
}

void record_parser::put_into_templates() {
  out_.prompt = put_into(set_.prompt_template, prompt_template_, "{prompt}", out_.prompt);
  if (out_.has_answer) {
    out_.chosen = put_into(set_.answer_template, answer_template_, "{answer}", out_.chosen);
  }
  if (out_.has_pair) {
    out_.rejected = put_into(set_.answer_template, answer_template_, "{answer}", out_.rejected);
  }
}

record record_parser::read() {
  switch (set_.format) {
  case data_format::text:
    read_text();
    break;
  case data_format::prompt_answer:
    read_prompt_answer("prompt", "answer", false);
    break;
  case data_format::pairs:
    read_pair();
    break;
  case data_format::hh_dialogue:
    read_dialogue();
    break;
  case data_format::conversations:
    read_conversation();
    break;
  case data_format::instruction:
    read_instruction();
    break;
  case data_format::question_answer:
    read_prompt_answer("question", "answer", true);
    break;
  }
  if (set_.format == data_format::instruction || set_.format == data_format::question_answer) {
    prompt_template_ = "\n\nHuman: {prompt}\n\nAssistant:";
    answer_template_ = " {answer}";
  }
  put_into_templates();
  out_.prompt_digest = digest(out_.prompt.empty() ? out_.chosen : out_.prompt);
  return std::move(out_);
}

}  // namespace

record read_record(const std::string& json_line, const data_section& set, const std::string& where) {
  const json object = parse_json(json_line, where);
  if (!object.is_object()) {
    throw error(errc::bad_file, "{}: is a JSON {}, not an object: one record a line is expected", where,
                object.type_name());
  }
  return record_parser(object, set, where).read();
}

}  // namespace troupe::io
