#include "io/datasets/turns.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <array>

namespace troupe::io {

using json = nlohmann::json;

static bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

static std::string role_of(const std::string& written) {
  constexpr std::array<std::string_view, 2> users{"user", "human"};
  constexpr std::array<std::string_view, 3> assistants{"assistant", "gpt", "chatgpt"};
  constexpr std::array<std::string_view, 6> tools{"tool",    "function",   "function_call", "function_response",
                                                  "ipython", "observation"};
  if (is_one_of(written, users)) {
    return "user";
  }
  if (is_one_of(written, assistants)) {
    return "assistant";
  }
  if (is_one_of(written, tools)) {
    throw error(errc::bad_file, "is a tool's, from \"{}\"", written);
  }
  if (written != "system") {
    throw error(errc::bad_file, "is from \"{}\": possible are human, user, gpt, assistant, system", written);
  }
  return written;
}

/// A text, or the texts of a list of parts.
static std::string content_of(const json& content) {
  if (content.is_string()) {
    return content.get<std::string>();
  }
  if (content.is_null()) {
    throw error(errc::bad_file, "has no text");
  }
  if (!content.is_array()) {
    throw error(errc::bad_file, "has a JSON {} for a text", content.type_name());
  }
  std::string text;
  for (const json& part : content) {
    if (!part.is_object() || part.value("type", json()) != "text" || !part.value("text", json()).is_string()) {
      throw error(errc::bad_file, "holds something other than text");
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

chat_message read_turn(const json& turn) {
  if (!turn.is_object()) {
    throw error(errc::bad_file, "is a JSON {}, not an object", turn.type_name());
  }
  const char* role = turn.contains("from") ? "from" : "role";
  const char* text = turn.contains("value") ? "value" : "content";
  if (!turn.contains(role) || !turn[role].is_string()) {
    throw error(errc::bad_file, R"(needs texts "from" and "value", or "role" and "content")");
  }
  if (turn.contains("tool_calls") && !turn["tool_calls"].empty()) {
    throw error(errc::bad_file, "calls tools");
  }
  std::string who = role_of(turn[role].get<std::string>());
  return {std::move(who), content_of(turn.contains(text) ? turn[text] : json())};
}

std::vector<chat_message> read_turns(const json& list) {
  std::vector<chat_message> turns;
  for (const json& turn : list) {
    try {
      turns.push_back(read_turn(turn));
    } catch (const error& e) {
      throw error(errc::bad_file, "turn {} {}", turns.size() + 1, e.what());
    }
  }
  return turns;
}

static bool same(const chat_message& a, const chat_message& b) { return a.role == b.role && a.content == b.content; }

/// Puts the prompt before the turns, unless they begin with it.
static void put_before(const std::vector<chat_message>& prompt, std::vector<chat_message>& turns) {
  const bool there = prompt.size() <= turns.size() && std::equal(prompt.begin(), prompt.end(), turns.begin(), same);
  if (!there) {
    turns.insert(turns.begin(), prompt.begin(), prompt.end());
  }
}

parted_turns part_turns(const std::vector<chat_message>& prompt, std::vector<chat_message> chosen,
                        std::vector<chat_message> rejected) {
  put_before(prompt, chosen);
  put_before(prompt, rejected);
  const auto parted = std::mismatch(chosen.begin(), chosen.end(), rejected.begin(), rejected.end(), same);
  const bool equal = parted.first == chosen.end() && parted.second == rejected.end();
  if (!equal && (parted.first == chosen.end() || parted.second == rejected.end())) {
    throw error(errc::bad_file, "one conversation of the pair is the beginning of the other");
  }
  const auto shared = equal ? static_cast<int64_t>(chosen.size()) - 1 : parted.first - chosen.begin();
  if (shared < 1) {
    throw error(errc::bad_file, "the conversations of the pair share no turn that could be the prompt");
  }
  const auto at = static_cast<size_t>(shared);
  if (chosen[at].role != "assistant" || rejected[at].role != "assistant") {
    throw error(errc::bad_file, "the pair parts in the human's words: no answer of the assistant is the better one");
  }
  if (at + 1 < chosen.size() || at + 1 < rejected.size()) {
    throw error(errc::bad_file, "the pair goes on after the turn at which it parts: which answer is the better one?");
  }
  parted_turns out{.prompt = {}, .chosen = chosen[at].content, .rejected = rejected[at].content};
  chosen.resize(at);
  out.prompt = std::move(chosen);
  return out;
}

}  // namespace troupe::io
