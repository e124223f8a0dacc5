// Stored rollouts: what is not the replayed run's, or not whole, is refused by what differs; one bit is found.
#include "actors/cast/stored_rollouts.hpp"
#include "base/error.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>

namespace troupe::actors {
namespace {

/// Two prompts of two answers, of 1 to 4 tokens.
io::experience stored() {
  io::experience e;
  e.iteration = 3;
  e.policy_version = 8;
  e.job_digest = "job";
  e.policy_digest = "policy";
  e.tokenizer_digest = "tokens";
  e.source_names = {"prompts"};
  e.reward_names = {"kindness", "wit"};
  e.sequence_offset_B1 = {0};
  e.answer_offset_B1 = {0};
  for (uint64_t n = 0; n < 4; ++n) {
    e.sequence_id_B.push_back(make_sequence_id(2, n / 2, n % 2));
    e.prompt_id_B.push_back(70 + n / 2);
    e.group_B.push_back(n / 2);
    e.source_B.push_back(0);
    e.finished_B.push_back(n != 1 ? 1 : 0);
    e.token_N.insert(e.token_N.end(), {5, 6});
    for (uint64_t t = 0; t <= n; ++t) {
      e.token_N.push_back(static_cast<int32_t>(10 + t));
      e.logprob_old_A.push_back(-0.5F - static_cast<float>(t));
      e.logprob_ref_A.push_back(-1.0F);
      e.value_A.push_back(0.25F);
      e.reward_shaped_A.push_back(0.125F);
      e.advantage_A.push_back(-0.125F);
    }
    e.sequence_offset_B1.push_back(static_cast<int64_t>(e.token_N.size()));
    e.answer_offset_B1.push_back(static_cast<int64_t>(e.logprob_old_A.size()));
    e.reward_raw_BS.insert(e.reward_raw_BS.end(), {static_cast<float>(n), -1.0F});
  }
  return e;
}

expected_experience expected() {
  return {.job_digests = {"another", "job"},
          .policy_digest = "policy",
          .tokenizer_digest = "tokens",
          .reward_names = {"kindness", "wit"},
          .temperature = 1,
          .prompts = 2,
          .samples_per_prompt = 2,
          .allowed = {}};
}

/// Empty: there is none.
template <class Call> std::string error_text(const Call& call) {
  try {
    call();
  } catch (const error& failure) {
    return failure.what();
  }
  return "";
}

std::string refusal_of(const expected_experience& wanted, const io::experience& e, int64_t iteration = 3) {
  return error_text([&] { require_expected(wanted, e, "iteration-000003.h5", iteration); });
}

TEST(StoredRollouts, WhatTheRunHasStoredIsTaken) { EXPECT_EQ(refusal_of(expected(), stored()), ""); }

TEST(StoredRollouts, AnotherRunsAreRefusedByWhatDiffers) {
  io::experience e = stored();
  e.job_digest = "foreign";
  EXPECT_NE(refusal_of(expected(), e).find("job with digest foreign"), std::string::npos) << refusal_of(expected(), e);
  e = stored();
  e.policy_digest = "foreign";
  EXPECT_NE(refusal_of(expected(), e).find("policy started with digest foreign"), std::string::npos);
  e = stored();
  e.tokenizer_digest = "foreign";
  EXPECT_NE(refusal_of(expected(), e).find("tokenizer with digest foreign"), std::string::npos);
  e = stored();
  e.temperature = 0.5;
  EXPECT_NE(refusal_of(expected(), e).find("temperature 0.5"), std::string::npos);
  e = stored();
  e.reward_names = {"wit", "kindness"};
  EXPECT_NE(refusal_of(expected(), e).find("raw rewards are of wit, kindness"), std::string::npos);
  EXPECT_NE(refusal_of(expected(), stored(), 4).find("holds iteration 3"), std::string::npos);
}

TEST(StoredRollouts, PartialGroupsAreRefused) {
  expected_experience wanted = expected();
  wanted.samples_per_prompt = 3;
  EXPECT_NE(refusal_of(wanted, stored()).find("has 2 answers, a group of the run has 3"), std::string::npos);
  wanted = expected();
  wanted.prompts = 3;
  EXPECT_NE(refusal_of(wanted, stored()).find("answers to 2 prompts"), std::string::npos);
}

TEST(StoredRollouts, WhatWasNeverSaidOfAnswersIsRefused) {
  io::experience e = stored();
  e.value_A.clear();
  EXPECT_NE(refusal_of(expected(), e).find("a critic's values"), std::string::npos) << refusal_of(expected(), e);
  e = stored();
  e.complete = false;
  EXPECT_NE(refusal_of(expected(), e).find("a part of what was sampled"), std::string::npos);
}

TEST(StoredRollouts, AnotherStateBeforeTheIterationIsNamed) {
  io::experience e = stored();
  e.shaping = io::shaping_state{.kl_coefficient = 0.1, .scale_count = 8, .scale_mean = 2, .scale_squares = 3};
  const stored_rollout back = rollout_of(e, "file");
  io::shaping_state found = *e.shaping;
  EXPECT_EQ(error_text([&] { require_same_state(back, found); }), "");
  found.kl_coefficient = 0.2;
  EXPECT_NE(error_text([&] { require_same_state(back, found); }).find("the KL's coefficient was 0.1"),
            std::string::npos);
}

TEST(StoredRollouts, TheJobMayAllowItByName) {
  io::experience e = stored();
  e.job_digest = e.policy_digest = "foreign";
  expected_experience wanted = expected();
  wanted.prompts = 3;
  wanted.allowed = {io::replay_leniency::job, io::replay_leniency::policy, io::replay_leniency::groups};
  EXPECT_EQ(refusal_of(wanted, e), "");
  e.tokenizer_digest = "foreign";
  EXPECT_NE(refusal_of(wanted, e), "") << "tokens of another tokenizer mean other texts";
}

TEST(StoredRollouts, SequencesComeBackAsTheyWere) {
  const stored_rollout back = rollout_of(stored(), "file");
  ASSERT_EQ(back.sequences.size(), 4U);
  const finished_sequence& last = *back.sequences[3].sequence;
  EXPECT_EQ(last.prompt.tokens, (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(last.answer, (std::vector<int32_t>{10, 11, 12, 13}));
  EXPECT_EQ(last.logprob, (std::vector<float>{-0.5F, -1.5F, -2.5F, -3.5F}));
  EXPECT_TRUE(last.finished);
  EXPECT_FALSE(back.sequences[1].sequence->finished);
  EXPECT_EQ(back.sequences[3].scores.at(scorer::reward)->values, (std::vector<float>{3.0F, -1.0F}));
  EXPECT_EQ(back.sequences[2].scores.at(scorer::critic)->values, (std::vector<float>{0.25F, 0.25F, 0.25F}));
  EXPECT_EQ(back.sequences[2].scores.at(scorer::reference)->values, (std::vector<float>{-1.0F, -1.0F, -1.0F}));
}

TEST(StoredRollouts, OneBitIsFoundAndNamed) {
  const stored_rollout back = rollout_of(stored(), "experience/iteration-000003.h5");
  std::vector<float> found = back.advantage_A;
  require_same(back, "the advantage", back.advantage_A, found);
  found[4] = std::bit_cast<float>(std::bit_cast<uint32_t>(found[4]) ^ 1U);
  const std::string text = error_text([&] { require_same(back, "the advantage", back.advantage_A, found); });
  EXPECT_NE(text.find("iteration-000003.h5: the advantage of answer token 1 of sequence"), std::string::npos) << text;
  EXPECT_NE(text.find(std::to_string(make_sequence_id(2, 1, 0))), std::string::npos) << text;
}

TEST(StoredRollouts, TheNextIsReadAhead) {
  const test::temporary_folder folder;
  const std::string file = (folder / "iteration-000003.h5").string();
  io::write_experience(file, stored());
  stored_rollouts files(expected());
  files.read_ahead(file);
  EXPECT_EQ(files.take({.iteration = 3, .file = file}).sequences.size(), 4U);
  EXPECT_EQ(files.take({.iteration = 3, .file = file}).sequences.size(), 4U) << "once more: it is read again";
  const auto wrong = [&] { files.take({.iteration = 3, .policy_version = 9, .file = file, .exact = true}); };
  EXPECT_NE(error_text(wrong).find("after 8 updates"), std::string::npos);
}

/// As `troupe rescore` leaves it.
TEST(StoredRollouts, WhatWasJudgedAnewServesNoExactReplay) {
  const test::temporary_folder folder;
  const std::string file = (folder / "iteration-000003.h5").string();
  io::experience e = stored();
  e.reward_shaped_A.clear();
  e.advantage_A.clear();
  io::write_experience(file, e);
  stored_rollouts files(expected());
  EXPECT_EQ(files.take({.iteration = 3, .policy_version = 8, .file = file}).sequences.size(), 4U);
  const std::string text =
      error_text([&] { files.take({.iteration = 3, .policy_version = 8, .file = file, .exact = true}); });
  EXPECT_NE(text.find("iteration-000003.h5: an exact replay"), std::string::npos) << text;
  EXPECT_NE(text.find("no shaped rewards, no advantages"), std::string::npos) << text;
  EXPECT_NE(text.find("without --verify"), std::string::npos) << text;
}

TEST(StoredRollouts, AnExactReplayNeedsWhatWasNotedWhenItWasSampled) {
  io::experience e = stored();
  EXPECT_EQ(error_text([&] { require_exact(e, "file"); }), "");
  e.behaviour = io::behaviour_source::scored;
  EXPECT_NE(error_text([&] { require_exact(e, "file"); }).find("no log-probabilities"), std::string::npos);
}

}  // namespace
}  // namespace troupe::actors
