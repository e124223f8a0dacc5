// The mistakes of a first day, and what Troupe says of them: each message names the place, the reason and what to do.
// docs/mistakes.md is written by this test (TROUPE_WRITE_REFERENCE=1), and held by it.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

namespace troupe::test {
namespace {

namespace fs = std::filesystem;

struct mistake {
  const char* title;
  const char* command;
  /// What must be in the message.
  const char* place;
  const char* reason;
  const char* remedy;
};

constexpr const char* introduction = "# Mistakes of a first day\n"
                                     "\n"
                                     "What is typed wrong on a first day, and what Troupe says of it: each message "
                                     "names the place, the reason and what to "
                                     "do. The folder has a\n"
                                     "model in `model`, instructions in `mine.jsonl`, questions without answers in "
                                     "`sums.jsonl`, a job in `job.ini` and a "
                                     "finished run of it in `runs/first`.\n"
                                     "This page is written by `tests/jobs/mistakes_test.cpp`, and held by it.\n";

const std::vector<mistake>& mistakes() {
  static const std::vector<mistake> all = {
      {"A model's name on a hub, where its folder belongs", "troupe chat facebook/opt-125m", "facebook/opt-125m",
       "there is no such folder", "Fetch it"},
      {"The same in a job", "troupe run job.ini --model.policy facebook/opt-125m", "model.policy",
       "there is no such folder", "Fetch it"},
      {"A model's folder, misspelt", "troupe plan job.ini --model.policy modle", "model.policy",
       "there is no such folder", "did you mean /home/you/model?"},
      {"A run, where a model belongs", "troupe chat runs/first", "runs/first", "it is a run", "runs/first/models"},
      {"A command, misspelt", "troupe rnu job.ini", "\"rnu\"", "there is no command", "did you mean run?"},
      {"A job file, misspelt", "troupe run jbo.ini", "jbo.ini", "no", "job.ini"},
      {"A phase, misspelt", "troupe run job.ini --run.phases 'sft rewrad'", "run.phases",
       "has no meaning for \"rewrad\"", "did you mean reward?"},
      {"A format, misspelt", "troupe run job.ini --data.mine.format instructions", "data.mine.format", "is none of",
       "did you mean instruction?"},
      {"A kind of reward, misspelt", "troupe run job.ini --rewards.mood.kind lexikon", "rewards.mood.kind",
       "is none of", "did you mean lexicon?"},
      {"Data, misspelt", "troupe run job.ini --data.mine.path mien.jsonl", "data.mine.path", "there is no such file",
       "did you mean /home/you/mine.jsonl?"},
      {"An instruction file, read as another format", "troupe run job.ini --data.mine.format pairs", "line 1",
       "has no field \"chosen\"", "format"},
      {"A field that the records do not have", "troupe run job.ini --data.mine.prompt question", "line 1",
       "has no field \"question\"", "field"},
      {"GPUs", "troupe run job.ini --place.gpus 4", "place.gpus = 4", "there is no such key",
       "did you mean place.ranks?"},
      {"The learning rate of PPO", "troupe run job.ini --ppo.lr 1e-5", "ppo.lr = 1e-5", "there is no such key",
       "did you mean ppo.policy-learning-rate or ppo.critic-learning-rate?"},
      {"An option without its section", "troupe run job.ini --learning-rate 1e-5", "learning-rate = 1e-5",
       "without its section", "--sft.learning-rate"},
      {"An option without its dashes", "troupe run job.ini sft.batch=4", "\"sft.batch=4\"", "belongs to no option",
       "write --section.key value"},
      {"A value that is no number", "troupe run job.ini --sft.learning-rate fast", "sft.learning-rate = fast",
       "is not a number", "give one"},
      {"A value out of range", "troupe run job.ini --sft.batch 0", "sft.batch = 0", "is out of range", "give 1 <= x"},
      {"A prompt as long as everything", "troupe run job.ini --length.max-prompt-tokens 96", "length.max-prompt-tokens",
       "leaves no room for an answer", "lower the first"},
      {"A batch larger than the data", "troupe plan job.ini --sft.batch 1000", "sft.batch = 1000", "is more than the",
       "Lower it"},
      {"Nothing held out", "troupe plan job.ini --split.held-out 0 --evaluation.prompts 0 --evaluation.records 0",
       "split.held-out = 0", "nothing is held out", "Give it a share"},
      {"Questions whose right answers have no number",
       "troupe run job.ini --run.phases ppo --data.mine.path sums.jsonl --data.mine.format question-answer "
       "--rewards.right.kind answer --ppo.prompts 2 --generation.max-new-tokens 24",
       "data.mine, lines", "a right answer without a number", "data.NAME.reference"},
      {"A program for rewards that is not there",
       "troupe run job.ini --rewards.own.kind command --rewards.own.command ./judge", "rewards.own.command",
       "there is no program ./judge", "executable"},
      {"A program for rewards that does not work",
       "troupe run job.ini --rewards.own.kind command --rewards.own.command 'sh judge'", "rewards.own.command",
       "No such file", "docs/rewards.md"},
      {"A reward model, where text is to be evaluated", "troupe eval reward --data mine.jsonl",
       "reward has a scalar head", "judged on pairs", "name a language model"},
      {"A reward model, that is to answer", "troupe generate reward", "reward: this model has a scalar head",
       "a language model is needed", "models/policy"},
      {"A reward model, that is to be trained as a policy", "troupe run job.ini --model.policy reward --run.dir runs/x",
       "reward", "has a scalar head", "models/policy"},
      {"A tokenizer that is not whole", "troupe run job.ini --model.policy half --run.dir runs/x", "half",
       "vocab.json without merges.txt", "copy both"},
      {"Weights that are not whole", "troupe run job.ini --model.policy cut --run.dir runs/x", "cut/model.safetensors",
       "the file is truncated", "copy it again"},
      {"Data that are no JSON", "troupe run job.ini --data.mine.path job.ini --data.mine.format instruction", "line 1",
       "malformed JSON at byte 2", "format"},
      {"A run within another", "troupe run job.ini --run.dir runs/first/second", "run.dir", "lies within another run",
       "beside"},
      {"A run where nobody may write", "troupe run job.ini --run.dir /proc/mine", "/proc/mine", "cannot create",
       "name a folder that you may write to"},
      {"Another job in the folder of a run", "troupe run job.ini --run.dir runs/first --sft.learning-rate 1e-3",
       "sft.learning-rate", "before, 0.001 now", "run.dir"},
      {"No run", "troupe status runs/frist", "runs/frist", "there is no run", "did you mean runs/first?"},
      {"An option of a command, misspelt", "troupe generate model --temprature 0", "--temprature",
       "unrecognised option", "did you mean --temperature?"},
  };
  return all;
}

void write(const fs::path& file, const std::string& text) { std::ofstream(file) << text; }

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

class Mistakes : public ::testing::Test {
protected:
  Mistakes() {
    for (const char* copy : {"model", "half", "cut"}) {
      fs::copy(test_data() + "/stories260k", folder_ / copy);
    }
    fs::copy(test_data() + "/tiny/gpt2/vocab.json", folder_ / "half" / "vocab.json",
             fs::copy_options::overwrite_existing);
    fs::remove(folder_ / "half" / "tokenizer.model");
    fs::resize_file(folder_ / "cut" / "model.safetensors", 10'000);
    make_reward_model();
    std::string instructions;
    std::string sums;
    for (int i = 1; i <= 40; ++i) {
      const std::string n = std::to_string(i);
      instructions += R"({"instruction": "Say )" + n + R"(", "output": "It is )" + n + "." + "\"}\n";
      sums += R"({"question": "Is )" + n + R"( even?", "answer": "I do not know"})" + "\n";
    }
    write(folder_ / "mine.jsonl", instructions);
    write(folder_ / "sums.jsonl", sums);
    write(folder_ / "job.ini",
          "[run]\nphases = sft\nlog-every = 100\n[model]\npolicy = model\n[data.mine]\npath = mine.jsonl\n"
          "format = instruction\n[sft]\nupdates = 1\nbatch = 2\n[length]\nmax-prompt-tokens = 48\nmax-tokens = 96\n");
    EXPECT_EQ(said("troupe run job.ini --run.dir runs/first").find("troupe run:"), std::string::npos);
  }

