#include "base/error.hpp"
#include "io/datasets/recognise.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe::io {

static const std::string turn_list = R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])";

static data_section recognised(const std::string& record) {
  data_section set;
  set.name = "d";
  recognise_columns(nlohmann::json::parse(record), set);
  return set;
}

static std::string refusal(const std::string& record) {
  try {
    recognised(record);
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::bad_argument);
    return e.what();
  }
  return "no error";
}

static std::string with_turns(std::string record) {
  for (size_t at = record.find("TURNS"); at != std::string::npos; at = record.find("TURNS")) {
    record.replace(at, 5, turn_list);
  }
  return record;
}

struct shape {
  const char* record;
  data_format format;
  const char* prompt = "";
  const char* answer = "";
};

TEST(RecogniseTest, PublishedColumnsAreRecognised) {
  for (const shape& one : {
           // TRL
           shape{R"({"text": "a"})", data_format::text},
           {R"({"messages": TURNS})", data_format::conversations},
           {R"({"conversations": [{"from": "human", "value": "a"}]})", data_format::conversations},
           {R"({"prompt": "a"})", data_format::prompt_answer},
           {R"({"prompt": TURNS, "data_source": "x"})", data_format::prompt_answer},
           {R"({"prompt": "a", "completion": "b"})", data_format::prompt_answer, "", "completion"},
           {R"({"prompt": TURNS, "completion": TURNS})", data_format::prompt_answer, "", "completion"},
           {R"({"prompt": "a", "chosen": "b", "rejected": "c"})", data_format::pairs},
           {R"({"chosen": "b", "rejected": "c"})", data_format::pairs},
           {R"({"chosen": TURNS, "rejected": TURNS})", data_format::pairs},
           {R"({"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: a"})", data_format::hh_dialogue},
           {R"({"prompt": "a", "prompt_id": "x", "messages": TURNS})", data_format::conversations},
           {R"({"prompt": "a", "chosen": TURNS, "rejected": TURNS, "messages": TURNS, "score_chosen": 8})",
            data_format::pairs},
           {R"({"conversations": TURNS, "chosen": {"from": "gpt", "value": "b"},
                "rejected": {"from": "gpt", "value": "c"}})",
            data_format::pairs, "conversations"},
           // OpenRLHF
           {R"({"input": "a", "output": "b"})", data_format::prompt_answer, "input", "output"},
           {R"({"question": "a", "response": "b", "system_prompt": ""})", data_format::question_answer, "", "response"},
           {R"({"input": "a", "chosen": "b", "rejected": "c", "margin": 1})", data_format::pairs, "input"},
           // others
           {R"({"question": "a", "answer": "b"})", data_format::question_answer},
           {R"({"instruction": "a", "input": "", "output": "b"})", data_format::instruction},
           {R"({"instruction": "a", "context": "", "response": "b"})", data_format::instruction, "", "response"},
           {R"({"prompt": "a", "answer": "b"})", data_format::prompt_answer},
       }) {
    const data_section set = recognised(with_turns(one.record));
    EXPECT_EQ(to_string(set.format), to_string(one.format)) << one.record;
    EXPECT_EQ(set.prompt, one.prompt) << one.record;
    EXPECT_EQ(set.answer, one.answer) << one.record;
  }
}

TEST(RecogniseTest, VerlsGroundTruthIsTheReference) {
  const data_section set = recognised(with_turns(
      R"({"data_source": "gsm8k", "prompt": TURNS, "ability": "math", "reward_model": {"style": "rule", "ground_truth": "4"},
          "extra_info": {"split": "train", "index": 0}})"));
  EXPECT_EQ(set.format, data_format::prompt_answer);
  EXPECT_EQ(set.reference, "reward_model.ground_truth");
}

TEST(RecogniseTest, WhatTheJobNamesIsKept) {
  data_section set;
  set.answer = "mine";
  recognise_columns(nlohmann::json::parse(R"({"prompt": "a", "completion": "b"})"), set);
  EXPECT_EQ(set.answer, "mine");
}

