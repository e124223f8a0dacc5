// Which options a replay may change: what a rollout becomes and how one learns from it, never how it was sampled.
#include "io/job/replayed_options.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace troupe::io {
namespace {

job live() {
  job j;
  j.rewards = {{.name = "kindness", .kind = reward_kind::lexicon, .weight = 1, .lexicon = "/somewhere/words.txt"}};
  j.data = {{.name = "prompts", .path = "/somewhere/prompts.jsonl", .format = data_format::prompt_answer}};
  return j;
}

std::vector<std::string> refused(const job& replay) {
  std::vector<std::string> names;
  for (const option_change& change : replay_changes(live(), replay)) {
    if (change.needs_samples) {
      names.push_back(change.name);
    }
  }
  return names;
}

TEST(ReplayedOptions, TheSameJobHasNoChange) { EXPECT_TRUE(replay_changes(live(), live()).empty()); }

TEST(ReplayedOptions, WhatIsLearnedFromSamplesMayChange) {
  job j = live();
  j.ppo.policy.learning_rate = 3e-4;
  j.ppo.critic.warm_up = 3;
  j.ppo.epochs = 4;
  j.ppo.minibatches = 2;
  j.ppo.kl_coef = 0.5;
  j.ppo.kl_estimator = kl_estimator::k3;
  j.ppo.gamma = 0.9;
  j.ppo.lambda = 0.5;
  j.ppo.whiten_advantages = false;
  j.ppo.reward_clip = 1;
  j.ppo.reward_scaling = reward_scaling::batch;
  j.ppo.ptx_coef = 2;
  j.ppo.ema_decay = 0.5;
  j.ppo.value_clip = 0;
  j.rewards.front().weight = 3;
  j.run.seed = 99;
  j.experience.mix = 0.25;
  EXPECT_EQ(replay_changes(live(), j).size(), 17U);
  EXPECT_TRUE(refused(j).empty()) << refused(j).front();
}

TEST(ReplayedOptions, WhatDrewTheSamplesMayNot) {
  using names = std::vector<std::string>;
  job j = live();
  j.generation.temperature = 0.7;
  EXPECT_EQ(refused(j), names{"generation.temperature"});
  j = live();
  j.generation.max_new_tokens = 7;
  EXPECT_EQ(refused(j), names{"generation.max-new-tokens"});
  j = live();
  j.ppo.prompts = 7;
  EXPECT_EQ(refused(j), names{"ppo.prompts"});
  j = live();
  j.ppo.samples_per_prompt = 7;
  EXPECT_EQ(refused(j), names{"ppo.samples-per-prompt"});
  j = live();
  j.model.policy = "/another/model";
  EXPECT_EQ(refused(j), names{"model.policy"});
  j = live();
  j.data.front().path = "/another/file.jsonl";
  EXPECT_EQ(refused(j), names{"data.prompts.path"});
  j = live();
  j.rewards.front().lexicon = "/another/list.txt";
  EXPECT_EQ(refused(j), names{"rewards.kindness.lexicon"});
  j = live();
  j.length.max_prompt_tokens = 7;
  EXPECT_EQ(refused(j), names{"length.max-prompt-tokens"});
}

TEST(ReplayedOptions, AnotherSourceOfRewardNeedsSamples) {
  job j = live();
  j.rewards.push_back({.name = "wit", .kind = reward_kind::answer});
  const auto names = refused(j);
  EXPECT_NE(std::find(names.begin(), names.end(), "rewards.wit.kind"), names.end());
}

TEST(ReplayedOptions, WhereAndHowFastOneWorksIsNoChange) {
  job j = live();
  j.place.ranks = 4;
  j.run.threads = 1;
  j.run.checkpoint_every = 99;
  j.model.policy = "";
  j.replay.from_iteration = 3;
  j.sft.training.updates = 1;
  EXPECT_TRUE(replay_changes(live(), j).empty());
}

}  // namespace
}  // namespace troupe::io
