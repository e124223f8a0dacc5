#include "io/datasets/joiner.hpp"
#include "io/json/jsonl_filter.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

namespace troupe::io {
namespace {

using id_list = std::vector<int32_t>;

/// Every folder below tests/data that has a tokenizer.
std::vector<std::string> tokenizer_folders() {
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(test_data())) {
    const std::string name = entry.path().filename().string();
    if (name == "tokenizer.json" || name == "vocab.json" || name == "tokenizer.model") {
      folders.push_back(entry.path().parent_path().string());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

class JoinerTest : public testing::TestWithParam<std::string> {
protected:
  std::unique_ptr<tokenizer> tokens_ = load_tokenizer(GetParam());
  text_joiner join_{[this](std::string_view text) { return tokens_->encode(text, false); }};
};

std::string name_of(const testing::TestParamInfo<std::string>& folder) {
  std::string name = std::filesystem::relative(folder.param, test_data()).string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

/// Some texts of the reference vectors: several scripts, white space of all kinds, emoji, code.
std::vector<std::string> texts() {
  constexpr size_t longest = 80;
  std::ifstream file(test_data() + "/tokenizers/gpt2/vectors.jsonl");
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);) {
    const json_line vector = parse_json_line(line);
    if (vector.contains("text") && vector.at("text").get<std::string>().size() < longest) {
      out.push_back(vector.at("text").get<std::string>());
    }
  }
  return out;
}

bool begins_character(const std::string& text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
}

id_list joined(const text_joiner& join, const std::string& prompt, const std::string& answer) {
  id_list ids = join.prompt(prompt);
  const id_list more = join.answer(prompt, ids, answer);
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

TEST_P(JoinerTest, PromptAndAnswerHaveTheIdsOfTheJoinedTextWhereTheBoundaryAllows) {
  int allowed = 0;
  for (const std::string& text : texts()) {
    const id_list whole = tokens_->encode(text, false);
    for (size_t at = 1; at < text.size(); ++at) {
      if (!begins_character(text, at)) {
        continue;
      }
      const std::string prompt = text.substr(0, at);
      const id_list head = tokens_->encode(prompt, false);
      const bool allows = head.size() <= whole.size() && std::equal(head.begin(), head.end(), whole.begin());
      const id_list ids = joined(join_, prompt, text.substr(at));
      ASSERT_TRUE(std::equal(head.begin(), head.end(), ids.begin())) << prompt;
      if (allows) {
        ASSERT_EQ(ids, whole) << prompt << '|' << text.substr(at);
        ++allowed;
      }
    }
  }
  EXPECT_GT(allowed, 300);
}

TEST_P(JoinerTest, ABoundaryBetweenWordsAllowsIt) {
  for (const auto& [prompt, answer] : {std::pair<std::string, std::string>{"Once upon", " a time"},
                                       {"One day, a little girl", " named Lily went to the park."},
                                       {"Tim saw a big dog.", " The dog was happy."},
                                       {"2 + 2 =", " 4"},
                                       {"\n\nHuman: Hi\n\nAssistant:", " Hello there"}}) {
    EXPECT_EQ(joined(join_, prompt, answer), tokens_->encode(prompt + answer, false)) << prompt << '|' << answer;
  }
}

TEST_P(JoinerTest, WithoutSuchABoundaryTheAnswerHasNoSpaceThatIsNotItsOwn) {
  const id_list with_space = tokens_->encode(" ig dog", false);
  for (const char* prompt : {"Tim saw a b", "Th", "12"}) {
    const id_list head = join_.prompt(prompt);
    const id_list ids = join_.answer(prompt, head, "ig dog");
    EXPECT_NE(ids, with_space) << prompt;
    EXPECT_EQ(answer_text(*tokens_, head, ids), "ig dog") << prompt;
  }
}

TEST_P(JoinerTest, TextsOfIdsAreJoinedAgain) {
  const text_frame frame = frame_of(*tokens_);
  for (const auto& [prompt, answer] :
       {std::pair<std::string, std::string>{"Once upon", " a time"}, {"A line.\n", "Another line."}}) {
    const id_list own = join_.prompt(prompt);
    const id_list more = join_.answer(prompt, own, answer);
    id_list head = frame.before;
    head.insert(head.end(), own.begin(), own.end());
    EXPECT_EQ(prompt_text(*tokens_, head), prompt);
    EXPECT_EQ(answer_text(*tokens_, head, more), answer);
    EXPECT_EQ(framed_prompt(*tokens_, prompt), head);
  }
}

TEST_P(JoinerTest, WithoutAPromptTheAnswerBegins) {
  EXPECT_EQ(join_.answer("", {}, "Once upon"), tokens_->encode("Once upon", false));
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, JoinerTest, testing::ValuesIn(tokenizer_folders()), name_of);

TEST(JoinerExampleTest, SentencePiecePutsNoSpaceBeforeAnAnswerThatGoesOn) {
  const auto tokens = load_tokenizer(test_data() + "/stories260k");
  const text_joiner join([&](std::string_view text) { return tokens->encode(text, false); });
  EXPECT_EQ(joined(join, "Once upon", " a time"), (id_list{403, 407, 261, 378}));
}

}  // namespace
}  // namespace troupe::io
