#include "base/error.hpp"
#include "io/datasets/lines.hpp"
#include "io/datasets/record.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

namespace troupe::io {

static const std::string folder = test_data() + "/datasets/";

static data_section set_of(data_format format) {
  data_section set;
  set.name = "d";
  set.format = format;
  return set;
}

static std::vector<record> read_all(const data_section& set, const std::string& file) {
  line_reader lines(open_text(folder + file), file);
  std::vector<record> out;
  for (std::string line; lines.next(line);) {
    out.push_back(read_record(line, set, file));
  }
  return out;
}

static std::string error_of(const std::string& line, const data_section& set) {
  try {
    read_record(line, set, "f.jsonl, line 7");
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::bad_file);
    return e.what();
  }
  return "no error";
}

TEST(RecordTest, DialoguesPartAtTheirLastCommonTurn) {
  const data_section set = set_of(data_format::hh_dialogue);
  const record r = read_record(R"({"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: do",
                                   "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: don't"})",
                               set, "f");
  EXPECT_EQ(r.prompt, "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:");
  EXPECT_EQ(r.chosen, " do");
  EXPECT_EQ(r.rejected, " don't");
}

TEST(RecordTest, RealDialoguesKeepTheirText) {
  const auto records = read_all(set_of(data_format::hh_dialogue), "hh_rlhf.jsonl");
  ASSERT_EQ(records.size(), 24U);
  for (const record& r : records) {
    EXPECT_TRUE(r.prompt.starts_with("\n\nHuman:"));
    EXPECT_TRUE(r.prompt.ends_with("\n\nAssistant:"));
    EXPECT_NE(r.chosen, r.rejected);
    EXPECT_TRUE(r.has_pair);
  }
}

TEST(RecordTest, DialoguesWithoutACommonBeginningAreRefused) {
  EXPECT_NE(error_of(R"({"chosen": "x", "rejected": "y"})", set_of(data_format::hh_dialogue))
                .find("f.jsonl, line 7: the dialogues have no common beginning"),
            std::string::npos);
}

TEST(RecordTest, QuestionsAreWrappedAsSpeech) {
  const auto records = read_all(set_of(data_format::question_answer), "gsm8k.jsonl");
  EXPECT_TRUE(records[0].prompt.starts_with("\n\nHuman: Natalia sold"));
  EXPECT_TRUE(records[0].prompt.ends_with("?\n\nAssistant:"));
  EXPECT_TRUE(records[0].chosen.starts_with(" Natalia"));
  EXPECT_TRUE(records[0].chosen.ends_with("#### 72"));
  EXPECT_FALSE(records[0].has_pair);
}

TEST(RecordTest, InstructionsTakeTheirInputAlong) {
  const auto records = read_all(set_of(data_format::instruction), "instruction.jsonl");
  EXPECT_EQ(records[0].prompt, "\n\nHuman: Add the numbers.\n2 and 3\n\nAssistant:");
  EXPECT_EQ(records[0].chosen, " 5");
  EXPECT_EQ(records[1].prompt, "\n\nHuman: Name a colour.\n\nAssistant:");
}

TEST(RecordTest, ConversationsEndWithTheAssistantsTurn) {
  const auto records = read_all(set_of(data_format::conversations), "conversations.jsonl");
  EXPECT_EQ(records[0].prompt, "\n\nHuman: Name a bird.\n\nAssistant:");
  EXPECT_EQ(records[0].chosen, " A wren.");
  EXPECT_EQ(records[0].rejected, " A trout.");
  EXPECT_TRUE(records[0].has_pair);
  EXPECT_EQ(records[1].prompt,
            "Be brief.\n\nHuman: Name a fish.\n\nAssistant: A trout.\n\nHuman: Another?\n\nAssistant:");
  EXPECT_EQ(records[1].chosen, " A pike.");
  EXPECT_FALSE(records[1].has_pair);
  EXPECT_EQ(records[2].chosen, " Hello.");
}

