/// `troupe rescore`, as its users call it, on what a short run has stored.
#include "io/experience/experience.hpp"
#include "io/files/mapped_file.hpp"
#include "io/json/json.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace troupe::test {
namespace {

namespace fs = std::filesystem;

const std::string policy = test_data() + "/stories260k";

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in:\n" << text;
}

class Rescore : public ::testing::Test {
protected:
  /// Two iterations rewarded by a word list, and a reward model that was trained on their pairs.
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    const program_result result =
        run_program({"run", test_data() + "/jobs/ppo.ini", "--run.dir", run().string(), "--ppo.iterations", "2",
                     "--ppo.prompts", "8", "--ppo.samples-per-prompt", "4"});
    ASSERT_EQ(result.status, 0) << result.output;
    std::ofstream(*folder_ / "reward.ini")
        << "[run]\nphases = reward\n[model]\npolicy = " << policy
        << "\n[data.stored]\nformat = experience\npath = " << run().string()
        << "/experience\npairs-per-prompt = 0\n[split]\nsft = 0\nreward = 1\nppo = 0\nheld-out = "
           "0\n[evaluation]\nprompts = 0\nrecords = 0\n"
        << "[reward]\nupdates = 4\nbatch = 8\nmicro-batch-tokens = 256\nlearning-rate = 1e-3\n";
    const program_result learned =
        run_program({"run", (*folder_ / "reward.ini").string(), "--run.dir", (*folder_ / "reward").string()});
    ASSERT_EQ(learned.status, 0) << learned.output;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static fs::path run() { return *folder_ / "sampled"; }
  static std::string reward_model() { return (*folder_ / "reward/models/reward").string(); }
  static io::experience original(int64_t iteration) {
    return io::read_experience(file(run() / "experience", iteration));
  }
  static fs::path file(const fs::path& folder, int64_t iteration) {
    return folder / fmt::format("iteration-{:06}.h5", iteration);
  }

  /// Rescores the run into the scratch folder's `name`.
  program_result rescore(const std::string& name, std::vector<std::string> options) const {
    options.insert(options.begin(), {"rescore", run().string(), "--to", (scratch_ / name).string()});
    return run_program(options);
  }
  io::experience rescored(const std::string& name, int64_t iteration) const {
    return io::read_experience(file(scratch_ / name, iteration));
  }
  std::string written(const std::string& name, const std::string& text) const {
    std::ofstream(scratch_ / name) << text;
    return (scratch_ / name).string();
  }

  temporary_folder scratch_;

private:
  static inline temporary_folder* folder_ = nullptr;
};

TEST_F(Rescore, TheRunsOwnRuleGivesTheBitsThatItGaveThen) {
  const program_result result = rescore("same", {"--rewards", run().string()});
  ASSERT_EQ(result.status, 0) << result.output;
  expect_contains(result.output, "64 answers in 2 files scored anew");
  expect_contains(result.output, "it has tokens, log-probs, reference log-probs, values, rewards, groups");
  expect_contains(result.output, "; no labels, exact replay");
  for (const int64_t iteration : {1, 2}) {
    const io::experience now = rescored("same", iteration);
    io::experience then = original(iteration);
    EXPECT_EQ(now.reward_raw_BS, then.reward_raw_BS);
    EXPECT_EQ(now.reward_names, then.reward_names);
    EXPECT_EQ(now.reward_weight_S, then.reward_weight_S);
    EXPECT_EQ(now.token_N, then.token_N);
    EXPECT_EQ(now.logprob_old_A, then.logprob_old_A);
    EXPECT_EQ(now.logprob_ref_A, then.logprob_ref_A);
    EXPECT_EQ(now.policy_version, then.policy_version);
    EXPECT_TRUE(now.reward_shaped_A.empty());
    EXPECT_TRUE(now.advantage_A.empty());
    EXPECT_FALSE(now.shaping);
  }
}

