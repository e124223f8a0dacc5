#include "base/error.hpp"
#include "io/datasets/lines.hpp"
#include "io/datasets/record.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <utility>

namespace troupe::io {

static const std::string folder = test_data() + "/datasets/";

static data_section set_of(data_format format) {
  data_section set;
  set.name = "d";
  set.format = format;
  return set;
}

/// How the set's turns are written by a model without a template of its own.
static const chat_format& format_of(const data_section& set) {
  static std::map<std::string, chat_format> formats;
  const std::string name = set.chat_template.empty() ? "dialogue" : set.chat_template;
  return formats.try_emplace(name, chat_format::named(name)).first->second;
}

static record read_record(const std::string& line, const data_section& set, const std::string& where) {
  return read_record(line, set, where, format_of(set));
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
  EXPECT_EQ(records[2].chosen, "Hello.<|im_end|>\n") << "with the end of its turn";
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
  EXPECT_NE(error_of(R"({"conversations": [3]})", talk).find("turn 1 is a JSON number"), std::string::npos);
}

TEST(RecordTest, TurnsThatHoldNoSpeechAreRefused) {
  const data_section talk = set_of(data_format::conversations);
  const auto refused = [&](const std::string& turns, const std::string& reason) {
    EXPECT_NE(error_of("{\"messages\": [" + turns + "]}", talk).find(reason), std::string::npos)
        << error_of("{\"messages\": [" + turns + "]}", talk);
  };
  const std::string user = R"({"role": "user", "content": "Hi"}, )";
  refused(user + R"({"role": "assistant", "content": null, "tool_calls": [{"id": 1}]})", "turn 2 calls tools");
  refused(user + R"({"role": "tool", "content": "42"})", "turn 2 is a tool's, from \"tool\"");
  refused(user + R"({"from": "observation", "value": "42"})", "turn 2 is a tool's");
  refused(user + R"({"role": "assistant", "content": null})", "turn 2 has no text");
  refused(user + R"({"role": "assistant"})", "turn 2 has no text");
  refused(R"({"role": "user", "content": [{"type": "image"}]})", "turn 1 holds something other than text");
  EXPECT_NE(error_of(R"({"messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "f"}]})", talk)
                .find("offers tools"),
            std::string::npos);
  const record parts = read_record(
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
          "tools": []})",
      talk, "f");
  EXPECT_EQ(parts.prompt, "\n\nHuman: ab\n\nAssistant:");
}

TEST(RecordTest, DialoguesThatPartInTheHumansWordsAreRefused) {
  const std::string line = R"({"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
                              "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: e\n\nAssistant: d"})";
  EXPECT_NE(error_of(line, set_of(data_format::hh_dialogue)).find("part in the human's words"), std::string::npos);
}

static std::string turns(std::initializer_list<std::pair<const char*, const char*>> all) {
  std::string text;
  for (const auto& [role, content] : all) {
    text += std::string(text.empty() ? "" : ", ") + R"({"role": ")" + role + R"(", "content": ")" + content + "\"}";
  }
  return "[" + text + "]";
}

TEST(RecordTest, PairsOfTurnsPartAtTheAssistantsLastTurn) {
  const data_section set = set_of(data_format::pairs);
  const std::string better = turns({{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}});
  const std::string worse = turns({{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "e"}});
  const std::string answer = turns({{"assistant", "d"}});
  const std::string other = turns({{"assistant", "e"}});
  const std::string prompt = turns({{"user", "a"}, {"assistant", "b"}, {"user", "c"}});
  const auto pair = [](const std::string& chosen, const std::string& rejected, const std::string& prompt) {
    return "{" + (prompt.empty() ? "" : "\"prompt\": " + prompt + ", ") + "\"chosen\": " + chosen +
           ", \"rejected\": " + rejected + "}";
  };
  for (const std::string& line :
       {pair(better, worse, ""), pair(better, worse, prompt), pair(answer, other, prompt), pair(better, worse, "\"c\""),
        pair("\"d\"", "\"e\"", prompt),
        pair(R"({"from": "gpt", "value": "d"})", R"({"from": "gpt", "value": "e"})", prompt)}) {
    const record r = read_record(line, set, "f");
    EXPECT_EQ(r.prompt, "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:") << line;
    EXPECT_EQ(r.chosen, " d") << line;
    EXPECT_EQ(r.rejected, " e") << line;
  }
  EXPECT_EQ(read_record(pair(answer, other, "\"c\""), set, "f").prompt, "\n\nHuman: c\n\nAssistant:");
  const auto refused = [&](const std::string& chosen, const std::string& rejected, const std::string& reason) {
    const std::string text = error_of(pair(chosen, rejected, ""), set);
    EXPECT_NE(text.find(reason), std::string::npos) << text;
  };
  refused(better, turns({{"user", "a"}, {"assistant", "b"}, {"user", "x"}, {"assistant", "d"}}),
          "parts in the human's words");
  refused(better, turns({{"user", "a"}, {"assistant", "x"}, {"user", "c"}, {"assistant", "d"}}), "goes on after");
  refused(better, turns({{"user", "x"}, {"assistant", "y"}}), "share no turn");
  refused(better, turns({{"user", "a"}, {"assistant", "b"}}), "the beginning of the other");
}

TEST(RecordTest, PairsWithoutAPromptShareTheirBeginning) {
  const record r = read_record(R"({"chosen": "Name a bird: a wren", "rejected": "Name a bird: a wolf"})",
                               set_of(data_format::pairs), "f");
  EXPECT_EQ(r.prompt, "Name a bird: a");
  EXPECT_EQ(r.chosen, " wren");
  EXPECT_EQ(r.rejected, " wolf");
  EXPECT_NE(error_of(R"({"chosen": "yes", "rejected": "yeah"})", set_of(data_format::pairs)).find("no word in common"),
            std::string::npos);
}

TEST(RecordTest, TheReferenceIsAFieldOrElseTheAnswer) {
  data_section set = set_of(data_format::prompt_answer);
  EXPECT_EQ(read_record(R"({"prompt": "p", "answer": "a"})", set, "f").reference, "a");
  set.reference = "reward_model.ground_truth";
  const record r = read_record(R"({"prompt": [{"role": "user", "content": "2+2?"}],
                                   "reward_model": {"ground_truth": "4", "style": "rule"}})",
                               set, "f");
  EXPECT_EQ(r.prompt, "\n\nHuman: 2+2?\n\nAssistant:");
  EXPECT_EQ(r.reference, "4");
  EXPECT_FALSE(r.has_answer);
  EXPECT_EQ(read_record(R"({"prompt": "p", "reward_model": {"ground_truth": 4.5}})", set, "f").reference, "4.5");
  EXPECT_NE(error_of(R"({"prompt": "p", "reward_model": 3})", set).find("no field \"reward_model.ground_truth\""),
            std::string::npos);
}

TEST(RecordTest, WithAChatTemplateAPromptThatIsATextIsTheUsersTurn) {
  data_section set = set_of(data_format::question_answer);
  set.chat_template = "chatml";
  const record r = read_record(R"({"question": "2+2?", "answer": "4"})", set, "f");
  EXPECT_EQ(r.prompt, "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(r.chosen, "4<|im_end|>\n");
  set.format = data_format::instruction;
  const record i = read_record(R"({"instruction": "Add.", "input": "2, 2", "output": "4"})", set, "f");
  EXPECT_EQ(i.prompt, "<|im_start|>user\nAdd.\n2, 2<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace troupe::io
