// The commands, as a user calls them.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace troupe::test {

using nlohmann::json;

static const std::string data = test_data();
static const std::string stories = data + "/stories260k";

static std::vector<json> lines_of(const std::string& output) {
  std::vector<json> lines;
  std::istringstream text(output);
  for (std::string line; std::getline(text, line);) {
    lines.push_back(json::parse(line));
  }
  return lines;
}

static json greedy_story() {
  std::ifstream file(stories + "/greedy256.json");
  return json::parse(file);
}

TEST(Generate, GreedyStoryIsThePublishedOne) {
  const json story = greedy_story();
  const auto length = story["new_tokens"].size();
  const json line = {{"ids", story["prompt_ids"]}, {"kept", 1}};
  const program_result result = run_program(
      {"generate", stories, "--temperature", "0", "--ignore-eos", "--max-new-tokens", std::to_string(length)},
      line.dump() + "\n");
  ASSERT_EQ(result.status, 0) << result.output;
  const json out = lines_of(result.output).at(0);
  EXPECT_EQ(out["answers"][0]["ids"], story["new_tokens"]);
  EXPECT_EQ(out["answers"][0]["finish"], "length");
  EXPECT_EQ(out["kept"], 1);
}

TEST(Generate, SamplesDoNotDependOnOtherLines) {
  const std::string first = R"({"prompt": "One day, Tom"})";
  const std::string second = R"({"prompt": "Lily had a cat."})";
  const std::vector<std::string> call = {"generate", stories, "--n", "3", "--max-new-tokens", "12", "--seed", "5"};
  const auto both = lines_of(run_program(call, first + "\n" + second + "\n").output);
  const auto alone = lines_of(run_program(call, second + "\n").output);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[1], alone.at(0));
  EXPECT_EQ(alone[0]["answers"].size(), 3U);
  EXPECT_NE(alone[0]["answers"][0]["ids"], alone[0]["answers"][1]["ids"]);
}

TEST(Score, AgreesWithWhatGenerateStored) {
  const auto generated = lines_of(run_program({"generate", stories, "--temperature", "0", "--max-new-tokens", "8"},
                                              "{\"ids\": [1, 403, 407]}\n")
                                      .output)
                             .at(0);
  std::vector<int> ids = {1, 403, 407};
  for (const auto& id : generated["answers"][0]["ids"]) {
    ids.push_back(id);
  }
  const auto scored = lines_of(run_program({"score", stories}, json{{"ids", ids}}.dump() + "\n").output).at(0);
  ASSERT_EQ(scored["logprobs"].size(), ids.size());
  EXPECT_TRUE(scored["logprobs"][0].is_null());
  for (size_t i = 0; i < generated["answers"][0]["ids"].size(); ++i) {
    EXPECT_EQ(scored["logprobs"][i + 3], generated["answers"][0]["logprobs"][i]) << i;  // to the last bit
  }
}

TEST(Score, BadLineStopsWithItsNumberAndEarlierOutputIsThere) {
  const program_result result =
      run_program({"score", stories}, "{\"ids\": [1, 5]}\n{\"ids\": \"x\"}\n{\"ids\": [1]}\n");
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("line 2: "), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("\"logprobs\""), std::string::npos) << result.output;
}

TEST(Score, IdOutsideOfTheVocabularyIsALineError) {
  const program_result result = run_program({"score", stories}, "{\"ids\": [1, 512]}\n");
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("line 1: "), std::string::npos) << result.output;
}

TEST(Tokenize, TextToIdsAndBack) {
  const auto ids =
      lines_of(run_program({"tokenize", data + "/tiny/gpt2"}, "{\"text\": \"Hello there\"}\n").output).at(0);
  const auto text =
      lines_of(run_program({"tokenize", data + "/tiny/gpt2"}, json{{"ids", ids["ids"]}}.dump() + "\n").output).at(0);
  EXPECT_EQ(text["text"], "Hello there");
}

