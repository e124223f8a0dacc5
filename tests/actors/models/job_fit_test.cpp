// What cannot work is known before anything starts: each misfit of a job and its models, all of them at once.
#include "actors/models/job_fit.hpp"
#include "base/error.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace troupe::actors {

namespace {

namespace fs = std::filesystem;

/// A job of ppo that fits stories260k, which has 512 positions and 512 ids.
io::job fitting() {
  io::job job;
  job.run.phases = {io::phase::sft, io::phase::ppo};
  job.model.policy = test_data() + "/stories260k";
  job.length.max_prompt_tokens = 100;
  job.length.max_tokens = 256;
  job.generation.max_new_tokens = 50;
  job.rewards.push_back({.name = "judge", .kind = io::reward_kind::model, .model = job.model.policy});
  return job;
}

std::string all_misfits(const io::job& job) {
  std::string text;
  for (const std::string& misfit : misfits_of(job)) {
    text += misfit + "\n";
  }
  return text;
}

TEST(JobFit, AJobThatFitsHasNoMisfits) { EXPECT_EQ(all_misfits(fitting()), ""); }

TEST(JobFit, CacheMustHoldOneSequenceAndTheMessageSaysHowMuchIsEnough) {
  io::job job = fitting();
  job.model.policy = test_data() + "/../../jobs/recipes/opt-66b";
  job.rewards.clear();
  job.model.critic = job.model.policy;
  job.length.max_prompt_tokens = 1000;
  job.generation.max_new_tokens = 1000;
  job.generation.cache_mib = 64;
  const std::string text = all_misfits(job);
  ASSERT_NE(text.find("generation.cache-mib = 64 holds"), std::string::npos) << text;
  const size_t at = text.find("give at least ");
  ASSERT_NE(at, std::string::npos) << text;
  job.generation.cache_mib = std::stoll(text.substr(at + 14));
  EXPECT_EQ(all_misfits(job), "") << "what it asks for is enough";
  --job.generation.cache_mib;
  EXPECT_NE(all_misfits(job), "") << "and not more than that";
}

TEST(JobFit, SequencesMustFitIntoThePolicyAndItsReaders) {
  io::job job = fitting();
  job.length.max_tokens = 513;
  EXPECT_NE(all_misfits(job).find("length.max-tokens is 513"), std::string::npos) << all_misfits(job);

  test::temporary_folder folder;
  fs::copy(job.model.policy, folder / "short", fs::copy_options::recursive);
  std::ifstream in(folder / "short/config.json");
  std::string config((std::istreambuf_iterator<char>(in)), {});
  const std::string key = "\"max_position_embeddings\": ";
  const size_t at = config.find(key);
  ASSERT_NE(at, std::string::npos) << config;
  config.replace(at + key.size(), config.find_first_of(",\n}", at) - at - key.size(), "128");
  std::ofstream(folder / "short/config.json") << config;
  job = fitting();
  job.rewards[0].model = (folder / "short").string();
  const std::string text = all_misfits(job);
  EXPECT_NE(text.find("rewards.judge"), std::string::npos) << text;
  EXPECT_NE(text.find("has 128 positions, but the policy writes sequences of up to 150 tokens"), std::string::npos);
  job.generation.max_new_tokens = 28;
  EXPECT_EQ(all_misfits(job), "");
}

TEST(JobFit, IdsBeyondAReadersTableAreFound) {
  io::job job = fitting();
  test::temporary_folder folder;
  fs::copy(job.model.policy, folder / "narrow", fs::copy_options::recursive);
  std::ifstream in(folder / "narrow/config.json");
  std::string config((std::istreambuf_iterator<char>(in)), {});
  const std::string key = "\"vocab_size\": ";
  const size_t at = config.find(key);
  ASSERT_NE(at, std::string::npos) << config;
  config.replace(at + key.size(), config.find_first_of(",\n}", at) - at - key.size(), "500");
  std::ofstream(folder / "narrow/config.json") << config;
  job.rewards[0].model = (folder / "narrow").string();
  EXPECT_NE(all_misfits(job).find("the model only 500"), std::string::npos) << all_misfits(job);
}

TEST(JobFit, AllMisfitsAreToldAtOnce) {
  io::job job = fitting();
  job.length.max_tokens = 600;
  job.generation.cache_mib = 0;
  try {
    require_fit(job);
    FAIL() << "no error";
  } catch (const error& failure) {
    const std::string text = failure.what();
    EXPECT_NE(text.find("length.max-tokens is 600"), std::string::npos) << text;
    EXPECT_EQ(failure.code(), errc::bad_argument);
  }
}

TEST(JobFit, ReadersOfOtherTokenizersAreFound) {
  io::job job = fitting();
  test::temporary_folder folder;
  fs::copy(job.model.policy, folder / "other", fs::copy_options::recursive);
  fs::remove(folder / "other/tokenizer.model");
  fs::copy_file(test_data() + "/tokenizers/tiny-bpe-512-chat/tokenizer.json", folder / "other/tokenizer.json");
  job.rewards[0].model = (folder / "other").string();
  EXPECT_NE(all_misfits(job).find("its tokenizer is not that of the policy"), std::string::npos) << all_misfits(job);
}

TEST(JobFit, AJudgeWithoutAHeadAndWeightsThatAreNotThereAreFound) {
  io::job job = fitting();
  test::temporary_folder folder;
  fs::create_directories(folder / "bare");
  fs::copy_file(job.model.policy + "/config.json", folder / "bare/config.json");
  job.model.reference = (folder / "bare").string();
  EXPECT_EQ(all_misfits(job), "") << "a plan needs no weights";
  std::string text;
  for (const std::string& misfit : misfits_of(job, needed_weights::all)) {
    text += misfit + "\n";
  }
  EXPECT_NE(text.find("rewards.judge (" + job.model.policy + "): this model has no scalar head"), std::string::npos)
      << text;
  EXPECT_NE(text.find("the reference: "), std::string::npos) << text;
  EXPECT_EQ(text.find("model.policy: "), std::string::npos) << text;
}

/// A copy of stories260k whose configuration says that it is a reward model, which its weights do not bear out.
fs::path said_to_judge(const fs::path& target) {
  fs::copy(test_data() + "/stories260k", target, fs::copy_options::recursive);
  std::ifstream in(target / "config.json");
  std::string config((std::istreambuf_iterator<char>(in)), {});
  const std::string stored = "LlamaForCausalLM";
  const size_t at = config.find(stored);
  EXPECT_NE(at, std::string::npos) << config;
  config.replace(at, stored.size(), "LlamaForSequenceClassification");
  std::ofstream(target / "config.json") << config;
  return target;
}

TEST(JobFit, AJudgeWhoseWeightsLackTheHeadIsFound) {
  io::job job = fitting();
  test::temporary_folder folder;
  job.rewards[0].model = said_to_judge(folder / "judge").string();
  const std::vector<std::string> misfits = misfits_of(job, needed_weights::all);
  ASSERT_EQ(misfits.size(), 1U);
  EXPECT_NE(misfits[0].find("rewards.judge (" + job.rewards[0].model + "): this model has no scalar head"),
            std::string::npos)
      << misfits[0];
}

TEST(JobFit, WhatAConfigurationCannotMeanNamesItsFolder) {
  io::job job = fitting();
  test::temporary_folder folder;
  fs::create_directories(folder / "odd");
  std::ofstream(folder / "odd/config.json") << R"({"model_type": "llama", "hidden_size": 0})";
  job.model.reference = (folder / "odd").string();
  EXPECT_NE(all_misfits(job).find(job.model.reference), std::string::npos) << all_misfits(job);
}

TEST(JobFit, APolicyWithAScalarHeadIsFound) {
  io::job job = fitting();
  test::temporary_folder folder;
  job.model.policy = said_to_judge(folder / "judge").string();
  EXPECT_NE(all_misfits(job).find("a language model is needed here"), std::string::npos) << all_misfits(job);
}

/// A job with a set of these lines, and a word list of that text.
class JobFitFiles : public ::testing::Test {
protected:
  io::job job_with(const std::string& lines, io::data_section set, const std::string& words = "good\t1.5\n") {
    io::job job = fitting();
    std::ofstream(folder / "data.jsonl") << lines;
    std::ofstream(folder / "words.txt") << words;
    set.name = "mine";
    set.path = (folder / "data.jsonl").string();
    job.data = {set};
    job.rewards.push_back(
        {.name = "words", .kind = io::reward_kind::lexicon, .lexicon = (folder / "words.txt").string()});
    return job;
  }

