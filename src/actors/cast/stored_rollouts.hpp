/// Rollouts that a run has stored. For its replay one file at a time is held, and the next is read meanwhile.
#pragma once

#include "actors/cast/rollout.hpp"
#include "actors/protocol/messages.hpp"
#include "io/experience/experience.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <future>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

/// What a file must say of itself to be of the run whose answers are learned from.
struct expected_experience {
  std::vector<std::string> job_digests;         ///< the run's own: one of them
  std::string policy_digest, tokenizer_digest;  ///< as the run's ppo phase started
  std::vector<std::string> reward_names;        ///< in the order of the raw rewards
  double temperature = 1;
  int64_t prompts = 0, samples_per_prompt = 0;  ///< of an iteration
  std::vector<io::replay_leniency> allowed;
  bool mixing = false;  ///< for a run that mixes it in (mixing.hpp): no job can allow more
};

/// Of a job's own phase, without digests of jobs. `policy_digest`: as the phase started.
expected_experience expected_of(const io::job& job, const io::tokenizer& tokens, std::string policy_digest);

/// A rollout as it was stored, and what the run made of it.
struct stored_rollout {
  std::string file;
  int64_t policy_version = 0;                       ///< updates before it
  rollout sequences;                                ///< scored by reference, reward and critic
  std::vector<float> reward_shaped_A, advantage_A;  ///< of their answers, end to end
  std::optional<io::shaping_state> shaping;         ///< none: the file does not say (format 1)
};

/// Errors  bad_argument: the file is sound, but another run's, another iteration's, or lacks answers; says what differs
///         and which word of replay.allow takes it all the same, where one does. unsupported: an import, without
///         numbers that PPO needs.
void require_expected(const expected_experience& expected, const io::experience& e, const std::string& file,
                      int64_t iteration);

/// That the file has all that an exact replay compares with.
/// Errors  unsupported: says what it lacks, and how to go on.
void require_exact(const io::experience& e, const std::string& file);

/// What the file holds. It has all parts (require_expected).
stored_rollout rollout_of(io::experience e, std::string file);

/// That the phase's state before the iteration is the one that the file tells of, where it tells of one.
/// Errors  not_exact: names file, number and both values.
void require_same_state(const stored_rollout& rollout, const io::shaping_state& found);

/// That what was made again of a rollout equals what the run made of it. `what`: "advantage".
/// Errors  not_exact: names file, sequence, token, and both values of the first that differs.
void require_same(const stored_rollout& rollout, const char* what, const std::vector<float>& stored_A,
                  const std::vector<float>& found_A);

class stored_rollouts {
public:
  explicit stored_rollouts(expected_experience expected) : expected_(std::move(expected)) {}

  /// The rollout of the command's file.
  /// Errors  those of io::read_experience, require_expected and, for an exact replay, require_exact.
  stored_rollout take(const recall_command& command);

  /// Begins to read a file; its errors are told when it is taken.
  void read_ahead(const std::string& file);

private:
  expected_experience expected_;
  std::string ahead_file_;
  std::future<io::experience> ahead_;
};

}  // namespace troupe::actors
