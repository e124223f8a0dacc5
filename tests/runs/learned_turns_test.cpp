// A model that was trained with a template of the job's: its folder has it, and what reads the folder uses it.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace troupe::test {

namespace fs = std::filesystem;

TEST(LearnedTurns, AreThoseThatTheSavedModelIsAskedWith) {
  const temporary_folder folder;
  const fs::path model = folder / "model";
  fs::copy(test_data() + "/tiny/llama3", model, fs::copy_options::recursive);
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    fs::copy_file(test_data() + "/tokenizers/tiny-bpe-512-chat/" + name, model / name,
                  fs::copy_options::overwrite_existing);
  }
  const std::string turns = "{% for m in messages %}{{ '[' + m.role + '] ' + m.content + '<|im_end|>' }}{% endfor %}"
                            "{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}";
  std::ofstream(folder / "mine.jinja") << turns;
  std::ofstream lines(folder / "data.jsonl");
  for (int i = 0; i < 40; ++i) {
    lines << R"({"prompt": "Say )" << i << R"(.", "answer": "Well."})" << '\n';
  }
  lines.close();
  std::ofstream(folder / "job.ini") << "[run]\nphases = sft\ndir = run\n[model]\npolicy = model\ninitial = random\n"
                                       "[data.d]\npath = data.jsonl\nformat = prompt-answer\n"
                                       "chat-template = mine.jinja\n[length]\nmax-prompt-tokens = 40\nmax-tokens = 64\n"
                                       "[sft]\nupdates = 2\nbatch = 4\n";
  const fs::path run = folder / "run";
  const program_result result = run_program({"run", (folder / "job.ini").string(), "--run.dir", run.string()});
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(text_of(run / "models/sft/chat_template.jinja"), turns);
  const program_result asked = run_program({"tokenize", (run / "models/sft").string(), "--add-generation-prompt"},
                                           R"({"messages": [{"role": "user", "content": "Say 5."}]})"
                                           "\n");
  EXPECT_NE(asked.output.find(R"("text":"[user] Say 5.<|im_end|>[assistant] ")"), std::string::npos) << asked.output;
}

}  // namespace troupe::test
