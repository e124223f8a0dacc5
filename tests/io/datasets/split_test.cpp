#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/datasets/split.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace troupe::io {

static uint64_t prompt(int i) { return digest("prompt " + std::to_string(i)); }

TEST(SplitTest, SharesAreKept) {
  const split_shares shares{.sft = 2, .reward = 4, .ppo = 3, .held_out = 1};
  std::array<int, 4> count{};
  const int n = 20000;
  for (int i = 0; i < n; ++i) {
    ++count[static_cast<size_t>(assign_use(prompt(i), shares))];
  }
  const std::array<double, 4> expected = {0.2, 0.4, 0.3, 0.1};
  for (size_t u = 0; u < 4; ++u) {
    const double sigma = std::sqrt(expected[u] * (1 - expected[u]) / n);
    EXPECT_NEAR(static_cast<double>(count[u]) / n, expected[u], 4 * sigma) << to_string(static_cast<data_use>(u));
  }
}

TEST(SplitTest, AShareOfZeroGetsNothing) {
  for (int i = 0; i < 2000; ++i) {
    const data_use use = assign_use(prompt(i), {.sft = 0, .reward = 1, .ppo = 0, .held_out = 1});
    EXPECT_TRUE(use == data_use::reward || use == data_use::held_out);
  }
  EXPECT_THROW(assign_use(1, {}), error);
}

TEST(SplitTest, TheUseOfADigestNeverChanges) {
  // Fixed values: a change of the function would mix the phases of runs that are resumed.
  const split_shares shares{.sft = 2, .reward = 4, .ppo = 4, .held_out = 0.5};
  std::string uses;
  for (uint64_t d = 0; d < 16; ++d) {
    uses += std::string(to_string(assign_use(d, shares))).substr(0, 1);
  }
  EXPECT_EQ(uses, "srpspppsprsrrpss");
}

TEST(SplitTest, SetsShareOnlyAmongThePhasesTheyServe) {
  job j;
  data_section set;
  set.format = data_format::question_answer;
  split_shares shares = shares_for(j, set);
  EXPECT_EQ(shares.reward, 0);
  EXPECT_EQ(shares.sft, j.split.sft);
  EXPECT_EQ(shares.ppo, j.split.ppo);
  EXPECT_EQ(shares.held_out, j.split.held_out);
  set.phases = {phase::pairs, phase::ppo};
  shares = shares_for(j, set);
  EXPECT_EQ(shares.reward, j.split.reward) << "the prompts of made pairs belong to those who train on them";
}

TEST(SplitTest, TheFirstClaimOfAPromptDecides) {
  prompt_registry registry;
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(registry.claim(prompt(i), {.sft = 1}), data_use::sft);
  }
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(registry.claim(prompt(i), {.ppo = 1}), data_use::sft);
  }
  EXPECT_EQ(registry.claim(prompt(1000), {.ppo = 1}), data_use::ppo);
}

}  // namespace troupe::io
