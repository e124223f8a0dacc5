#include "io/chat/chat.hpp"

#include "base/error.hpp"
#include "io/tokenizer/added_tokens.hpp"
#include "io/tokenizer/jinja_text.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::io {
namespace {

constexpr std::array<std::string_view, 7> all_names{"chatml",         "smollm2", "qwen2",  "dialogue",
                                                    "deepspeed-chat", "llama-2", "llama-3"};

constexpr std::string_view smollm2_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
constexpr std::string_view qwen2_system = "You are a helpful assistant.";

constexpr std::string_view chatml_template = R"(
{%- for message in messages -%}
  <|im_start|>{{ message.role }}{{ '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%})";

// SYSTEM stands for any text.
constexpr std::string_view chatml_system_template = R"(
{%- for message in messages -%}
  {%- if loop.first and messages[0].role != 'system' -%}
    {{ '<|im_start|>system\nSYSTEM<|im_end|>\n' }}
  {%- endif -%}
  <|im_start|>{{ message.role }}{{ '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%})";

constexpr std::string_view dialogue_template = R"(
{%- for message in messages -%}
  {%- if message.role == 'user' -%}{{ '\n\nHuman: ' + message.content }}
  {%- elif message.role == 'assistant' -%}{{ '\n\nAssistant: ' + message.content }}
  {%- else -%}{{ message.content }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '\n\nAssistant:' }}{%- endif -%})";

constexpr std::string_view deepspeed_chat_template = R"(
{%- for message in messages -%}
  {%- if message.role == 'user' -%}{{ ' Human: ' + message.content }}
  {%- elif message.role == 'assistant' -%}{{ ' Assistant: ' + message.content }}
  {%- else -%}{{ message.content }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ ' Assistant:' }}{%- endif -%})";

constexpr std::string_view llama_2_template = R"(
{%- if messages[0].role == 'system' -%}
  {%- set loop_messages = messages[1:] -%}{%- set system_message = messages[0].content -%}
{%- else -%}
  {%- set loop_messages = messages -%}{%- set system_message = false -%}
{%- endif -%}
{%- for message in loop_messages -%}
  {%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
  {%- endif -%}
  {%- if loop.index0 == 0 and system_message != false -%}
    {%- set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message.content -%}
  {%- else -%}{%- set content = message.content -%}{%- endif -%}
  {%- if message.role == 'user' -%}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
  {%- elif message.role == 'assistant' -%}{{ ' ' + content.strip() + ' ' + eos_token }}{%- endif -%}
{%- endfor -%})";

constexpr std::string_view llama_3_template = R"(
{%- set loop_messages = messages -%}
{%- for message in loop_messages -%}
  {%- set content = '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' +
                    message.content | trim + '<|eot_id|>' -%}
  {%- if loop.index0 == 0 -%}{%- set content = bos_token + content -%}{%- endif -%}
  {{ content }}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif -%})";

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> fixed_templates{{
    {"chatml", chatml_template},
    {"dialogue", dialogue_template},
    {"deepspeed-chat", deepspeed_chat_template},
    {"llama-2", llama_2_template},
    {"llama-3", llama_3_template},
}};

std::string list_of_names() { return fmt::format("{}", fmt::join(all_names, ", ")); }

std::string_view stripped(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n\f\v";
  const size_t begin = std::min(text.find_first_not_of(spaces), text.size());
  return text.substr(begin, text.find_last_not_of(spaces) + 1 - begin);
}

void check(std::span<const chat_message> messages) {
  if (messages.empty()) {
    throw error(errc::bad_argument, "the conversation has no messages");
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "user" && role != "assistant" && (role != "system" || i > 0)) {
      throw error(errc::bad_argument, "message {} has the role \"{}\": {}", i + 1, role,
                  role == "system" ? "only the first may be system" : "system, user and assistant are known");
    }
  }
}

std::string render_dialogue(std::span<const chat_message> messages, bool prompt, std::string_view gap) {
  std::string text;
  for (const chat_message& message : messages) {
    if (message.role != "system") {
      text += fmt::format("{}{}: ", gap, message.role == "user" ? "Human" : "Assistant");
    }
    text += message.content;
  }
  return prompt ? text + fmt::format("{}Assistant:", gap) : text;
}

std::string render_llama_2(std::span<const chat_message> messages) {
  std::string system;
  if (messages.front().role == "system") {
    system = fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n", messages.front().content);
    messages = messages.subspan(1);
  }
  std::string text;
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool is_user = messages[i].role == "user";
    if (is_user != (i % 2 == 0)) {
      throw error(errc::bad_argument, "message {} is the {}'s: llama-2 needs user and assistant in turns, user first",
                  i + 1, messages[i].role);
    }
    const std::string content = (i == 0 ? system : std::string()) + messages[i].content;
    text +=
        is_user ? fmt::format("<s>[INST] {} [/INST]", stripped(content)) : fmt::format(" {} </s>", stripped(content));
  }
  return text;
}

