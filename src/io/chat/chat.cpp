#include "io/chat/chat.hpp"

#include "base/error.hpp"
#include "io/chat/named_formats.hpp"
#include "io/files/mapped_file.hpp"
#include "io/jinja/functions.hpp"
#include "io/jinja/value.hpp"
#include "io/json/json.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

namespace troupe::io {
namespace {

using variable_list = std::vector<std::pair<std::string, jinja::value>>;

json_line parse_variables(const std::string& text) {
  const json_line variables = text.empty() ? json_line::object() : parse_ordered_json(text, "the template's variables");
  if (!variables.is_object()) {
    throw error(errc::bad_argument,
                "the template's variables must be a JSON object ({{\"enable_thinking\": false}}), not {}", text);
  }
  return variables;
}

bool is_usual_role(const std::string& role) {
  constexpr std::array<std::string_view, 10> usual{"system",   "user",    "assistant",   "tool",  "developer",
                                                   "function", "ipython", "observation", "model", "environment"};
  return std::find(usual.begin(), usual.end(), role) != usual.end();
}

/// Templates build special tokens of roles ('<|' + role + '|>'), so the usual ones count as theirs.
jinja::value message_value(const json_line& message, size_t number) {
  if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
    throw error(errc::bad_argument, "message {} has no text \"role\"", number);
  }
  std::vector<std::pair<jinja::value, jinja::value>> entries;
  for (const auto& [key, held] : message.items()) {
    const bool trusted = key == "role" && is_usual_role(held.get<std::string>());
    entries.emplace_back(jinja::text(key, jinja::from_data),
                         jinja::from_json(held, trusted ? jinja::no_mark : jinja::from_data));
  }
  return jinja::make_mapping(std::move(entries));
}

jinja::value messages_value(const json_line& conversation) {
  const auto found = conversation.find("messages");
  if (found == conversation.end() || !found->is_array()) {
    throw error(errc::bad_argument, "\"messages\" is {}",
                found == conversation.end() ? "missing" : fmt::format("of type {}, not an array", found->type_name()));
  }
  if (found->empty()) {
    throw error(errc::bad_argument, "the conversation has no messages");
  }
  std::vector<jinja::value> messages;
  for (const json_line& message : *found) {
    messages.push_back(message_value(message, messages.size() + 1));
  }
  return jinja::make_sequence(std::move(messages));
}

/// A list, or one as the text of its JSON; null where there is none.
jinja::value list_value(const json_line& conversation, const char* name) {
  const auto found = conversation.find(name);
  if (found == conversation.end()) {
    return jinja::none{};
  }
  if (found->is_string()) {
    return jinja::from_json(parse_ordered_json(found->get<std::string>(), fmt::format("\"{}\"", name)),
                            jinja::from_data);
  }
  return jinja::from_json(*found, jinja::from_data);
}

json_line json_of(std::span<const chat_message> messages) {
  json_line list = json_line::array();
  for (const chat_message& message : messages) {
    json_line entry;
    entry["role"] = message.role;
    entry["content"] = message.content;
    list.push_back(std::move(entry));
  }
  json_line conversation;
  conversation["messages"] = std::move(list);
  return conversation;
}

bool begins_with(const jinja::text& whole, const jinja::text& head) { return whole.bytes().starts_with(head.bytes()); }

/// The last run of bytes that were written inside {% generation %}: [begin, end); nothing where there is none.
std::optional<std::pair<size_t, size_t>> last_generated(const jinja::text& rendered) {
  const auto& marks = rendered.marks();
  size_t end = marks.size();
  while (end > 0 && (marks[end - 1] & jinja::generated) == 0) {
    --end;
  }
  size_t begin = end;
  while (begin > 0 && (marks[begin - 1] & jinja::generated) != 0) {
    --begin;
  }
  return end == 0 ? std::nullopt : std::optional(std::pair(begin, end));
}

bool touches_data(const jinja::text& rendered, size_t begin, size_t end) {
  const auto& marks = rendered.marks();
  return std::any_of(marks.begin() + static_cast<std::ptrdiff_t>(begin),
                     marks.begin() + static_cast<std::ptrdiff_t>(end),
                     [](uint8_t mark) { return (mark & jinja::from_data) != 0; });
}

}  // namespace

chat_format::chat_format(std::string name, std::string_view source, const std::string& where)
    : name_(std::move(name)), program_(source, where) {}

std::span<const std::string_view> chat_format::names() { return chat_format_names(); }

bool is_chat_format(std::string_view name) {
  const auto known = chat_format::names();
  return name == "model" || std::find(known.begin(), known.end(), name) != known.end();
}

std::string chat_template_source(const std::string& name_or_file) {
  const auto known = chat_format::names();
  if (std::find(known.begin(), known.end(), name_or_file) != known.end()) {
    return chat_format_source(name_or_file);
  }
  if (!std::filesystem::is_regular_file(name_or_file)) {
    throw error(errc::unsupported, "chat template \"{}\" is neither a file nor one of model, {}", name_or_file,
                fmt::join(known, ", "));
  }
  return read_text_file(name_or_file);
}

chat_format chat_format::named(std::string_view name) {
  return {std::string(name), chat_format_source(name), fmt::format("chat format {}", name)};
}

chat_format chat_format::chosen(const chat_settings& settings, const tokenizer& tokens) {
  const std::string& wanted = settings.format;
  const auto known = names();
  const auto read = [&]() -> chat_format {
    if (wanted.empty() || wanted == "model") {
      return tokens.chat_template().empty()
                 ? named("dialogue")
                 : chat_format("model", tokens.chat_template(), "chat_template of " + tokens.place());
    }
    const bool has_name = std::find(known.begin(), known.end(), wanted) != known.end();
    return has_name ? named(wanted) : chat_format(wanted, chat_template_source(wanted), wanted);
  };
  chat_format format = read();
  if (!settings.date.empty()) {
    jinja::format_date(settings.date, "%F");
  }
  format.date_ = settings.date;
  format.variables_ = parse_variables(settings.variables);
  format.special_texts_ = tokens.special_texts();
  return format;
}