TEST(Eval, PerplexityOfALanguageModelWithItsInterval) {
  const temporary_folder folder;
  std::ofstream(folder / "texts.jsonl") << R"({"text": "Once upon a time, there was a little girl named Lily."})"
                                        << "\n"
                                        << R"({"text": "One day, Tom went to the park with his mom."})"
                                        << "\n";
  const program_result result =
      run_program({"eval", stories, "--data", (folder / "texts.jsonl").string(), "--format", "text"});
  ASSERT_EQ(result.status, 0) << result.output;
  const json out = lines_of(result.output).at(0);
  EXPECT_EQ(out["n"], 2);
  EXPECT_GT(out["perplexity"], 1.5);
  EXPECT_LT(out["perplexity"], 12.0);
  EXPECT_LE(out["perplexity_interval"][0], out["perplexity"]);
  EXPECT_GE(out["perplexity_interval"][1], out["perplexity"]);
}

TEST(Eval, MarginAndAccuracyOfARewardModelWithTheirIntervals) {
  const temporary_folder folder;
  const std::string file = (folder / "pairs.jsonl").string();
  const std::string first = R"({"prompt": "Hello there", "chosen": " you all", "rejected": " no"})";
  const std::string second = R"({"prompt": "What is it?", "chosen": " A day", "rejected": " An old house"})";
  const auto judged = [&](const std::string& text) {
    std::ofstream(file) << text;
    const auto result = run_program({"eval", data + "/tiny/llama", "--data", file, "--format", "pairs"});
    EXPECT_EQ(result.status, 0) << result.output;
    return lines_of(result.output).at(0);
  };
  const json one = judged(first + "\n");
  const json other = judged(second + "\n");
  const json both = judged(first + "\n" + second + "\n");
  EXPECT_TRUE(one["margin_interval"].is_null());
  const double a = one["margin"];
  const double b = other["margin"];
  // Of two values the standard error of the mean is half their distance.
  const double half = 1.959964 * std::abs(a - b) / 2;
  EXPECT_NEAR(both["margin"], (a + b) / 2, 1e-12);
  EXPECT_NEAR(both["margin_interval"][0], (a + b) / 2 - half, 1e-12);
  EXPECT_NEAR(both["margin_interval"][1], (a + b) / 2 + half, 1e-12);
  // The same pairs turned round are all judged wrongly: the interval begins at 0 and not a rounding below.
  const json wrong = judged(R"({"prompt": "Hello there", "chosen": " no", "rejected": " you all"})"
                            "\n"
                            R"({"prompt": "What is it?", "chosen": " An old house", "rejected": " A day"})"
                            "\n");
  EXPECT_EQ(wrong["accuracy"], 0.0);
  EXPECT_GE(wrong["accuracy_interval"][0], 0.0);
  EXPECT_LE(both["accuracy_interval"][1], 1.0);
}

/// What chat says to these lines, greedily.
static std::string chat(const std::string& lines, const std::string& new_tokens = "12") {
  const program_result result =
      run_program({"chat", stories, "--max-new-tokens", new_tokens, "--temperature", "0"}, lines);
  EXPECT_EQ(result.status, 0) << result.output;
  return result.output;
}

/// The text of generate's greedy answer to a conversation.
static std::string generated_answer(const json& messages) {
  const program_result result = run_program({"generate", stories, "--max-new-tokens", "12", "--temperature", "0"},
                                            json{{"messages", messages}}.dump() + "\n");
  EXPECT_EQ(result.status, 0) << result.output;
  return lines_of(result.output).at(0)["answers"][0]["text"];
}

/// Without the space that a SentencePiece tokenizer begins a text with, and line breaks around it.
static std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \n");
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \n") + 1 - begin);
}

TEST(Chat, AnswersAsGenerateDoes) {
  const std::string answer = trimmed(chat("Hello\n"));
  EXPECT_FALSE(answer.empty());
  EXPECT_EQ(answer, trimmed(generated_answer(json::array({{{"role", "user"}, {"content", "Hello"}}}))));
}

TEST(Chat, RemembersWhatWasSaidUntilToldToForget) {
  const std::string first = chat("Hello\n", "40");
  const std::string fresh = chat("The dog\n", "40");
  const std::string continued = chat("Hello\nThe dog\n", "40");
  ASSERT_TRUE(continued.starts_with(first)) << continued;
  EXPECT_NE(continued.substr(first.size()), fresh) << "the second answer takes no notice of the first";
  EXPECT_EQ(chat("Hello\n/clear\nThe dog\n", "40"), first + "(forgotten)\n" + fresh);
}