TEST(RecogniseTest, AmbiguityAndOtherKindsOfDataAreRefused) {
  EXPECT_EQ(refusal(R"({"text": "a", "prompt": "b", "completion": "c"})"),
            "its records could be prompt-answer (prompt, completion) or text (text): name the format, and its fields "
            "where they differ");
  EXPECT_NE(refusal(R"({"prompt": "b", "completion": "c", "answer": "d"})").find("could be"), std::string::npos);
  EXPECT_NE(refusal(with_turns(R"({"messages": TURNS, "conversations": TURNS})")).find("could be"), std::string::npos);
  EXPECT_NE(refusal(R"({"story": "a", "id": 3})").find("its records (id, story) have the columns of no format"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"prompt": "a", "completion": "b", "label": true})").find("with a label"), std::string::npos);
  EXPECT_NE(refusal(R"({"prompt": "a", "completions": ["b"], "labels": [true]})").find("each step"), std::string::npos);
}

TEST(RecogniseTest, AFileIsRecognised) {
  data_section set;
  set.name = "gsm";
  set.path = test_data() + "/datasets/gsm8k.jsonl.gz";
  EXPECT_EQ(recognise_format(set), "data.gsm: recognised as question-answer by its columns question, answer");
  EXPECT_EQ(set.format, data_format::question_answer);
  set.path = testing::TempDir() + "/blank.jsonl";
  std::ofstream(set.path) << "\xEF\xBB\xBF\n\r\n";
  EXPECT_THROW(recognise_format(set), error);
}

static std::string told_of(const std::string& lines) {
  data_section set;
  set.name = "d";
  set.path = testing::TempDir() + "/first.jsonl";
  std::ofstream(set.path) << lines;
  try {
    return recognise_format(set);
  } catch (const error& e) {
    return e.what();
  }
}

TEST(RecogniseTest, AFirstRecordThatCannotBeUsedDoesNotDecide) {
  const std::string good = R"({"prompt": "a", "completion": "b"})"
                           "\n";
  const std::string found = "data.d: recognised as prompt-answer by its columns prompt, completion";
  for (const char* first : {"null", "[1]", "{", R"({"prompt": "a", "completion": NaN})", "{\"prompt\": \"Gr\xF6\"}",
                            R"({"prompt": "\ud800"})", R"({"a": 1, "a": 2})"}) {
    EXPECT_EQ(told_of(first + ("\n" + good)), found) << first;
  }
  EXPECT_EQ(told_of(R"({"prompt": "a", "completion": null})"
                    "\n" +
                    good),
            found);
  EXPECT_EQ(told_of(R"({"prompt": "a"})"
                    "\n" +
                    good),
            found);
}

TEST(RecogniseTest, AFileOfOtherLinesIsRefusedByItsFirst) {
  const std::string told = told_of("[{\"prompt\": \"a\"},\n{\"prompt\": \"b\"}]\n");
  EXPECT_NE(told.find("first.jsonl, line 1: malformed JSON"), std::string::npos) << told;
  EXPECT_NE(told_of("null\nnull\n").find("line 1: is a JSON null, not an object"), std::string::npos);
}

TEST(RecogniseTest, AJobIsLoadedWithTheFormatsOfItsFiles) {
  const std::string folder = testing::TempDir() + "/recognised";
  std::filesystem::create_directories(folder + "/m");
  std::ofstream(folder + "/m/config.json") << "{}";
  std::ofstream(folder + "/d.jsonl") << R"({"prompt": "a", "chosen": "b", "rejected": "c"})" << '\n';
  std::ofstream(folder + "/j.ini") << "[run]\nphases = reward\n[model]\npolicy = m\n[data.d]\npath = d.jsonl\n";
  std::vector<std::string> told;
  const job j = load_job(folder + "/j.ini", {}, recogniser(told));
  EXPECT_EQ(j.data[0].format, data_format::pairs);
  EXPECT_EQ(told, (std::vector<std::string>{"data.d: recognised as pairs by its columns prompt, chosen, rejected"}));
  std::ofstream(folder + "/d.jsonl") << R"({"x": "a"})" << '\n';
  try {
    load_job(folder + "/j.ini", {}, recogniser(told));
    FAIL() << "no error";
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find("data.d.format: its records (x)"), std::string::npos) << e.what();
  }
}

}  // namespace troupe::io
