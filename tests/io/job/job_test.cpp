#include "base/error.hpp"
#include "io/job/job.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace troupe::io {

static const job_origin here{.name = "job.ini", .stem = "job", .folder = "/jobs", .current = "/home/me"};

static const std::string smallest = R"(
[model]
policy = models/base
[data.hh]
path = hh.jsonl
format = hh-dialogue
)";

static std::string error_of(const std::string& text, const std::vector<std::string>& words = {}) {
  try {
    parse_job(text, here, words);
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::bad_argument);
    return e.what();
  }
  return "no error";
}

TEST(JobTest, DefaultsAreDeepSpeedChatsWhereNothingIsSaid) {
  const job j = parse_job(smallest, here);
  EXPECT_EQ(j.run.dir, "/home/me/runs/job");
  EXPECT_EQ(j.model.policy, "/jobs/models/base");
  EXPECT_EQ(j.data.at(0).path, "/jobs/hh.jsonl");
  EXPECT_EQ(j.run.phases, (std::vector<phase>{phase::sft, phase::reward, phase::ppo}));
  EXPECT_EQ(j.ppo.kl_coef, 0.1);
  EXPECT_EQ(j.ppo.clip, 0.2);
  EXPECT_EQ(j.ppo.policy.learning_rate, 9.65e-6);
  EXPECT_EQ(j.ppo.critic.learning_rate, 5e-6);
  EXPECT_EQ(j.ppo.policy.beta2, 0.95);
  EXPECT_EQ(j.ppo.ema_decay, 0.992);
  EXPECT_EQ(j.reward.training.optimizer.learning_rate, 5e-5);
}

TEST(JobTest, PpoLearnsFromTheRewardModelWhenNoSourceIsNamed) {
  const job j = parse_job(smallest, here);
  ASSERT_EQ(j.rewards.size(), 1U);
  EXPECT_EQ(j.rewards[0].kind, reward_kind::model);
  EXPECT_EQ(j.rewards[0].weight, 1.0);
}

TEST(JobTest, ReadsCommentsQuotesAndHashes) {
  const job j = parse_job(smallest + R"(
; a comment
# another
[generation]  ; after a section
stop = "\n\nHuman:"  ; after a text
stop = "####"
stop = "a;b \"c\" \\ \x09"
stop = x#y # after a plain text
temperature=0.5
)",
                          here);
  EXPECT_EQ(j.generation.stop, (std::vector<std::string>{"\n\nHuman:", "####", "a;b \"c\" \\ \t", "x#y"}));
  EXPECT_EQ(j.generation.temperature, 0.5);
}

TEST(JobTest, ListsMayBeRepeatedOrInOneLine) {
  const job one =
      parse_job("[run]\nphases = sft ppo\n" + smallest + "[rewards.r]\nkind = lexicon\nlexicon = l\n", here);
  const job two =
      parse_job("[run]\nphases = sft\nphases = ppo\n" + smallest + "[rewards.r]\nkind = lexicon\nlexicon = l\n", here);
  EXPECT_EQ(one, two);
}