TEST(Chat, ObeysCommands) {
  const std::string said = "\n" + chat("/help\n/quit\nHello\n");
  for (const char* name : {"/help", "/retry", "/clear", "/system [TEXT]", "/save FILE", "/save! FILE", "/quit"}) {
    EXPECT_NE(said.find(std::string("\n") + name + " "), std::string::npos) << name << "\n" << said;
  }
  EXPECT_NE(chat("/rety\n").find("there is no command /rety: /help lists them"), std::string::npos);
  EXPECT_NE(chat("/quit now\n").find("/quit takes nothing after it"), std::string::npos);
  EXPECT_EQ(chat(" \n\n\r\n"), "") << "blank lines are no messages";
}

/// The messages that chat saves after these lines.
static json saved_after(const std::string& lines, const std::vector<std::string>& options = {}) {
  const temporary_folder folder;
  std::vector<std::string> call = {"chat", stories, "--max-new-tokens", "6", "--seed", "3"};
  call.insert(call.end(), options.begin(), options.end());
  const program_result result = run_program(call, lines + "/save " + (folder / "talk.json").string() + "\n");
  EXPECT_EQ(result.status, 0) << result.output;
  return json::parse(text_of(folder / "talk.json"))["messages"];
}

TEST(Chat, TheSystemMessageStandsInFront) {
  const json talk = saved_after("Hello\n", {"--system", "Be kind."});
  ASSERT_EQ(talk.size(), 3U) << talk;
  EXPECT_EQ(talk[0], (json{{"role", "system"}, {"content", "Be kind."}}));
  EXPECT_EQ(saved_after("/system Be kind.\nHello\n"), talk) << "it does not matter how it was given";
  const json without = saved_after("Hello\n");
  EXPECT_NE(without[1]["content"], talk[2]["content"]) << "the model does not see it";
  EXPECT_EQ(saved_after("/system Be kind.\n/clear\n/system\n/system -\nHello\n"), without);
  EXPECT_EQ(chat("/system Be kind.\n/clear\n/system\n"), "(system: Be kind.)\n(forgotten)\n(system: Be kind.)\n");
}

TEST(Chat, RetryAnswersTheSameMessageByOtherNumbers) {
  const json once = saved_after("Hello\nThe dog\n");
  const json twice = saved_after("Hello\nThe dog\n/retry\n");
  ASSERT_EQ(twice.size(), 4U) << twice;
  for (const size_t same : {0U, 1U, 2U}) {
    EXPECT_EQ(once[same], twice[same]);
  }
  EXPECT_NE(once[3]["content"], twice[3]["content"]);
  EXPECT_EQ(chat("Hello\n/retry\n"), chat("Hello\n") + chat("Hello\n")) << "greedily there is one answer";
  EXPECT_NE(chat("/retry\n").find("no message yet"), std::string::npos);
}

TEST(Chat, SavesOverNoOtherFileUnlessAsked) {
  const temporary_folder folder;
  const std::string file = (folder / "talk.json").string();
  std::ofstream(file) << "mine\n";
  EXPECT_NE(chat("Hello\n/save " + file + "\n").find("is there already"), std::string::npos);
  EXPECT_EQ(text_of(file), "mine\n");
  EXPECT_NE(chat("/save! " + file + "\n").find("nothing was said yet"), std::string::npos);
  EXPECT_EQ(text_of(file), "mine\n");
  EXPECT_NE(chat("Hello\n/save! " + file + "\n").find("(saved to "), std::string::npos);
  EXPECT_EQ(json::parse(text_of(file))["messages"][0]["content"], "Hello");
  EXPECT_NE(chat("Hello\n/save\n").find("needs the name of a file"), std::string::npos);
}