std::string render_llama_3(std::span<const chat_message> messages, bool prompt) {
  std::string text = "<|begin_of_text|>";
  for (const chat_message& message : messages) {
    text +=
        fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", message.role, stripped(message.content));
  }
  return prompt ? text + "<|start_header_id|>assistant<|end_header_id|>\n\n" : text;
}

// The text that stands for SYSTEM in the known template, if nothing else differs.
std::optional<std::string> find_system(std::string_view canonical) {
  const std::string known = canonical_jinja(chatml_system_template);
  const size_t hole = known.find("SYSTEM");
  const std::string_view head = std::string_view(known).substr(0, hole);
  const std::string_view tail = std::string_view(known).substr(hole + 6);
  if (canonical.size() < head.size() + tail.size() || !canonical.starts_with(head) || !canonical.ends_with(tail)) {
    return std::nullopt;
  }
  const std::string_view middle = canonical.substr(head.size(), canonical.size() - head.size() - tail.size());
  // A quote would end the literal, and what follows it could be anything.
  if (middle.find_first_of("\"\\") != std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(middle);
}

}  // namespace

std::span<const std::string_view> chat_format::names() { return all_names; }

chat_format chat_format::named(std::string_view name) {
  const auto known = std::find(all_names.begin(), all_names.end(), name);
  if (known == all_names.end()) {
    throw error(errc::unsupported, "chat format \"{}\" is not known (known: {})", name, list_of_names());
  }
  chat_format result(*known);
  result.system_ = *known == "smollm2" ? smollm2_system : *known == "qwen2" ? qwen2_system : "";
  return result;
}

chat_format chat_format::recognise(std::string_view jinja) {
  const std::string canonical = canonical_jinja(jinja);
  for (const auto& [name, source] : fixed_templates) {
    if (canonical == canonical_jinja(source)) {
      return named(name);
    }
  }
  if (const auto system = find_system(canonical)) {
    chat_format result(*system == smollm2_system ? all_names[1]
                       : *system == qwen2_system ? all_names[2]
                                                 : all_names[0]);
    result.system_ = *system;
    return result;
  }
  throw error(errc::unsupported, "the chat template of the tokenizer is none that is known (known: {}): \"{}{}\"",
              list_of_names(), jinja.substr(0, 200), jinja.size() > 200 ? "..." : "");
}

chat_format chat_format::of(const tokenizer& tokens) {
  return tokens.chat_template().empty() ? named("dialogue") : recognise(tokens.chat_template());
}

std::string chat_format::render_chatml(std::span<const chat_message> messages, bool prompt) const {
  std::string text;
  const auto add = [&](std::string_view role, std::string_view content) {
    text += fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, content);
  };
  if (!system_.empty() && messages.front().role != "system") {
    add("system", system_);
  }
  for (const chat_message& message : messages) {
    add(message.role, message.content);
  }
  return prompt ? text + "<|im_start|>assistant\n" : text;
}

std::string chat_format::render(std::span<const chat_message> messages, bool add_generation_prompt) const {
  check(messages);
  if (name_ == "dialogue") {
    return render_dialogue(messages, add_generation_prompt, "\n\n");
  }
  if (name_ == "deepspeed-chat") {
    return render_dialogue(messages, add_generation_prompt, " ");
  }
  if (name_ == "llama-2") {
    return render_llama_2(messages);
  }
  if (name_ == "llama-3") {
    return render_llama_3(messages, add_generation_prompt);
  }
  return render_chatml(messages, add_generation_prompt);
}

std::string_view chat_format::end_of_turn() const {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> ends{{
      {"dialogue", "\n\nHuman:"},
      {"deepspeed-chat", " Human:"},
      {"llama-2", "</s>"},
      {"llama-3", "<|eot_id|>"},
  }};
  for (const auto& [name, text] : ends) {
    if (name == name_) {
      return text;
    }
  }
  return "<|im_end|>";
}

std::vector<int32_t> encode_chat(const tokenizer& tokens, std::string_view rendered) {
  added_token_finder specials;
  for (const std::string_view text : {"<s>", "</s>"}) {
    const auto id = tokens.find(text);
    if (id && tokens.is_special(*id)) {
      specials.add({.id = *id, .content = std::string(text)}, text);
    }
  }
  std::vector<int32_t> ids;
  specials.cut(rendered, [&](std::string_view part, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      const std::vector<int32_t> more = tokens.encode(part, false);
      ids.insert(ids.end(), more.begin(), more.end());
    }
  });
  return ids;
}

std::vector<chat_message> read_messages(const json_line& value) {
  if (!value.is_array()) {
    throw error(errc::bad_argument, "\"messages\" is of type {}, not an array", value.type_name());
  }
  std::vector<chat_message> messages;
  for (const json_line& entry : value) {
    const auto text_of = [&](const char* key) {
      if (!entry.is_object() || !entry.contains(key) || !entry[key].is_string()) {
        throw error(errc::bad_argument, "message {} has no text \"{}\"", messages.size() + 1, key);
      }
      return entry[key].get<std::string>();
    };
    std::string role = text_of("role");
    messages.push_back({std::move(role), text_of("content")});
  }
  return messages;
}

}  // namespace troupe::io