TEST_F(Rescore, AJobOfRewardsAloneNamesAndWeighsThem) {
  const std::string rewards = "[rewards.mood]\nkind = lexicon\nlexicon = " + test_data() +
                              "/vader/vader_lexicon.txt\nmeasure = sum\nweight = 0.5\n"
                              "[rewards.judge]\nweight = 0\nmodel = " +
                              reward_model() + "\n";
  const program_result result = rescore("two", {"--rewards", written("rewards.ini", rewards)});
  ASSERT_EQ(result.status, 0) << result.output;
  const io::experience now = rescored("two", 1);
  EXPECT_EQ(now.reward_names, (std::vector<std::string>{"mood", "judge"}));
  EXPECT_EQ(now.reward_weight_S, (std::vector<double>{0.5, 0}));
  EXPECT_EQ(now.score(3), 0.5F * now.reward_raw_BS[6]);
}

TEST_F(Rescore, AnotherRuleMakesOtherPairs) {
  const std::string rewards =
      "[rewards.short]\nkind = lexicon\nlexicon = " + written("words.txt", "she\t-1.0\n") + "\n";
  ASSERT_EQ(rescore("other", {"--rewards", written("rewards.ini", rewards)}).status, 0);
  const auto pairs = [](const fs::path& experience) {
    return run_program({"experience", experience.string(), "--export", "trl-preference"}).output;
  };
  const std::string now = pairs(scratch_ / "other");
  expect_contains(now, "\"chosen\"");
  EXPECT_NE(now, pairs(run()));
}

TEST_F(Rescore, AProgramOfTheUsersJudgesStoredAnswers) {
  written("length.py", R"(import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    items = [{"reward": len(item["answer"].encode())} for item in asked["items"]]
    print(json.dumps({"id": asked["id"], "items": items}), flush=True)
)");
  const std::string rewards = "[rewards.length]\nkind = command\ncommand = python3 length.py\n";
  const program_result result = rescore("length", {"--rewards", written("rewards.ini", rewards)});
  ASSERT_EQ(result.status, 0) << result.output;
  const io::experience now = rescored("length", 1);
  ASSERT_EQ(now.answer_text_B.size(), now.reward_raw_BS.size());
  for (size_t b = 0; b < now.answer_text_B.size(); ++b) {
    EXPECT_EQ(now.reward_raw_BS[b], static_cast<float>(now.answer_text_B[b].size())) << now.answer_text_B[b];
  }
}

/// What `troupe score` says at the end of these ids.
double score_of(const std::string& model, const std::vector<int32_t>& ids) {
  return nlohmann::json::parse(
      run_program({"score", model}, nlohmann::json{{"ids", ids}}.dump() + "\n").output)["score"];
}

TEST_F(Rescore, AModelSaysWhatTroupeScoreSays) {
  ASSERT_EQ(rescore("model", {"--rewards", reward_model()}).status, 0);
  const io::experience now = rescored("model", 2);
  EXPECT_EQ(now.reward_names, std::vector<std::string>{"model"});
  std::string lines;
  for (size_t b = 0; b < now.sequence_id_B.size(); ++b) {
    const std::vector<int32_t> ids(now.token_N.begin() + now.sequence_offset_B1[b],
                                   now.token_N.begin() + now.sequence_offset_B1[b + 1]);
    lines += nlohmann::json{{"ids", ids}}.dump() + "\n";
  }
  std::istringstream scored(run_program({"score", reward_model()}, lines).output);
  std::string line;
  for (const float reward : now.reward_raw_BS) {
    ASSERT_TRUE(std::getline(scored, line));
    EXPECT_EQ(nlohmann::json::parse(line)["score"].get<float>(), reward);
  }
}