TEST(Chat, WhatNoMessageCouldBeAnsweredWithEndsItAtOnce) {
  const temporary_folder folder;
  std::ofstream(folder / "no-system.jinja")
      << "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
         "{{ m.content }}{% endfor %}";
  const std::string format = (folder / "no-system.jinja").string();
  const auto refused = [](std::vector<std::string> options, const std::string& why, int status) {
    options.insert(options.begin(), {"chat", stories});
    const program_result result = run_program(options, "Hello\n");
    EXPECT_EQ(result.status, status) << result.output;
    EXPECT_NE(result.output.find(why), std::string::npos) << result.output;
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
  };
  refused({"--temperature", "-1"}, "temperature is -1; it must be 0 (greedy) or positive", 2);
  refused({"--top-p", "0"}, "top-p is 0; it must be above 0", 2);
  refused({"--max-new-tokens", "600"}, "of the model's 512 positions", 1);
  refused({"--chat-template", format, "--system", "Be kind."}, "no system here", 1);
  refused({"--chat-template", "no-such-format"}, "no-such-format", 1);
  const program_result later = run_program({"chat", stories, "--max-new-tokens", "4", "--chat-template", format},
                                           "/system Be kind.\n/system\nHello\n");
  EXPECT_EQ(later.status, 0);
  EXPECT_NE(later.output.find("no system here"), std::string::npos) << later.output;
  EXPECT_NE(later.output.find("(no system message)"), std::string::npos) << later.output;
}

TEST(Chat, AnswerStreams) {
  const std::string call =
      "echo Hello | " + troupe_program() + " chat " + stories + " --max-new-tokens 200 --temperature 0 --threads 1";
  std::FILE* pipe = ::popen(call.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  int parts = 0;
  for (char buffer[4096]; ::read(::fileno(pipe), buffer, sizeof(buffer)) > 0;) {
    ++parts;
  }
  EXPECT_EQ(::pclose(pipe), 0);
  EXPECT_GT(parts, 2) << "it came in one piece";
}

TEST(Generate, StopTextEndsTheAnswerAndIsPartOfIt) {
  const auto answer = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"generate", stories, "--max-new-tokens", "12", "--temperature", "0"});
    const program_result result = run_program(more, "{\"prompt\": \"One day\"}\n");
    EXPECT_EQ(result.status, 0) << result.output;
    return json(lines_of(result.output).at(0)["answers"][0]);
  };
  const json whole = answer({});
  const json cut = answer({"--stop", "nowhere in it", "--stop", "little"});
  EXPECT_EQ(whole["finish"], "length");
  EXPECT_EQ(cut["finish"], "stop");
  EXPECT_TRUE(cut["text"].get<std::string>().ends_with("little")) << cut;
  ASSERT_LT(cut["ids"].size(), whole["ids"].size());
  for (size_t i = 0; i < cut["ids"].size(); ++i) {
    EXPECT_EQ(cut["ids"][i], whole["ids"][i]) << i;
  }
}

TEST(Generate, AnswerToMessagesEndsWithTheTurn) {
  const std::string model = data + "/tiny/llama3";
  const json turn_end = lines_of(run_program({"tokenize", model}, "{\"text\": \"<|im_end|>\"}\n").output).at(0)["ids"];
  ASSERT_EQ(turn_end.size(), 1U);
  // A hot, random model says any token: some of its answers meet the end of the turn.
  const program_result result = run_program({"generate", model, "--temperature", "20", "--seed", "3", "--n", "32"},
                                            R"({"messages": [{"role": "user", "content": "Hi"}]})"
                                            "\n");
  ASSERT_EQ(result.status, 0) << result.output;
  int ended = 0;
  const json line = lines_of(result.output).at(0);
  for (const json& answer : line["answers"]) {
    const json& ids = answer["ids"];
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      EXPECT_NE(ids[i], turn_end[0]) << "the answer goes on past the end of its turn";
    }
    ended += ids.back() == turn_end[0] ? 1 : 0;
  }
  EXPECT_GT(ended, 0);
}

TEST(Generate, OptionsOutOfRangeAreRefused) {
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{
           {"--stop", ""}, {"--max-new-tokens", "9000000000000000000"}, {"--n", "1000000000000"}, {"--n", "0"}}) {
    std::vector<std::string> call = {"generate", stories};
    call.insert(call.end(), bad.begin(), bad.end());
    const program_result result = run_program(call, "{\"prompt\": \"x\"}\n");
    EXPECT_EQ(result.status, 2) << bad[0] << result.output;
    EXPECT_NE(result.output.find(bad[0]), std::string::npos) << result.output;
  }
}

