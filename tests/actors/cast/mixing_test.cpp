// Mixing: which stored answers an iteration learns from is a function of (seed, iteration), alike on all ranks.
#include "actors/cast/mixing.hpp"
#include "base/error.hpp"
#include "support/local_ranks.hpp"
#include "support/temporary_folder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace troupe::actors {
namespace {

TEST(Mixing, TheShareIsOfAllThatIsLearnedFrom) {
  EXPECT_EQ(mixed_beside(16, 0.5, 100), 16);
  EXPECT_EQ(mixed_beside(12, 0.25, 100), 4);
  EXPECT_EQ(mixed_beside(10, 0.25, 100), 3) << "3.33";
  EXPECT_EQ(mixed_beside(16, 0.5, 9), 9) << "all that there are";
  EXPECT_EQ(mixed_beside(16, 0.5, 0), 0);
  EXPECT_EQ(mixed_beside(16, 0.999999999999, 40), 40);
  EXPECT_EQ(mixed_beside(1, 0.01, 40), 0);
}

TEST(Mixing, TheChoiceIsAFunctionOfSeedAndIteration) {
  const std::vector<int64_t> chosen = choose_stored(3, 9, 50, 20);
  EXPECT_EQ(chosen, choose_stored(3, 9, 50, 20));
  EXPECT_NE(chosen, choose_stored(3, 10, 50, 20));
  EXPECT_NE(chosen, choose_stored(4, 9, 50, 20));
  EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
  EXPECT_EQ(std::set<int64_t>(chosen.begin(), chosen.end()).size(), 20U);
  EXPECT_GE(chosen.front(), 0);
  EXPECT_LT(chosen.back(), 50);
}

TEST(Mixing, EveryStoredAnswerIsAsLikely) {
  std::vector<int> times(10, 0);
  constexpr int iterations = 4000;
  for (uint64_t iteration = 0; iteration < iterations; ++iteration) {
    for (const int64_t place : choose_stored(1, iteration, 10, 3)) {
      ++times[static_cast<size_t>(place)];
    }
  }
  for (const int count : times) {  // 1200 each; a standard deviation is 29
    EXPECT_NEAR(count, 0.3 * iterations, 5 * 29);
  }
}

constexpr int64_t answers = 6;

/// Answer b of iteration i: its id, and tokens, numbers and rewards that tell where they are from.
io::experience stored(int64_t iteration) {
  io::experience e;
  e.iteration = iteration;
  e.policy_version = 4 * (iteration - 1);
  e.job_digest = "of another program's version";
  e.policy_digest = "policy";
  e.tokenizer_digest = "tokens";
  e.source_names = {"prompts"};
  e.reward_names = {"kindness"};
  e.sequence_offset_B1 = {0};
  e.answer_offset_B1 = {0};
  for (int64_t b = 0; b < answers; ++b) {
    e.sequence_id_B.push_back(make_sequence_id(static_cast<uint64_t>(iteration - 1), static_cast<uint64_t>(b), 0));
    e.prompt_id_B.push_back(static_cast<uint64_t>(b));
    e.group_B.push_back(static_cast<uint64_t>(b));
    e.source_B.push_back(0);
    e.finished_B.push_back(1);
    e.token_N.insert(e.token_N.end(), {static_cast<int32_t>(iteration), static_cast<int32_t>(b)});
    e.sequence_offset_B1.push_back(static_cast<int64_t>(e.token_N.size()));
    const auto number = static_cast<float>(10 * iteration + b);
    e.logprob_old_A.push_back(-number);
    e.logprob_ref_A.push_back(-number - 1);
    e.value_A.push_back(number);
    e.reward_shaped_A.push_back(0);
    e.advantage_A.push_back(0);
    e.reward_raw_BS.push_back(number / 2);
    e.answer_offset_B1.push_back(b + 1);
  }
  return e;
}

mixing_rules rules(double share) {
  return {.seed = 5,
          .share = share,
          .stored = {.job_digests = {"job"},
                     .policy_digest = "policy",
                     .tokenizer_digest = "tokens",
                     .reward_names = {"kindness"},
                     .temperature = 1,
                     .prompts = answers,
                     .samples_per_prompt = 1,
                     .allowed = {io::replay_leniency::job, io::replay_leniency::groups},
                     .mixing = true},
          .scoring_on = {0}};
}

class StoredAnswers : public ::testing::Test {
protected:
  StoredAnswers() {
    for (int64_t iteration = 1; iteration <= 3; ++iteration) {
      command_.files.push_back((folder_ / fmt::format("iteration-{:06}.h5", iteration)).string());
      io::write_experience(command_.files.back(), stored(iteration));
    }
  }

