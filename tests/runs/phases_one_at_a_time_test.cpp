// Phases added to a run one after the other, runs made longer, and runs forked from a checkpoint: each ends in the
// bytes of one that was so from the start.
#include "io/experience/experience.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace troupe::test {

namespace fs = std::filesystem;

class Phases : public ::testing::Test {
protected:
  /// A run of the tiny job; `options` come last.
  std::vector<std::string> arguments(const fs::path& run, const std::string& phases,
                                     const std::vector<std::string>& options = {}) const {
    return run_of_job("tiny", run) + words{"--run.phases", phases, "--run.threads", "1"} + options;
  }
  static void expect_success(const std::vector<std::string>& words) {
    const program_result result = run_program(words);
    EXPECT_EQ(result.status, 0) << result.output;
  }
  static void expect_refusal(const std::vector<std::string>& words, const std::string& part) {
    const program_result result = run_program(words);
    EXPECT_NE(result.status, 0);
    EXPECT_NE(result.output.find(part), std::string::npos) << result.output;
  }

  const std::vector<std::string> constant = {"--ppo.policy-schedule", "constant", "--ppo.critic-schedule", "constant"};
  temporary_folder folder;
};

TEST_F(Phases, AddedOneByOneEndAsThoseOfOneRun) {
  const fs::path whole = folder / "whole", parts = folder / "parts";
  expect_success(arguments(whole, "pairs sft reward ppo"));
  const std::vector<std::string> divided = {"--split.phases", "sft reward ppo"};
  expect_success(arguments(parts, "pairs", divided));
  expect_success(arguments(parts, "pairs sft", {"--ppo.clip", "0.3", "--rewards.happiness.weight", "7"}));
  expect_refusal(arguments(parts, "pairs sft", {"--sft.batch", "4"}), "sft.batch: 8 before, 4 now");
  expect_success(arguments(parts, "pairs sft reward"));
  expect_success(arguments(parts, "pairs sft reward ppo"));
  expect_equal_runs(whole, parts);
}

/// A file of pairs for all phases: 300 prompts.
static std::string pairs_of_all(const fs::path& file) {
  std::ofstream lines(file);
  for (int i = 0; i < 300; ++i) {
    lines << R"({"prompt": "Once upon a time there were )" << i
          << R"( dogs.", "chosen": " They liked to play.", "rejected": " They were sad."})" << '\n';
  }
  return file.string();
}

TEST_F(Phases, WithTheirDefaultsShareOneFileThatWasDividedForAll) {
  const std::string data = pairs_of_all(folder / "pairs.jsonl");
  std::ofstream(folder / "job.ini") << "[run]\nphases = sft\nthreads = 1\ncheckpoint-every = 1\n[model]\npolicy = "
                                    << test_data() << "/stories260k\n[data.all]\npath = " << data
                                    << "\n[length]\nmax-prompt-tokens = 48\nmax-tokens = 96\n[generation]\n"
                                       "max-new-tokens = 8\n[sft]\nupdates = 2\nbatch = 4\n[reward]\nupdates = 2\n"
                                       "batch = 4\n[ppo]\niterations = 2\nprompts = 4\n";
  const auto words = [&](const fs::path& run, const std::string& phases, const std::vector<std::string>& options = {}) {
    std::vector<std::string> out = {"run", (folder / "job.ini").string(), "--run.dir", run.string(), "--run.phases",
                                    phases};
    out.insert(out.end(), options.begin(), options.end());
    return out;
  };
  const fs::path parts = folder / "parts", whole = folder / "whole", alone = folder / "alone";
  expect_success(words(parts, "sft", {"--split.phases", "sft reward ppo"}));
  expect_success(words(parts, "sft reward"));
  expect_success(words(parts, "sft reward ppo"));
  expect_success(words(whole, "sft reward ppo"));
  expect_equal_runs(whole, parts);

  expect_success(words(alone, "sft"));
  expect_refusal(words(alone, "sft reward"), "prompts of data.all: sft 2, held-out 0.5 before");
}

TEST_F(Phases, AFinishedRunThatIsExtendedEqualsALongerOne) {
  const fs::path longer = folder / "longer", extended = folder / "extended";
  std::vector<std::string> six = constant;
  six.insert(six.end(), {"--ppo.iterations", "6"});
  expect_success(arguments(longer, "pairs sft reward ppo", six));
  expect_success(arguments(extended, "pairs sft reward ppo", constant));
  EXPECT_FALSE(fs::exists(extended / "experience/iteration-000005.h5"));
  expect_success(arguments(extended, "pairs sft reward ppo", six));
  EXPECT_NE(text_of(extended / "ledger.jsonl").find("phase_reopened"), std::string::npos);
  expect_equal_runs(longer, extended);
  expect_refusal(arguments(extended, "pairs sft reward ppo", constant), "phase ppo has done 6 already");
}