TEST(Inspect, DescribesAModelAsOneObject) {
  const program_result result = run_program({"inspect", stories, "--json"});
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_TRUE(json::parse(result.output).is_object());
}

TEST(Convert, FolderToBfloat16Loads) {
  const temporary_folder folder;
  const std::string target = (folder / "copy").string();
  const program_result converted = run_program({"convert", data + "/tiny/gpt2", target, "--dtype", "bf16"});
  ASSERT_EQ(converted.status, 0) << converted.output;
  EXPECT_EQ(run_program({"score", target}, "{\"ids\": [1, 2, 3]}\n").status, 0);
}

TEST(Dtype, WeightsInBfloat16SayWhatABfloat16FileSaysInFloat32) {
  const temporary_folder folder;
  const std::string narrow = folder / "stories-bf16";
  ASSERT_EQ(run_program({"convert", stories, narrow, "--dtype", "bf16"}).status, 0);
  const std::string ids = R"({"ids": [1, 403, 407, 261]})"
                          "\n";
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"generate", "--max-new-tokens", "12", "--seed", "5"}, {"score"}}) {
    const auto with = [&](const std::string& model, const char* type) {
      std::vector<std::string> call = command;
      call.insert(call.begin() + 1, {model, "--dtype", type});
      const program_result result = run_program(call, ids);
      EXPECT_EQ(result.status, 0) << result.output;
      return result.output.substr(result.output.find('{'));  // behind what the log says
    };
    const std::string expected = with(narrow, "f32");
    EXPECT_EQ(with(narrow, "bf16"), expected);
    EXPECT_EQ(with(stories, "bf16"), expected) << "rounded as the file was";
    EXPECT_NE(with(stories, "f32"), expected);
  }
  const std::vector<std::vector<std::string>> wrong = {{"generate", stories},
                                                       {"score", stories},
                                                       {"chat", stories},
                                                       {"eval", stories, "--data", "x.jsonl"},
                                                       {"rescore", stories, "--to", folder / "new"}};
  for (std::vector<std::string> call : wrong) {
    call.insert(call.end(), {"--dtype", "f16"});
    const program_result result = run_program(call, ids);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_NE(result.output.find("f32 or bf16"), std::string::npos) << result.output;
  }
}

TEST(Plan, KnowsOptWithoutItsWeights) {
  const std::string recipe = source_tree() / "jobs/recipes/opt-1.3b.ini";
  const program_result result = run_program({"plan", recipe});
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("policy: 1315758080 parameters"), std::string::npos) << result.output;
}

TEST(Help, EveryCommandHasIt) {
  for (const char* command :
       {"run", "plan", "eval", "generate", "score", "tokenize", "chat", "inspect", "rescore", "convert"}) {
    const program_result result = run_program({command, "--help"});
    EXPECT_EQ(result.status, 0) << command;
    EXPECT_NE(result.output.find(std::string("troupe ") + command), std::string::npos) << command;
  }
}

/// Exit status 2, and 1 for what is well said but fails.
TEST(WrongUsage, HasAnExitStatusOfItsOwnInEveryCommand) {
  const std::string job = data + "/jobs/tiny.ini";
  std::vector<std::vector<std::string>> wrong = {{}, {"frobnicate"}, {"eval", stories}};
  for (const char* command : {"run", "plan", "submit"}) {
    wrong.push_back({command});
    wrong.push_back({command, "/nowhere.ini"});
    wrong.push_back({command, job, "--no.option", "1"});
  }
  for (const char* command : {"status", "eval", "generate", "score", "tokenize", "chat", "inspect", "convert"}) {
    wrong.push_back({command});
    wrong.push_back({command, stories, "--no-such-option"});
  }
  wrong.push_back({"convert", stories});
  wrong.push_back({"convert", stories, "/nowhere/target", "--dtype", "f8"});
  wrong.push_back({"chat", stories, "--temperature", "warm"});
  wrong.push_back({"submit", job, "--nodes", "none"});
  for (const auto& call : wrong) {
    const program_result result = run_program(call);
    EXPECT_EQ(result.status, 2) << testing::PrintToString(call) << result.output;
  }
  for (const char* command : {"status", "generate", "score", "tokenize", "chat", "inspect"}) {
    EXPECT_EQ(run_program({command, "/nowhere"}).status, 1) << command;
  }
}