TEST(RecordTest, ANamedChatTemplateRendersThem) {
  data_section set = set_of(data_format::conversations);
  set.chat_template = "chatml";
  const auto records = read_all(set, "conversations.jsonl");
  EXPECT_EQ(records[2].prompt, "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(records[2].chosen, "Hello.");
}

TEST(RecordTest, FieldsAndTemplatesAreTheJobs) {
  data_section set = set_of(data_format::pairs);
  set.prompt = "p";
  set.chosen = "good";
  set.rejected = "bad";
  set.prompt_template = "Q: {prompt}\nA:";
  set.answer_template = " {answer}!";
  const record r = read_record(R"({"p": "{answer}", "good": "g", "bad": "b"})", set, "f");
  EXPECT_EQ(r.prompt, "Q: {answer}\nA:");
  EXPECT_EQ(r.chosen, " g!");
  EXPECT_EQ(r.rejected, " b!");
}

TEST(RecordTest, TheFirstWordsOfATextAreItsPrompt) {
  data_section set = set_of(data_format::text);
  const std::string line = R"({"text": " Once upon\na time there was"})";
  EXPECT_EQ(read_record(line, set, "f").prompt, "");
  EXPECT_EQ(read_record(line, set, "f").chosen, " Once upon\na time there was");
  set.prompt_words = 3;
  EXPECT_EQ(read_record(line, set, "f").prompt, " Once upon\na");
  EXPECT_EQ(read_record(line, set, "f").chosen, " time there was");
  set.prompt_words = 100;
  EXPECT_EQ(read_record(line, set, "f").chosen, "");
}

TEST(RecordTest, APromptWithoutAnAnswerIsForRollouts) {
  const record r = read_record(R"({"prompt": "x"})", set_of(data_format::prompt_answer), "f");
  EXPECT_EQ(r.prompt, "x");
  EXPECT_FALSE(r.has_answer);
}

TEST(RecordTest, TheDigestIsOfThePromptOrElseOfTheText) {
  const data_section pairs = set_of(data_format::pairs);
  const record a = read_record(R"({"prompt": "p", "chosen": "1", "rejected": "2"})", pairs, "f");
  const record b = read_record(R"({"prompt": "p", "chosen": "3", "rejected": "4"})", pairs, "g");
  const record c = read_record(R"({"prompt": "q", "chosen": "1", "rejected": "2"})", pairs, "f");
  EXPECT_EQ(a.prompt_digest, b.prompt_digest);
  EXPECT_NE(a.prompt_digest, c.prompt_digest);
  const record t = read_record(R"({"text": "one"})", set_of(data_format::text), "f");
  const record u = read_record(R"({"text": "two"})", set_of(data_format::text), "f");
  EXPECT_NE(t.prompt_digest, u.prompt_digest);
}

TEST(RecordTest, ErrorsNameFileLineFieldAndFinding) {
  const data_section pairs = set_of(data_format::pairs);
  EXPECT_EQ(error_of(R"({"prompt": "p", "chosen": 3, "rejected": "r"})", pairs),
            "f.jsonl, line 7: field \"chosen\" is a JSON number, not a text (data.d.format = pairs)");
  EXPECT_EQ(error_of(R"({"prompt": "p"})", pairs),
            "f.jsonl, line 7: the record has no field \"chosen\" (data.d.format = pairs)");
  EXPECT_NE(error_of("[1]", pairs).find("is a JSON array, not an object"), std::string::npos);
  EXPECT_NE(error_of("{", pairs).find("f.jsonl, line 7"), std::string::npos);
  const data_section talk = set_of(data_format::conversations);
  EXPECT_NE(error_of(R"({"conversations": []})", talk).find("no list of turns"), std::string::npos);
  EXPECT_NE(error_of(R"({"conversations": [{"from": "cat", "value": "x"}]})", talk).find("from \"cat\""),
            std::string::npos);
  EXPECT_NE(error_of(R"({"conversations": [3]})", talk).find("a turn is a JSON number"), std::string::npos);
}

}  // namespace troupe::io