TEST_F(Rescore, AReferenceAndACriticAnew) {
  const program_result result = rescore("models", {"--reference", policy, "--critic", reward_model()});
  ASSERT_EQ(result.status, 0) << result.output;
  const io::experience now = rescored("models", 2);
  const io::experience then = original(2);
  EXPECT_EQ(now.logprob_ref_A, then.logprob_ref_A) << "the run's own reference";
  EXPECT_EQ(now.reference_digest, then.reference_digest);
  EXPECT_EQ(now.reward_raw_BS, then.reward_raw_BS) << "not asked for";
  EXPECT_TRUE(now.advantage_A.empty());
  EXPECT_NE(now.value_A, then.value_A);
  EXPECT_NE(now.critic_digest, then.critic_digest);
  // The value before an answer token is the scalar head at the token before it.
  const int64_t answer = now.answer_offset_B1[1];
  const auto end = now.token_N.begin() + now.sequence_offset_B1[1];
  for (int64_t t = 0; t < std::min<int64_t>(answer, 3); ++t) {
    const std::vector<int32_t> before(now.token_N.begin(), end - (answer - t));
    EXPECT_EQ(static_cast<float>(score_of(reward_model(), before)), now.value_A[static_cast<size_t>(t)]) << t;
  }
}

TEST_F(Rescore, WhatIsRescoredCanBeLearnedFrom) {
  ASSERT_EQ(rescore("judged", {"--rewards", reward_model()}).status, 0);
  const std::string job =
      "[run]\nphases = sft\n[model]\npolicy = " + policy +
      "\n[data.judged]\nformat = experience\npath = " + (scratch_ / "judged").string() +
      "\nbest = 1\n[split]\nsft = 1\nreward = 0\nppo = 0\nheld-out = 0\n[evaluation]\nprompts = 0\nrecords = 0\n"
      "[sft]\nupdates = 1\nbatch = 4\nmicro-batch-tokens = 256\n";
  const program_result result =
      run_program({"run", written("sft.ini", job), "--run.dir", (scratch_ / "learned").string()});
  EXPECT_EQ(result.status, 0) << result.output;
}

TEST_F(Rescore, RefusalsNameTheRemedyAndLeaveNothing) {
  const auto refused = [&](const std::vector<std::string>& options, int status, const std::string& why) {
    const program_result result = rescore("refused", options);
    EXPECT_EQ(result.status, status) << result.output;
    expect_contains(result.output, why);
    EXPECT_FALSE(fs::exists(scratch_ / "refused"));
  };
  refused({}, 2, "give --rewards, --reference or --critic");
  refused({"--reference", test_data() + "/tiny/llama3"}, 1, "id ");
  refused({"--rewards", run().string(), "--tokenizer", test_data() + "/tiny/llama3"}, 1, "are of another tokenizer");
  refused({"--rewards", run().string(), "--tokenizer", scratch_.path().string()}, 2, "there is no tokenizer");
  refused({"--critic", policy}, 1, "scalar head");
  refused({"--critic", policy, "--threads", "-1"}, 2, "--threads is -1");
  refused({"--rewards", written("answer.ini", "[rewards.right]\nkind = answer\n")}, 1,
          "rewards.right cannot be had without the answers that rules compare with");
  refused({"--rewards", written("bad.ini", "[rewards.mood]\nkind = lexicon\n")}, 2, "rewards.mood.lexicon is missing");
  refused({"--rewards", written("none.ini", "[rewards.judge]\nkind = model\n")}, 2, "Name one by rewards.judge.model");
  refused({"--rewards", (scratch_ / "nowhere.ini").string()}, 2, "nowhere.ini");
  const program_result taken = run_program({"rescore", run().string(), "--rewards", run().string(), "--to", policy});
  EXPECT_EQ(taken.status, 1);
  expect_contains(taken.output, "is there already");
}

TEST_F(Rescore, ADamagedFileEndsItAndLeavesNothing) {
  const fs::path copy = scratch_ / "copy";
  fs::copy(run() / "experience", copy);
  fs::resize_file(file(copy, 2), 3000);
  const program_result result =
      run_program({"rescore", copy.string(), "--rewards", run().string(), "--to", (scratch_ / "new").string()});
  EXPECT_EQ(result.status, 1);
  expect_contains(result.output, "iteration-000002.h5: its 3000 bytes do not agree with the digest at its start");
  EXPECT_FALSE(fs::exists(scratch_ / "new"));
}

}  // namespace
}  // namespace troupe::test
