#include "jobs/chat_options.hpp"

#include <fmt/chrono.h>

#include <chrono>
#include <string>

namespace troupe {

static std::string today() {
  return fmt::format("{:%F}", fmt::localtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

void add_chat_options(boost::program_options::options_description& options, io::chat_settings& chosen) {
  namespace po = boost::program_options;
  options.add_options()(
      "chat-template", po::value(&chosen.format)->default_value("model")->value_name("TEMPLATE"),
      "how conversations are written: model (the template in DIR; without one, dialogue), a file with a "
      "Jinja template, or chatml, smollm2, qwen2, dialogue, deepspeed-chat, llama-2, llama-3")(
      "date", po::value(&chosen.date)->default_value(today(), "today"),
      "YYYY-MM-DD: today, for templates that write the date")(
      "template-variables", po::value(&chosen.variables),
      "JSON object: further variables of the template, such as {\"enable_thinking\": false}");
}

void tell_spelled_tokens(std::string_view command, int64_t count) {
  if (count > 0) {
    fmt::print(stderr, "troupe {}: {} special token{} that messages spell out {} taken for text\n", command, count,
               count == 1 ? "" : "s", count == 1 ? "was" : "were");
  }
}

}  // namespace troupe
