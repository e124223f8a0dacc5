#include "io/chat/named_formats.hpp"

#include "base/error.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace troupe::io {

static constexpr std::array<std::string_view, 7> all_names{"chatml",         "smollm2", "qwen2",  "dialogue",
                                                           "deepspeed-chat", "llama-2", "llama-3"};

// What all of them refuse.
static constexpr std::string_view check = R"(
{%- for message in messages -%}
  {%- if message.role not in ['system', 'user', 'assistant'] -%}
    {{ raise_exception('message %d has the role "%s": system, user and assistant are known' % (loop.index, message.role)) }}
  {%- elif message.role == 'system' and not loop.first -%}
    {{ raise_exception('message %d has the role "system": only the first may be system' % loop.index) }}
  {%- endif -%}
{%- endfor -%})";

// SYSTEM stands for the format's own system message.
static constexpr std::string_view chatml = R"(
{%- if messages[0].role != 'system' -%}{{ SYSTEM }}{%- endif -%}
{%- for message in messages -%}
  {{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%})";

// GAP stands for what parts the turns.
static constexpr std::string_view dialogue = R"(
{%- for message in messages -%}
  {%- if message.role == 'user' -%}{{ GAP + 'Human: ' + message.content }}
  {%- elif message.role == 'assistant' -%}{{ GAP + 'Assistant: ' + message.content }}
  {%- else -%}{{ message.content }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ GAP + 'Assistant:' }}{%- endif -%})";

static constexpr std::string_view llama_2 = R"(
{%- set first = namespace(words='') -%}
{%- if messages[0].role == 'system' -%}
  {%- set first.words = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' -%}
  {%- set messages = messages[1:] -%}
{%- endif -%}
{%- for message in messages -%}
  {%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception("message %d is the %s's: llama-2 needs user and assistant in turns, user first" %
                       (loop.index, message.role)) }}
  {%- endif -%}
  {%- set content = ((first.words if loop.first else '') + message.content).strip() -%}
  {%- if message.role == 'user' -%}{{ '<s>[INST] ' + content + ' [/INST]' }}
  {%- else -%}{{ ' ' + content + ' </s>' }}{%- endif -%}
{%- endfor -%})";

static constexpr std::string_view llama_3 = R"(
{{- '<|begin_of_text|>' -}}
{%- for message in messages -%}
  {{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content.strip() + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%})";

static std::string with(std::string_view source, std::string_view placeholder, const std::string& literal) {
  std::string out(source);
  for (size_t at = out.find(placeholder); at != std::string::npos; at = out.find(placeholder, at + literal.size())) {
    out.replace(at, placeholder.size(), literal);
  }
  return out;
}

static std::string chatml_with_system(const std::string& words) {
  return with(chatml, "SYSTEM", words.empty() ? "''" : fmt::format("'<|im_start|>system\\n{}<|im_end|>\\n'", words));
}

static std::string body_of(std::string_view name) {
  if (name == "smollm2") {
    return chatml_with_system("You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  }
  if (name == "qwen2") {
    return chatml_with_system("You are a helpful assistant.");
  }
  if (name == "dialogue" || name == "deepspeed-chat") {
    return with(dialogue, "GAP", name == "dialogue" ? R"('\n\n')" : "' '");
  }
  return name == "llama-2" ? std::string(llama_2) : name == "llama-3" ? std::string(llama_3) : chatml_with_system("");
}

std::span<const std::string_view> chat_format_names() { return all_names; }

std::string chat_format_source(std::string_view name) {
  if (std::find(all_names.begin(), all_names.end(), name) == all_names.end()) {
    throw error(errc::unsupported, "chat format \"{}\" is not known (known: {})", name, fmt::join(all_names, ", "));
  }
  return std::string(check) + body_of(name);
}

}  // namespace troupe::io
