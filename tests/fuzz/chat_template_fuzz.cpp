// Any bytes as a chat template, given a conversation with tools: written or refused, within the limits.
#include "base/error.hpp"
#include "io/jinja/template.hpp"
#include "io/jinja/value.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

using namespace troupe::io;

static const nlohmann::ordered_json& conversation() {
  static const auto held = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": " Be kind.\n"}, {"role": "user", "content": "é <b> {{ x }}"},
                 {"role": "assistant", "content": null, "tool_calls": [{"name": "f", "arguments": {"a": [1, 2.5]}}]},
                 {"role": "tool", "content": [{"type": "text", "text": "x,y"}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": {"type": "array"}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "n": 3})");
  return held;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const jinja::program source({reinterpret_cast<const char*>(data), size}, "fuzz");
    std::vector<std::pair<std::string, jinja::value>> variables;
    for (const auto& [name, held] : conversation().items()) {
      variables.emplace_back(name, jinja::from_json(held, jinja::from_data));
    }
    source.render(std::move(variables), "2024-11-28");
  } catch (const troupe::error&) {
    return 0;
  }
  return 0;
}