  /// What each of so many ranks takes; the text of its error where it takes nothing.
  std::vector<std::string> taken_by(int ranks, double share, int64_t fresh) {
    std::vector<std::string> texts(static_cast<size_t>(ranks));
    test::as_local_ranks(ranks, [&](engine::world& here) {
      const auto group = here.open("work");
      std::string& text = texts[static_cast<size_t>(here.rank())];
      try {
        text = text_of(take_stored(rules(share), command_, fresh, *group));
      } catch (const error& failure) {
        text = failure.what();
      }
    });
    return texts;
  }
  mixed_answers taken(double share, int64_t fresh) {
    return take_stored(rules(share), command_, fresh, *engine::solo_world()->open("work"));
  }

  static std::string text_of(const mixed_answers& taken) {
    std::string text = fmt::format("{} behind:", taken.versions_behind);
    for (const scored_sequence& scored : taken.sequences) {
      text +=
          fmt::format(" {} {} {} {} {} {}", scored.sequence->sequence_id, scored.sequence->answer.at(0),
                      scored.sequence->logprob.at(0), scored.scores.at(scorer::reference)->values.at(0),
                      scored.scores.at(scorer::critic)->values.at(0), scored.scores.at(scorer::reward)->values.at(0));
    }
    return text;
  }

  test::temporary_folder folder_;
  mix_command command_{.iteration = 4, .policy_version = 12, .files = {}};
};

TEST_F(StoredAnswers, ComeWithWhatWasSaidOfThem) {
  const mixed_answers all = taken(0.9, 100);
  ASSERT_EQ(all.sequences.size(), static_cast<size_t>(3 * answers)) << "all that there are";
  EXPECT_EQ(all.versions_behind, answers * (12 + 8 + 4));
  const finished_sequence& one = *all.sequences[8].sequence;  // of iteration 2, answer 2
  EXPECT_EQ(one.sequence_id, make_sequence_id(1, 2, 0));
  EXPECT_EQ(one.prompt.tokens, std::vector<int32_t>{2});
  EXPECT_EQ(one.answer, std::vector<int32_t>{2});
  EXPECT_EQ(one.logprob, std::vector<float>{-22});
  EXPECT_EQ(all.sequences[8].scores.at(scorer::reference)->values, std::vector<float>{-23});
  EXPECT_EQ(all.sequences[8].scores.at(scorer::critic)->values, std::vector<float>{22});
  EXPECT_EQ(all.sequences[8].scores.at(scorer::reward)->values, std::vector<float>{11});
}

TEST_F(StoredAnswers, AreThoseChosenAmongAllFilesEndToEnd) {
  const mixed_answers some = taken(0.5, 7);
  std::vector<uint64_t> ids;
  for (const scored_sequence& scored : some.sequences) {
    ids.push_back(scored.sequence->sequence_id);
  }
  std::vector<uint64_t> wanted;
  for (const int64_t place : choose_stored(5, 4, 3 * answers, 7)) {
    wanted.push_back(
        make_sequence_id(static_cast<uint64_t>(place / answers), static_cast<uint64_t>(place % answers), 0));
  }
  EXPECT_EQ(ids, wanted);
}

TEST_F(StoredAnswers, AreTheSameOnAnyNumberOfRanks) {
  const std::string alone = taken_by(1, 0.5, 7).front();
  EXPECT_NE(alone.find(" behind: "), std::string::npos) << alone;
  for (const int ranks : {2, 3}) {
    for (const std::string& text : taken_by(ranks, 0.5, 7)) {
      EXPECT_EQ(text, alone);
    }
  }
}

TEST_F(StoredAnswers, ThatCannotBeReadAreAnErrorOnEveryRank) {
  std::filesystem::resize_file(command_.files[1], 3000);
  const std::string alone = taken_by(1, 0.9, 100).front();
  EXPECT_NE(alone.find("iteration-000002.h5"), std::string::npos) << alone;
  for (const std::string& text : taken_by(3, 0.9, 100)) {
    EXPECT_EQ(text, alone);
  }
}

TEST_F(StoredAnswers, OfAnotherRunAreRefused) {
  io::experience e = stored(2);
  e.policy_digest = "foreign";
  std::filesystem::remove(command_.files[1]);
  io::write_experience(command_.files[1], e);
  const std::string text = taken_by(1, 0.9, 100).front();
  EXPECT_NE(text.find("policy started with digest foreign"), std::string::npos) << text;
  EXPECT_EQ(text.find("replay.allow"), std::string::npos) << "a live run has no such option: " << text;
}

TEST_F(StoredAnswers, OfOneIdInTwoFilesAreRefused) {
  io::experience e = stored(2);
  e.sequence_id_B = stored(1).sequence_id_B;
  std::filesystem::remove(command_.files[1]);
  io::write_experience(command_.files[1], e);
  for (const std::string& text : taken_by(2, 0.9, 100)) {
    EXPECT_NE(text.find("two files of stored experience have an answer with id"), std::string::npos) << text;
  }
}

TEST_F(StoredAnswers, WhereNothingIsStoredAreNone) {
  command_.files.clear();
  EXPECT_TRUE(taken(0.5, 7).sequences.empty());
}

}  // namespace
}  // namespace troupe::actors