TEST(JobTest, TheCommandLineWinsOverTheFile) {
  const std::vector<std::string> words = {
      "--ppo.kl-coef",        "0.05", "--generation.stop=x", "--data.hh.weight", "2",
      "--rewards.neg.weight", "-1.5", "--run.dir=there"};
  const job j = parse_job(smallest + "[generation]\nstop = a\nstop = b\n[ppo]\nkl-coef = 0.7\n", here, words);
  EXPECT_EQ(j.ppo.kl_coef, 0.05);
  EXPECT_EQ(j.generation.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(j.data.at(0).weight, 2.0);
  EXPECT_EQ(j.rewards.at(0).weight, -1.5);
  EXPECT_EQ(j.run.dir, "/home/me/there");
}

TEST(JobTest, AllErrorsComeAtOnceWithKeyValueAndRemedy) {
  EXPECT_EQ(error_of(R"([run]
seed = -1
lanes = 3
phases = ppo sft
[ppo]
kl-ceof = 0.1
clip = 2
clip = 0.1
epochs = many
minibatches = 7
[pop]
x = 1
what is this
[generation]
top-p = 1.5
stop = "open
[data.s]
format = tekst
)"),
            R"(15 errors in job.ini:
  job.ini:13: "what is this" is neither [section] nor key = value
  job.ini:16: stop: the text in quotes does not end, or more follows it: ""open"
  job.ini:11: there is no section [pop]; did you mean [ppo]?
  job.ini:2: run.seed = -1: is not an integer from 0 to 2^64 - 1
  job.ini:6: ppo.kl-ceof = 0.1: there is no such key; did you mean ppo.kl-coef?
  job.ini:8: ppo.clip = 0.1: was given before at job.ini:7 as 2; keep one
  job.ini:9: ppo.epochs = many: is not an integer: give one, 1 <= x <= 1000
  job.ini:15: generation.top-p = 1.5: is out of range: give 0 < x <= 1
  job.ini:18: data.s.format = tekst: is none of text | prompt-answer | pairs | hh-dialogue | conversations | instruction | question-answer | experience | auto; did you mean text?
  run.phases = ppo sft: each may stand once, in the order pairs sft reward ppo, since each uses what those before it made
  run.lanes = 3: give a power of two
  model.policy is missing: name the folder of the model to train
  data.s.path is missing: name a .jsonl or .jsonl.gz file, or stored experience
  phase ppo has no reward: rewards.model is a model, but there is neither a reward phase nor model.reward; add one of them, or a [rewards.NAME] with kind = lexicon, answer or command
  ppo.minibatches = 7 does not divide the generation batch of 64 (ppo.prompts = 64 times ppo.samples-per-prompt = 1))");
}

struct refusal {
  const char* extra;
  const char* expected;
};

class JobRefusalTest : public testing::TestWithParam<refusal> {};

TEST_P(JobRefusalTest, NamesTheCombination) {
  const std::string text = error_of(smallest + GetParam().extra);
  EXPECT_EQ(text, std::string("1 error in job.ini:\n  ") + GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Combinations, JobRefusalTest,
    testing::Values(
        refusal{"[place]\nranks = 3\n[run]\nlanes = 4\n",
                "place.ranks = 3 does not divide run.lanes = 4: give a power of two of at most 4, "
                "or run.lanes = 1"},
        refusal{"[place]\nranks = 4\ncritic-ranks = 2-4\n",
                "place.critic-ranks names rank 4, but place.ranks = 4 gives 0 to 3"},
        refusal{"[place]\nranks = 4\ncritic-ranks = 3-2\n", "job.ini:9: place.critic-ranks = 3-2: has no meaning for "
                                                            "\"3-2\": give ranks and ranges of them, as in 0-3 6"},
        refusal{"[place]\nranks = 4\nreward-ranks = 1 0-2\n",
                "job.ini:9: place.reward-ranks = 1 0-2: names a rank twice"},
        refusal{"[place]\nranks = 4\npolicy-ranks = 0-2\n[run]\nlanes = 4\n",
                "place.policy-ranks are 3 ranks, which does not divide run.lanes = 4"},
        refusal{"[place]\nranks = 4\npolicy-ranks = 0-2\ntensor-parallel = 2\n",
                "place.tensor-parallel = 2 does not divide the 3 ranks of place.policy-ranks"},
        refusal{
            "[place]\nranks = 4\nreference-ranks = 3\nshrink = true\n",
            "place.reference-ranks names ranks, and place.shrink = true lets them become fewer: give one of the two"},
        refusal{"[place]\nranks = 4\ntensor-parallel = 3\n",
                "place.tensor-parallel = 3 does not divide place.ranks = 4"},
        refusal{"[rewards.r]\nweight = 0\n", "phase ppo has no reward: every [rewards.NAME] has weight = 0"},
        refusal{"[rewards.r]\nkind = lexicon\n", "rewards.r.lexicon is missing: kind = lexicon needs a word list"},
        refusal{"[generation]\ntemperature = 0\n[ppo]\nsamples-per-prompt = 2\n",
                "ppo.samples-per-prompt = 2 with generation.temperature = 0 draws the same answer so many times: raise "
                "the temperature or give 1"},
        refusal{"[length]\nmax-tokens = 100\n", "length.max-prompt-tokens = 256 leaves no room for "
                                                "an answer in length.max-tokens = 100: lower the "
                                                "first"},
        refusal{
            "[data.t]\npath = x\nformat = text\nphases = ppo\n",
            "data.t.phases has ppo, which format = text cannot serve: give prompt-words, so that there are prompts"},
        refusal{"[data.t]\npath = x\nprompt-template = hello\n",
                "data.t.prompt-template = hello has no {prompt} in it"},
        refusal{"[split]\nppo = 0\n", "split.ppo = 0 leaves phase ppo without data: give it a share"},
        refusal{"[ppo]\npolicy-warm-up = 1000\n",
                "ppo.policy-warm-up = 1000 is longer than the phase (100 updates): lower it"},
        refusal{"[data.pairs]\npath = x\n",
                "[data.pairs]: this name is kept for the pairs that a run makes: choose another"},
        refusal{"[run]\ndir = \"runs/a\\n rm -rf x\"\n", "run.dir = \"runs/a\\n rm -rf x\": holds a control character "
                                                         "(a line's end or the like): leave it out"},
        refusal{"[place]\nwrapper = \"ch-run\\rx\"\n", "place.wrapper = \"ch-run\\rx\": holds a control character "
                                                       "(a line's end or the like): leave it out"},
        refusal{"[recovery]\ncontrol-host = \"a\\x1bb\"\n",
                "recovery.control-host = \"a\\x1bb\": holds a control character "
                "(a line's end or the like): leave it out"},
        refusal{"[ppo]\nkl-in = loss\n",
                "ppo.kl-in = loss with ppo.kl-estimator = k1 does not hold the policy: the gradient of k1 is zero on "
                "average. Give ppo.kl-estimator = k3+ (or k2, k3), or ppo.kl-in = reward"},
        refusal{"[ppo]\nkl-estimator = k3+\n",
                "ppo.kl-estimator = k3+ differs from k3 by its gradient alone, and a reward has none: give k3, or "
                "ppo.kl-in = loss"},
        refusal{"[experience]\nkeep-best = 3\n",
                "experience.keep = 0 keeps all, so that experience.keep-best = 3 says nothing: say by keep how many of "
                "the last iterations stay besides"},
        refusal{"[ppo]\nepochs = 2\nminibatches = 4\n[experience]\nmix = 0.25\nmax-staleness = 7\n",
                "experience.mix = 0.25 has nothing to take: the answers of the iteration before are 2 * 4 policy "
                "versions behind (ppo.epochs, ppo.minibatches), more than experience.max-staleness = 7. Raise it, or "
                "set mix to 0"},
        refusal{"[run]\ncheckpoint-every = 5\nkeep-checkpoints = 2\n[experience]\nmix = 0.25\nmax-staleness = 3\n"
                "keep = 17\n",
                "experience.keep = 17 removes what experience.mix = 0.25 needs: answers of 3 iterations (by "
                "experience.max-staleness = 3) before each of the 15 that may be done again (run.checkpoint-every = 5, "
                "run.keep-checkpoints = 2). Give keep = 18 at least, or 0 to keep all"},
        refusal{"[generation]\nstop = \"\"\n",
                "generation.stop = \"\": an empty text would end every answer at once: leave it out"}));

TEST(JobTest, PairsNeedARuleAndDataThatAsksForThem) {
  const std::string text = "[run]\nphases = pairs sft reward ppo\n" + smallest;
  EXPECT_EQ(error_of(text), "2 errors in job.ini:\n"
                            "  phase pairs has no data: give a [data.NAME] that serves it (phases = pairs …)\n"
                            "  pairs.reward is missing: phase pairs needs the name of a [rewards.NAME] of kind "
                            "lexicon, answer or command");
}

TEST(JobTest, TheCommandLineReportsWhatFitsNowhere) {
  EXPECT_EQ(error_of(smallest, {"stray", "--ppo.klcoef", "1"}),
            "2 errors in job.ini:\n"
            "  command line: \"stray\" belongs to no option: write --section.key value\n"
            "  command line: ppo.klcoef = 1: there is no such key; did you mean ppo.kl-coef?");
}

TEST(JobTest, WhatIsNoTextIsToldAlone) {
  using namespace std::string_literals;
  EXPECT_EQ(error_of("\xFF\xFE[\0"s), "job.ini is no job file: it is UTF-16: save it as UTF-8");
  EXPECT_EQ(error_of("[run]\nseed = 1\0\n"s), "job.ini is no job file: byte 15 is 0, which no text has");
  EXPECT_EQ(error_of("; Gr\xF6"s), "job.ini is no job file: byte 5 is not UTF-8: save it as UTF-8");
  EXPECT_EQ(error_of(std::string((1 << 20) + 1, ' ')), "job.ini is no job file: it is longer than 1 MiB");
}

TEST(JobTest, AByteOrderMarkIsPassedOver) {
  EXPECT_EQ(parse_job("\xEF\xBB\xBF" + std::string(smallest), here), parse_job(smallest, here));
}

TEST(JobTest, WhatHoldsForAllDataSetsStandsBesideTheirSections) {
  const job j = parse_job(std::string(smallest) + "\n[data]\nmax-unusable = 0.2\n", here);
  EXPECT_EQ(j.data_sets.max_unusable, 0.2);
  EXPECT_EQ(parse_job(job_text(j), here), j);
  const std::vector<std::string> words = {"--data.max-unusable", "0.5"};
  EXPECT_EQ(parse_job(smallest, here, words).data_sets.max_unusable, 0.5);
  EXPECT_NE(
      error_of(smallest + "\n[data]\npath = x.jsonl\n").find("[data] has no such key; sets have sections with names"),
      std::string::npos);
}

TEST(JobTest, MissingFilesAreNamed) {
  const std::string path = testing::TempDir() + "/missing_files.ini";
  std::ofstream(path) << smallest;
  try {
    load_job(path);
    FAIL() << "no error";
  } catch (const error& e) {
    const std::string folder = std::filesystem::path(path).parent_path().lexically_normal().string();
    EXPECT_NE(std::string(e.what()).find("models/base: there is no such folder"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("hh.jsonl: there is no such file"), std::string::npos) << e.what();
  }
  EXPECT_THROW(load_job(path + ".nowhere"), error);
}

TEST(JobTest, DifferencesNameWhatChangesTheNumbersOnly) {
  const job before = parse_job(smallest, here);
  const job now = parse_job(smallest, here,
                            std::vector<std::string>{"--ppo.kl-coef", "0.05", "--run.threads", "7", "--run.dir",
                                                     "elsewhere", "--generation.stop", "x"});
  EXPECT_EQ(differences(before, now, std::vector{phase::sft, phase::ppo}),
            (std::vector<std::string>{"ppo.kl-coef: 0.1 before, 0.05 now", "generation.stop: empty before, x now"}));
  EXPECT_NE(job_digest(before, phase::ppo), job_digest(now, phase::ppo));
}

TEST(JobTest, AMovedRunHasTheSameDigest) {
  job_origin there = here;
  there.folder = "/other/place";
  const job before = parse_job(smallest, here);
  const job now = parse_job(smallest, there, std::vector<std::string>{"--run.threads", "3"});
  for (const phase of : {phase::pairs, phase::sft, phase::reward, phase::ppo}) {
    EXPECT_EQ(job_digest(before, of), job_digest(now, of));
    EXPECT_TRUE(differences(before, now, std::vector{of}).empty());
  }
}

}  // namespace troupe::io