TEST(BadInput, EscapesOfOthersReachNoTerminal) {
  const temporary_folder folder;
  std::ofstream(folder / "rude.jinja") << "{{ raise_exception('\x1b[2J gone') }}";
  const program_result raised = run_program({"generate", stories, "--chat-template", folder / "rude.jinja"},
                                            R"({"messages": [{"role": "user", "content": "hi"}]})");
  EXPECT_NE(raised.output.find("\\x1b[2J gone"), std::string::npos) << raised.output;
  const program_result converted = run_program({"convert", stories, folder / "model\x1b[2J"});
  EXPECT_EQ(converted.status, 0) << converted.output;
  EXPECT_NE(converted.output.find("model\\x1b[2J: "), std::string::npos) << converted.output;
  std::filesystem::create_directories(folder / "run");
  std::ofstream(folder / "run/job.ini") << "[run]\nphases = sft\n[model]\npolicy = " << stories
                                        << "\n[data.a]\npath = a.jsonl\n";
  std::ofstream(folder / "run/attempt") << "1\n";
  std::ofstream(folder / "run/ledger.jsonl")
      << R"({"event":"worker_failed","time":2,"attempt":1,"rank":1,"host":"n\u001b[2J2","operation":"x","reason":"gone"})"
      << "\n";
  const program_result status = run_program({"status", folder / "run"});
  EXPECT_NE(status.output.find("n\\x1b[2J2"), std::string::npos) << status.output;
  for (const program_result& result : {raised, converted, status}) {
    EXPECT_EQ(result.output.find('\x1b'), std::string::npos) << result.output;
  }
}

TEST(BadInput, EachIsOneClearErrorWithoutATrace) {
  const temporary_folder folder;
  const std::string job = data + "/jobs/tiny.ini";
  const std::string run = (folder / "run").string();
  std::ofstream(folder / "bad.jsonl") << "{\"prompt\": \"fine\"}\n{\"prompt\": 5}\n";
  std::ofstream(folder / "empty.jsonl") << "";
  struct bad {
    std::vector<std::string> arguments;
    std::vector<std::string> says;
  };
  const std::vector<bad> cases = {
      {{"run", "nowhere.ini"}, {"nowhere.ini"}},
      {{"run", job, "--run.dir", run, "--model.policy", "/nowhere"}, {"/nowhere"}},
      {{"run", job, "--run.dir", run, "--ppo.clipp", "0.1"}, {"ppo.clipp", "did you mean ppo.clip"}},
      {{"run", job, "--run.dir", run, "--ppo.clip", "-1", "--run.lanes", "3"}, {"ppo.clip", "run.lanes", "2 errors"}},
      {{"run", job, "--run.dir", run, "--data.openings.path", (folder / "bad.jsonl").string()},
       {"bad.jsonl: 1 of 2 records", "line 2: field"}},
      {{"run", job, "--run.dir", run + "2", "--data.openings.path", (folder / "empty.jsonl").string()}, {"openings"}},
      {{"run", job, "--run.dir", run + "3", "--length.max-tokens", "4096"}, {"length.max-tokens", "512 positions"}},
      {{"score", "/nowhere"}, {"/nowhere"}},
      {{"generate", stories, "--top-k", "x"}, {"top-k"}},
      {{"frobnicate"}, {"frobnicate"}},
  };
  for (const bad& one : cases) {
    const program_result result = run_program(one.arguments, "{\"prompt\": \"x\"}\n");
    EXPECT_GT(result.status, 0) << result.output;
    for (const std::string& text : one.says) {
      EXPECT_NE(result.output.find(text), std::string::npos) << text << " is not in:\n" << result.output;
    }
    EXPECT_EQ(result.output.find("terminate called"), std::string::npos) << result.output;
  }
}

}  // namespace troupe::test
