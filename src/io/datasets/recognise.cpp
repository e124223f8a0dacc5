#include "io/datasets/recognise.hpp"

#include "base/error.hpp"
#include "io/datasets/lines.hpp"
#include "io/json/json.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace troupe::io {

using json = nlohmann::json;

namespace {

/// What the columns of a record may mean.
struct reading {
  data_format format = data_format::prompt_answer;
  std::vector<std::string> columns;  ///< by which it was found
  std::string prompt, input, answer, reference;
};

/// The columns of one record, as the readings look at them.
class columns {
public:
  explicit columns(const json& record) : record_(record) {}

  bool has(const std::string& name) const { return record_.contains(name) && !record_[name].is_null(); }
  bool is_list(const std::string& name) const { return has(name) && record_[name].is_array(); }
  bool is_text(const std::string& name) const { return has(name) && record_[name].is_string(); }

  /// A text, a turn or a list of turns.
  bool is_speech(const std::string& name) const {
    return is_text(name) || (has(name) && record_[name].is_object()) || is_turns(name);
  }

  bool is_turns(const std::string& name) const {
    return is_list(name) && !record_[name].empty() && record_[name].front().is_object();
  }

  /// The first of these that is speech; empty: none is.
  std::string first_speech(std::initializer_list<const char*> names) const {
    const auto found = std::find_if(names.begin(), names.end(), [&](const char* name) { return is_speech(name); });
    return found == names.end() ? "" : *found;
  }

  std::string first_turns(std::initializer_list<const char*> names) const {
    const auto found = std::find_if(names.begin(), names.end(), [&](const char* name) { return is_turns(name); });
    return found == names.end() ? "" : *found;
  }