jinja::text chat_format::render(const json_line& conversation, bool add_generation_prompt) const {
  variable_list variables;
  variables.emplace_back("messages", messages_value(conversation));
  variables.emplace_back("tools", list_value(conversation, "tools"));
  variables.emplace_back("documents", list_value(conversation, "documents"));
  variables.emplace_back("add_generation_prompt", add_generation_prompt);
  for (const auto& [name, words] : special_texts_) {
    variables.emplace_back(name, jinja::make_text(words));
  }
  const auto put = [&](const json_line& more, uint8_t marks) {
    for (const auto& [name, held] : more.items()) {
      const auto known = std::find_if(variables.begin(), variables.end(),
                                      [&wanted = name](const auto& v) { return v.first == wanted; });
      jinja::value what = jinja::from_json(held, marks);
      if (known == variables.end()) {
        variables.emplace_back(name, std::move(what));
      } else {
        known->second = std::move(what);
      }
    }
  };
  put(variables_, jinja::no_mark);
  if (const auto own = conversation.find("chat_template_kwargs"); own != conversation.end() && own->is_object()) {
    put(*own, jinja::from_data);
  }
  return program_.render(std::move(variables), date_);
}

jinja::text chat_format::render(std::span<const chat_message> messages, bool add_generation_prompt) const {
  return render(json_of(messages), add_generation_prompt);
}

jinja::text chat_format::after_answer() const {
  const std::string said = "An-answer-that-no-template-writes";
  const std::string asked = "A-question-that-no-template-writes";
  try {
    const jinja::text whole =
        render(std::vector<chat_message>{{"user", "Hello"}, {"assistant", said}, {"user", asked}}, false);
    const size_t begin = whole.bytes().find(said);
    const size_t end = whole.bytes().find(asked);
    if (begin == std::string::npos || end == std::string::npos || end < begin) {
      return {};
    }
    return whole.part(begin + said.size(), end - begin - said.size());
  } catch (const error&) {
    return {};  // a template that refuses this conversation tells nothing of its turns
  }
}

prompt_and_answer render_answer(const chat_format& format, std::vector<chat_message> turns, const std::string& answer) {
  const jinja::text prompt = format.render(turns, true);
  turns.push_back({"assistant", answer});
  const jinja::text whole = format.render(turns, false);
  const auto generated = last_generated(whole);
  const bool goes_on = begins_with(whole, prompt);
  if (generated) {
    // The generation prompt is never learned, even where the block holds it.
    const size_t begin = goes_on ? std::max(prompt.size(), generated->first) : generated->first;
    return {whole.part(0, begin), whole.part(begin, std::max(begin, generated->second) - begin)};
  }
  if (!goes_on) {
    throw error(
        errc::bad_argument,
        "the chat template {} writes the turns before the answer in another way than the prompt for it, so that "
        "it cannot be told what is to be learned: it needs {{% generation %}} around the assistant's words",
        format.name());
  }
  return {prompt, whole.part(prompt.size())};
}

std::vector<int32_t> encode_chat(const tokenizer& tokens, const jinja::text& rendered) {
  return tokens.encode_filtered(rendered.bytes(),
                                [&](size_t begin, size_t end) { return !touches_data(rendered, begin, end); });
}

void trim_turn_end(const tokenizer& tokens, const jinja::text& answer, std::vector<int32_t>& ids) {
  const auto last = std::find_if(ids.rbegin(), ids.rend(), [&](int32_t id) { return tokens.is_special(id); });
  if (last == ids.rend()) {
    return;
  }
  const std::vector<int32_t> rest(last.base(), ids.end());
  const std::string words = tokens.decode(rest, false);
  const bool from_template =
      words.size() <= answer.size() && !touches_data(answer, answer.size() - words.size(), answer.size());
  if (from_template && words.find_first_not_of(" \t\r\n") == std::string::npos) {
    ids.erase(last.base(), ids.end());
  }
}

special_token_counter::special_token_counter(const tokenizer& tokens) {
  const auto add = [&](int32_t id, const std::string& spelling) {
    finder_.add({.id = id, .content = spelling}, spelling);
  };
  for (int32_t id = 0; id < tokens.vocabulary_size(); ++id) {
    if (tokens.is_special(id)) {
      add(id, tokens.spelling_of(id));
    }
  }
  for (const auto& [name, words] : tokens.special_texts()) {
    if (const auto id = tokens.find(words)) {
      add(*id, words);  // pieces like <s> decode to nothing
    }
  }
}

int64_t special_token_counter::count(const jinja::text& rendered) const {
  int64_t refused = 0;
  finder_.cut(
      rendered.bytes(),
      [&](const added_token&, size_t begin, size_t end) { return touches_data(rendered, begin, end); },
      [&](std::string_view, std::optional<int32_t> id) { refused += id ? 1 : 0; });
  return refused;
}

std::optional<int32_t> end_of_turn_token(const chat_format& format, const tokenizer& tokens) {
  const std::vector<int32_t> ids = encode_chat(tokens, format.after_answer());
  const auto first = std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return tokens.is_special(id); });
  return first == ids.end() ? std::nullopt : std::optional(*first);
}

std::string end_of_turn_text(const chat_format& format) {
  const std::string words = format.after_answer().bytes();
  const size_t begin = std::min(words.find_first_not_of(" \t\r\n"), words.size());
  const std::string line = words.substr(0, words.find('\n', begin));
  return line.substr(0, line.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace troupe::io