TEST_F(Phases, AScheduleOverTheWholePhaseIsNotExtendedButForked) {
  const fs::path run = folder / "run";
  const std::vector<std::string> cosine = {"--ppo.policy-schedule", "cosine"};
  expect_success(arguments(run, "pairs sft reward ppo", cosine));
  std::vector<std::string> six = cosine;
  six.insert(six.end(), {"--ppo.iterations", "6"});
  expect_refusal(arguments(run, "pairs sft reward ppo", six), "--at ppo/4 --run.dir NEW");
  expect_success(
      {"fork", run.string(), "--at", "ppo/4", "--run.dir", (folder / "longer").string(), "--ppo.iterations", "6"});
  expect_success({"run", (folder / "longer/job.ini").string()});
  EXPECT_TRUE(fs::exists(folder / "longer/experience/iteration-000006.h5"));
}

TEST_F(Phases, AForkWithoutAnotherOptionEndsInTheSameBytes) {
  const fs::path run = folder / "run", fork = folder / "fork";
  const std::vector<std::string> keep = {"--run.keep-checkpoints", "9"};
  expect_success(arguments(run, "pairs sft reward ppo", keep));
  expect_success({"fork", run.string(), "--at", "ppo/2", "--run.dir", fork.string()});
  EXPECT_TRUE(fs::exists(fork / "models/sft")) << "what finished phases made comes along";
  EXPECT_FALSE(fs::exists(fork / "models/policy"));
  EXPECT_FALSE(fs::exists(fork / "experience/iteration-000003.h5"));
  EXPECT_NE(text_of(fork / "ledger.jsonl").find("\"forked\""), std::string::npos);
  EXPECT_NE(text_of(fork / "checkpoints/ppo/iteration-000002/manifest.json").find("forked_from"), std::string::npos);
  expect_success({"run", (fork / "job.ini").string()});
  for (const char* name :
       {"models/policy/model.safetensors", "models/critic/model.safetensors", "models/policy-ema/model.safetensors",
        "experience/iteration-000002.h5", "experience/iteration-000004.h5", "models/sft/model.safetensors"}) {
    ASSERT_TRUE(fs::exists(fork / name)) << name;
    EXPECT_EQ(text_of(run / name), text_of(fork / name)) << name;
  }
  const fs::path sft = folder / "of-sft";
  expect_success({"fork", run.string(), "--at", "sft/2", "--run.dir", sft.string()});
  expect_success({"run", (sft / "job.ini").string()});
  EXPECT_EQ(text_of(run / "models/policy/model.safetensors"), text_of(sft / "models/policy/model.safetensors"));
}

TEST_F(Phases, AForkTakesOtherOptionsOfWhatIsStillToCome) {
  const fs::path run = folder / "run", fork = folder / "fork";
  expect_success(arguments(run, "pairs sft reward ppo"));
  const auto with = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"fork", run.string(), "--at", "best", "--run.dir", fork.string()});
    return options;
  };
  expect_refusal(with({"--sft.batch", "4"}), "sft.batch: 8 before, 4 now");
  expect_refusal(with({"--length.max-prompt-tokens", "40"}), "length.max-prompt-tokens: 48 before, 40 now");
  expect_refusal({"fork", run.string(), "--at", "ppo/77", "--run.dir", fork.string()}, "it has ");
  EXPECT_FALSE(fs::exists(fork));
  expect_success(with({"--ppo.policy-learning-rate", "3e-4"}));
  expect_refusal(with({}), "is there already");
  expect_success({"run", (fork / "job.ini").string()});
  EXPECT_NE(text_of(run / "models/policy/model.safetensors"), text_of(fork / "models/policy/model.safetensors"));
}

TEST_F(Phases, AForkBeginsWithACoefficientOfItsOwnAndIsReplayedSo) {
  const fs::path run = folder / "run", fork = folder / "fork", another = folder / "another";
  expect_success(arguments(run, "pairs sft reward ppo", {"--run.keep-checkpoints", "9", "--ppo.iterations", "3"}));
  const auto coefficient_of = [](const fs::path& of) {
    return io::read_experience(of / "experience/iteration-000003.h5").shaping.value().kl_coefficient;
  };
  ASSERT_NE(coefficient_of(run), 0.25);
  expect_success({"fork", run.string(), "--at", "ppo/2", "--run.dir", fork.string(), "--ppo.kl-coef", "0.25",
                  "--ppo.epochs", "1"});
  // Forked once more before it has run: from what it would have begun with.
  expect_success({"fork", fork.string(), "--at", "ppo/2", "--run.dir", another.string()});
  expect_success({"run", (fork / "job.ini").string()});
  EXPECT_EQ(coefficient_of(fork), 0.25);
  EXPECT_EQ(io::read_experience(fork / "experience/iteration-000003.h5").policy_version, 4)
      << "two of two minibatches each, as one epoch counts";
  expect_success({"replay", fork.string(), "--verify", "--from-iteration", "2"});
  expect_success({"run", (another / "job.ini").string()});
  EXPECT_EQ(text_of(fork / "models/policy/model.safetensors"), text_of(another / "models/policy/model.safetensors"));
}

}  // namespace troupe::test
