#include "base/error.hpp"
#include "io/tokenizer/chat.hpp"
#include "io/tokenizer/jinja_text.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace troupe::io {
namespace {

std::filesystem::path folder_of(const std::string& name) {
  return std::filesystem::path(test_data()) / "tokenizers" / name;
}

void expect_refused(const std::function<void()>& action, errc code, const std::string& part) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const error& problem) {
    EXPECT_EQ(problem.code(), code) << problem.what();
    EXPECT_NE(std::string(problem.what()).find(part), std::string::npos) << problem.what();
  }
}

class ChatVectorsTest : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ChatVectorsTest, RendersAndEncodesAsTheReference) {
  const auto& [name, format_name] = GetParam();
  const auto tokens = load_tokenizer(folder_of(name));
  const chat_format format = chat_format::of(*tokens);
  EXPECT_EQ(format.name(), format_name);
  std::ifstream file(folder_of(name) / "chat.jsonl");
  int64_t count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    const json_line vector = parse_json_line(line);
    const std::string text =
        format.render(read_messages(vector.at("messages")), vector.at("add_generation_prompt").get<bool>());
    EXPECT_EQ(text, vector.at("rendered").get<std::string>());
    EXPECT_EQ(encode_chat(*tokens, text), vector.at("ids").get<std::vector<int32_t>>());
  }
  EXPECT_EQ(count, 20);
}

INSTANTIATE_TEST_SUITE_P(Both, ChatVectorsTest,
                         testing::Values(std::pair("smollm2", "smollm2"), std::pair("tiny-bpe-512-chat", "chatml")));

const std::vector<chat_message> two_turns{
    {"system", "Be kind."}, {"user", " Hi "}, {"assistant", "Hello!"}, {"user", "Bye"}};

TEST(ChatFormatTest, WritesEachNamedFormat) {
  const auto render = [](std::string_view name, bool prompt) {
    return chat_format::named(name).render(two_turns, prompt);
  };
  EXPECT_EQ(render("dialogue", true), "Be kind.\n\nHuman:  Hi \n\nAssistant: Hello!\n\nHuman: Bye\n\nAssistant:");
  EXPECT_EQ(render("deepspeed-chat", true), "Be kind. Human:  Hi  Assistant: Hello! Human: Bye Assistant:");
  EXPECT_EQ(render("llama-2", false), "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n Hi [/INST] Hello! "
                                      "</s><s>[INST] Bye [/INST]");
  EXPECT_EQ(render("llama-3", true), "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
                                     "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                                     "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
                                     "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
                                     "<|start_header_id|>assistant<|end_header_id|>\n\n");
  const std::vector<chat_message> one{{"user", "Hi"}};
  EXPECT_EQ(chat_format::named("qwen2").render(one, true),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(chat_format::named("chatml").render(one, false), "<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatFormatTest, RecognisesATemplateHoweverItIsSpelt) {
  const char* spellings[] = {
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
      "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
      "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% for message "
      "in messages %}{{ \"<|im_start|>\" + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}{% "
      "if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
      "{# chatml #}\n{%- for message in messages %}\n    {{- '<|im_start|>' + message['role'] + '\\n' + "
      "message['content'] + '<|im_end|>' + '\\n' -}}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- "
      "'<|im_start|>assistant\\n' }}\n{%- endif %}",
  };
  for (const char* spelling : spellings) {
    EXPECT_EQ(chat_format::recognise(spelling).name(), "chatml") << spelling;
  }
}

TEST(ChatFormatTest, TakesTheSystemMessageFromTheTemplate) {
  const chat_format format =
      chat_format::recognise("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
                             "'<|im_start|>system\nYou are a duck.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
                             "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if "
                             "add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
  EXPECT_EQ(format.name(), "chatml");
  EXPECT_EQ(format.render(std::vector<chat_message>{{"user", "Hi"}}, false),
            "<|im_start|>system\nYou are a duck.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatFormatTest, RecognisesLlamaTemplates) {
  EXPECT_EQ(
      chat_format::recognise(
          "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' "
          "+ message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 "
          "== 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if "
          "add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
          .name(),
      "llama-3");
}

TEST(ChatFormatTest, RefusesWhatItDoesNotKnow) {
  const std::string list = "chatml, smollm2, qwen2, dialogue, deepspeed-chat, llama-2, llama-3";
  // One character from chatml: "<|im_end|>" is missing its line break.
  expect_refused(
      [] {
        chat_format::recognise("{% for message in messages %}{{'<|im_start|>' + message['role'] + "
                               "'\n' + message['content'] + '<|im_end|>'}}{% endfor %}{% if "
                               "add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
      },
      errc::unsupported, list);
  expect_refused([] { chat_format::recognise("{{ 'never closed"); }, errc::unsupported, list);
  expect_refused([] { chat_format::named("vicuna"); }, errc::unsupported, list);
}

TEST(ChatFormatTest, RefusesConversationsThatItCannotWrite) {
  const chat_format format = chat_format::named("llama-2");
  expect_refused([&] { format.render({}, false); }, errc::bad_argument, "no messages");
  expect_refused(
      [&] {
        format.render(std::vector<chat_message>{{"tool", "x"}}, false);
      },
      errc::bad_argument, "message 1 has the role \"tool\"");
  expect_refused(
      [&] {
        format.render(std::vector<chat_message>{{"user", "x"}, {"system", "y"}}, false);
      },
      errc::bad_argument, "message 2");
  expect_refused(
      [&] {
        format.render(std::vector<chat_message>{{"user", "x"}, {"user", "y"}}, false);
      },
      errc::bad_argument, "in turns");
}

TEST(ChatFormatTest, EncodesSpecialTokensOfSentencePieceModels) {
  const auto tokens = load_tokenizer(folder_of("tiny-sp-512"));
  std::vector<int32_t> expected{1};
  const auto add = [&](std::string_view text) {
    const auto more = tokens->encode(text, false);
    expected.insert(expected.end(), more.begin(), more.end());
  };
  add("[INST] Hi [/INST] Ho ");
  expected.push_back(2);
  const std::string text =
      chat_format::named("llama-2").render(std::vector<chat_message>{{"user", "Hi"}, {"assistant", "Ho"}}, false);
  EXPECT_EQ(encode_chat(*tokens, text), expected);
}

TEST(CanonicalJinjaTest, KeepsApartWhatDiffers) {
  EXPECT_NE(canonical_jinja("{{ a }}b"), canonical_jinja("{{ a }} b"));
  EXPECT_NE(canonical_jinja("{{ 'a' if b else 'c' }}"), canonical_jinja("a{{ b }}c"));
  EXPECT_NE(canonical_jinja("{% if a %}b{% endif %}"), canonical_jinja("b"));
  EXPECT_NE(canonical_jinja("{{ 'a\"' }}"), canonical_jinja("{{ 'a' }}\""
                                                            " "));
  EXPECT_EQ(canonical_jinja("{% if a %}\n  b\n  {% endif %}\n"), canonical_jinja("{% if a %}{{ '  b\n' }}{% endif %}"));
}

}  // namespace
}  // namespace troupe::io