  test::temporary_folder folder;
};

TEST_F(JobFitFiles, ThatAreAsTheJobSaysFit) {
  EXPECT_EQ(all_misfits(job_with("{\"prompt\": \"Once\", \"answer\": \" upon\"}\n",
                                 {.format = io::data_format::prompt_answer})),
            "");
}

TEST_F(JobFitFiles, AWrongFieldNameIsNoMissingFile) {
  const io::job job = job_with("{\"question\": \"Once\", \"answer\": \" upon\"}\n\n{\"question\": \"x\"}\n",
                               {.format = io::data_format::prompt_answer});
  const std::string text = all_misfits(job);
  EXPECT_NE(text.find("data.mine.path"), std::string::npos) << text;
  EXPECT_NE(text.find("none of its first 2 records can be used as format = prompt-answer: line 1"), std::string::npos)
      << text;
  EXPECT_NE(text.find("prompt"), std::string::npos) << text;
  io::job absent = job;
  absent.data[0].path += ".gone";
  EXPECT_EQ(all_misfits(absent), "") << "told by who needs the file";
}

TEST_F(JobFitFiles, APhaseThatNoRecordCanServeIsTold) {
  const std::string lines = "{\"prompt\": \"Once\"}\n{\"prompt\": \"Twice\"}\n";
  const std::string text = all_misfits(job_with(lines, {.format = io::data_format::prompt_answer}));
  EXPECT_NE(text.find("serves phase sft, but none of its first 2 records has an answer"), std::string::npos) << text;
  EXPECT_EQ(all_misfits(job_with(lines, {.format = io::data_format::prompt_answer, .phases = {io::phase::ppo}})), "");
}

TEST_F(JobFitFiles, EmptyFilesTemplatesAndWordListsAreToldAtOnce) {
  io::job job = job_with("\n", {.format = io::data_format::prompt_answer}, "good 1.5\n");
  std::ofstream(folder / "broken.jinja") << "{% if %}";
  job.data.push_back(job.data[0]);
  job.data[1].name = "turned";
  job.data[1].chat_template = (folder / "broken.jinja").string();
  job.length.max_tokens = 600;
  const std::string text = all_misfits(job);
  EXPECT_NE(text.find("the file holds no record"), std::string::npos) << text;
  EXPECT_NE(text.find("data.turned: "), std::string::npos) << text;
  EXPECT_NE(text.find("rewards.words.lexicon: "), std::string::npos) << text;
  EXPECT_NE(text.find("length.max-tokens is 600"), std::string::npos) << text;
}

}  // namespace

}  // namespace troupe::actors