  /// The model with a head of the kind that `transformers` saves.
  void make_reward_model() {
    fs::copy(folder_ / "model", folder_ / "reward");
    std::string config = text_of(folder_ / "reward" / "config.json");
    config = std::regex_replace(config, std::regex("LlamaForCausalLM"), "LlamaForSequenceClassification");
    write(folder_ / "reward" / "config.json", config);
  }

  /// Standard output and error of a command line in this folder.
  std::string said(const std::string& command) {
    const fs::path program = troupe_program();
    const std::string line = "cd '" + folder_.path().string() + "' && PATH='" + program.parent_path().string() +
                             "':$PATH && { " + command + "; } </dev/null >said 2>&1";
    EXPECT_GE(std::system(line.c_str()), 0);
    return text_of(folder_ / "said");
  }

  /// What is the same on every machine and day: without progress, times and this folder's name.
  std::string message(const std::string& command) {
    for (const char* tried : {"runs/job", "runs/x", "copy"}) {
      fs::remove_all(folder_ / tried);
    }
    std::string text = said(command);
    text = replaced(text, fs::canonical(folder_.path()).string(), "/home/you");
    text = replaced(text, folder_.path().string(), "/home/you");
    std::string kept;
    const bool plan = command.find("troupe plan") != std::string::npos;
    const std::regex progress(R"(^(\d\d:\d\d:\d\d )?(info|sft \d|\s*$).*)");
    const std::regex clock(R"(^\d\d:\d\d:\d\d )");
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      std::string one = text.substr(0, end);
      text.erase(0, std::min(end + 1, text.size()));
      if (const size_t redrawn = one.rfind('\r'); redrawn != std::string::npos) {
        one.erase(0, redrawn + 1);
      }
      const bool warning = one.find("warn") != std::string::npos;
      if (!std::regex_match(one, progress) &&
          (!plan || warning || one.starts_with("troupe") || one.starts_with("  model"))) {
        kept += std::regex_replace(one, clock, "") + "\n";
      }
    }
    return kept;
  }

  temporary_folder folder_;
};

TEST_F(Mistakes, EachMessageNamesPlaceReasonAndRemedyAndTheDocumentHasThem) {
  std::string document = introduction;
  for (const mistake& one : mistakes()) {
    const std::string text = message(one.command);
    for (const char* part : {one.place, one.reason, one.remedy}) {
      EXPECT_NE(text.find(part), std::string::npos) << one.title << ": no \"" << part << "\" in\n" << text;
    }
    document += "\n## " + std::string(one.title) + "\n\n```\n$ " + one.command + "\n" + text + "```\n";
  }
  const fs::path file = source_tree() / "docs/mistakes.md";
  if (std::getenv("TROUPE_WRITE_REFERENCE") != nullptr) {
    write(file, document);
  }
  EXPECT_EQ(text_of(file), document) << "TROUPE_WRITE_REFERENCE=1 writes it anew";
}

}  // namespace
}  // namespace troupe::test
