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

}  // namespace

}  // namespace troupe::actors