  std::string text(const std::string& name) const { return is_text(name) ? record_[name].get<std::string>() : ""; }
  const json& record() const { return record_; }

private:
  const json& record_;
};

using readings = std::vector<reading>;

void add_preference(const columns& of, readings& all) {
  if (!of.is_speech("chosen") || !of.is_speech("rejected")) {
    return;
  }
  reading one{.format = data_format::pairs, .columns = {"chosen", "rejected"}};
  constexpr const char* human = "\n\nHuman:";
  const bool dialogues = of.text("chosen").starts_with(human) && of.text("rejected").starts_with(human);
  one.prompt = of.first_speech({"prompt", "question", "input"});
  if (one.prompt.empty() && !of.is_list("chosen")) {
    one.prompt = of.first_turns({"messages", "conversations"});
  }
  if (one.prompt.empty() && dialogues) {
    one.format = data_format::hh_dialogue;
  } else if (!one.prompt.empty()) {
    one.columns.insert(one.columns.begin(), one.prompt);
  }
  all.push_back(std::move(one));
}

void add_conversation(const columns& of, readings& all) {
  for (const char* name : {"messages", "conversations"}) {
    if (of.is_turns(name)) {
      all.push_back({.format = data_format::conversations, .columns = {name}});
    }
  }
}

/// Of a format with a prompt column and answer columns of several names; `needed`: there is no such record without
/// answer.
void add_answered(const columns& of, data_format format, const std::string& prompt,
                  std::initializer_list<const char*> answers, readings& all) {
  if (!of.is_speech(prompt)) {
    return;
  }
  for (const char* answer : answers) {
    if (of.is_speech(answer)) {
      all.push_back({.format = format, .columns = {prompt, answer}, .prompt = prompt, .answer = answer});
    }
  }
}

void add_instruction(const columns& of, readings& all) {
  const size_t before = all.size();
  add_answered(of, data_format::instruction, "instruction", {"output", "response"}, all);
  for (size_t i = before; i < all.size(); ++i) {
    all[i].input = of.first_speech({"input", "context"});
  }
}

bool has_ground_truth(const columns& of) {
  return of.has("reward_model") && of.record()["reward_model"].is_object() &&
         of.record()["reward_model"].contains("ground_truth");
}

void add_prompt(const columns& of, readings& all) {
  if (!of.is_speech("prompt")) {
    return;
  }
  reading one{.columns = {"prompt"}};
  if (has_ground_truth(of)) {
    one.reference = "reward_model.ground_truth";
    one.columns.push_back(one.reference);
  }
  all.push_back(std::move(one));
}

/// The most telling columns first; the others are looked at only where those are missing.
readings readings_of(const columns& of) {
  readings all;
  add_preference(of, all);
  if (!all.empty()) {
    return all;  // what stands beside a pair repeats its parts
  }
  add_conversation(of, all);
  add_instruction(of, all);
  add_answered(of, data_format::question_answer, "question", {"answer", "response"}, all);
  add_answered(of, data_format::prompt_answer, "prompt", {"answer", "completion", "response", "output"}, all);
  if (!of.has("instruction")) {
    add_answered(of, data_format::prompt_answer, "input", {"output"}, all);
  }
  if (of.is_text("text")) {
    all.push_back({.format = data_format::text, .columns = {"text"}});
  }
  if (all.empty()) {
    add_prompt(of, all);
  }
  return all;
}

std::string names_of(const json& record) {
  std::vector<std::string> names;
  for (const auto& [name, unused] : record.items()) {
    names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

void refuse_other_kinds(const columns& of) {
  if (of.is_list("completions") || of.is_list("labels")) {
    throw error(errc::bad_argument,
                "its records have a reward for each step (completions, labels), from which Troupe does not learn");
  }
  if (of.has("label") && of.record()["label"].is_boolean() && of.has("completion")) {
    throw error(errc::bad_argument,
                "its records are single answers with a label (prompt, completion, label), from which Troupe does not "
                "learn as such. With format = prompt-answer and answer = completion it learns all of them as good "
                "answers");
  }
}

void fill(std::string& given, const std::string& found, const char* usual) {
  if (given.empty() && found != usual) {
    given = found;
  }
}

void fill_names(const reading& found, data_section& set) {
  const bool instruction = found.format == data_format::instruction;
  const char* prompt = instruction                                    ? "instruction"
                       : found.format == data_format::question_answer ? "question"
                                                                      : "prompt";
  fill(set.prompt, found.prompt, prompt);
  fill(set.answer, found.answer, instruction ? "output" : "answer");
  fill(set.input, found.input, "input");
  fill(set.reference, found.reference, "");
}

}  // namespace

std::string recognise_columns(const json& record, data_section& set) {
  const columns of(record);
  refuse_other_kinds(of);
  const readings found = readings_of(of);
  if (found.empty()) {
    throw error(errc::bad_argument,
                "its records ({}) have the columns of no format: name the format, and its fields where they differ",
                names_of(record));
  }
  if (found.size() > 1) {
    std::vector<std::string> ways;
    for (const reading& one : found) {
      ways.push_back(fmt::format("{} ({})", to_string(one.format), fmt::join(one.columns, ", ")));
    }
    throw error(errc::bad_argument, "its records could be {}: name the format, and its fields where they differ",
                fmt::join(ways, " or "));
  }
  set.format = found.front().format;
  fill_names(found.front(), set);
  return fmt::format("data.{}: recognised as {} by its column{} {}", set.name, to_string(set.format),
                     found.front().columns.size() > 1 ? "s" : "", fmt::join(found.front().columns, ", "));
}

namespace {

json parse_record(const std::string& line, const std::string& where) {
  require_utf8(line, where);
  json record = parse_json(line, where);
  if (!record.is_object()) {
    throw error(errc::bad_file, "{}: is a JSON {}, not an object: one record a line is expected", where,
                record.type_name());
  }
  return record;
}

/// Columns that a record has and those before it did not.
void add_columns(const json& record, json& known) {
  for (const auto& [name, value] : record.items()) {
    if (!value.is_null() && known.value(name, json()).is_null()) {
      known[name] = value;
    }
  }
}

}  // namespace

std::string recognise_format(data_section& set) {
  constexpr int64_t most_records = 100;
  line_reader lines(open_text(set.path), set.path);
  json known = json::object();
  std::optional<error> unusable;  // the first line that is no record
  int64_t records = 0;
  for (std::string line; records < most_records && lines.next(line);) {
    if (is_blank(line)) {
      continue;
    }
    ++records;
    try {
      add_columns(parse_record(line, fmt::format("{}, line {}", set.path, lines.line())), known);
    } catch (const error& failure) {
      unusable = unusable.value_or(failure);
    }
  }
  if (known.empty() && unusable) {
    throw error(*unusable);
  }
  if (records == 0) {
    throw error(errc::bad_argument, "{} is empty: there is nothing to tell its format by", set.path);
  }
  return recognise_columns(known, set);
}

std::function<void(data_section&)> recogniser(std::vector<std::string>& told) {
  return [&told](data_section& set) { told.push_back(recognise_format(set)); };
}

}  // namespace troupe::io
