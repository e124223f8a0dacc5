/// Experience files: one PPO iteration's rollout as HDF5 that any tool opens (docs/files.md).
#pragma once

#include "io/files/attempt_fence.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// Where the log-probabilities of answers come from.
enum class behaviour_source {
  sampled,   ///< noted when the tokens were sampled, by the policy that learned from them
  imported,  ///< came with an import from another system
  scored,    ///< filled in afterwards by a model, whose digest is behaviour_digest
  unknown    ///< there are none
};
std::string_view to_string(behaviour_source value);
/// None: none of the words.
std::optional<behaviour_source> behaviour_named(std::string_view word);

/// What this iteration's rewards were shaped with, and its updates made, as it was before the iteration.
struct shaping_state {
  double kl_coefficient = 0;
  int64_t scale_count = 0;  ///< running moments of the scores: count, mean, sum of squared distances from it
  double scale_mean = 0, scale_squares = 0;
  int64_t rollbacks = 0;  ///< each has halved the learning rates
  bool operator==(const shaping_state&) const = default;
};

/// B sequences sorted by id; N tokens end to end; A answer tokens (end token included) end to end;
/// S reward sources.
struct experience {
  // Attributes.
  int64_t iteration = 0;
  int64_t policy_version = 0;
  uint64_t seed = 0;
  double temperature = 1;
  int64_t top_k = 0;  ///< 0: off
  double top_p = 1, min_p = 0, repetition_penalty = 1;
  std::string job_digest, tokenizer_digest;
  std::string policy_digest, reference_digest, critic_digest;  ///< of weights, at the phase's start; empty: not known
  std::vector<std::string> source_names;                       ///< data sets that prompts came from
  std::vector<std::string> reward_names;                       ///< S of them
  std::vector<double> reward_weight_S;                         ///< S, or empty: not recorded (format 1)
  std::optional<shaping_state> shaping;                        ///< none: not recorded (format 1, imports)
  behaviour_source behaviour = behaviour_source::sampled;
  std::string behaviour_digest;  ///< scored: of the weights that gave logprob_old
  bool complete = true;          ///< all that was sampled in the iteration is here

  std::vector<uint64_t> sequence_id_B;  ///< strictly ascending
  std::vector<uint64_t> prompt_id_B;
  std::vector<uint64_t> group_B;            ///< equal for the samples of one prompt in this iteration
  std::vector<uint16_t> source_B;           ///< index into source_names
  std::vector<int32_t> token_N;             ///< prompt and answer
  std::vector<int64_t> sequence_offset_B1;  ///< into token_N
  std::vector<int64_t> answer_offset_B1;    ///< into the answer arrays; an answer is the end of its sequence
  std::vector<uint8_t> finished_B;          ///< 1: ended by an end token or stop string
  std::vector<float> reward_raw_BS;         ///< before weights, scaling and clipping; NaN: it could not be had
  // Each of these is empty where nobody has said (imports), else has A numbers.
  std::vector<float> logprob_old_A, logprob_ref_A, value_A;  ///< natural log; value in score units
  std::vector<float> reward_shaped_A, advantage_A;           ///< 0 in a sequence that has no score
  // Each of these is empty, or has B texts; in the file U+2400 stands for NUL.
  std::vector<std::string> prompt_text_B, answer_text_B;
  std::vector<std::string> label_text_B;  ///< what a rule holds the answer against

  int64_t sequences() const { return static_cast<int64_t>(sequence_id_B.size()); }
  int64_t answer_tokens() const { return answer_offset_B1.empty() ? 0 : answer_offset_B1.back(); }

  std::span<const int32_t> prompt_tokens(int64_t b) const;
  std::span<const int32_t> answer_tokens(int64_t b) const;
  /// Of an array over answer tokens, or nothing where that is empty.
  std::span<const float> of_answer(const std::vector<float>& values_A, int64_t b) const;

  /// The weighted sum of the sequence's raw rewards; without weights each counts once. Sources of weight 0 count for
  /// nothing, whatever they say. NaN: unscorable, the reward of a source with a weight is.
  float score(int64_t b) const;
};

/// As experience::score, of the raw rewards of one sequence. `weights` may be empty.
float weighted_score(std::span<const float> raw_S, std::span<const double> weight_S);

/// Checks that sizes agree; ids ascend; offsets go from 0 to the arrays' ends and never fall; an answer fits in its
/// sequence; a group has one prompt; sources exist; `finished` is 0 or 1; no token id is negative; log-probabilities
/// are at most 0 (1e-3 for rounding), and there just where `behaviour` says so; all numbers are finite, but raw rewards
/// may be NaN: shaped rewards and advantages without a score are 0. `where` names the experience in errors.
/// Errors  bad_file, naming array, index and value.
void validate(const experience& e, const std::string& where);

/// The checks of sizes and offsets alone.
void validate_sizes(const experience& e, const std::string& where);

/// Writes the file, complete or not at all, after validate() (its errors are bad_argument here).
/// Equal experience gives equal bytes. The file starts with a user block of 1024 bytes, which HDF5 tools skip: it holds
/// size and digest of the rest, and a summary (summary.hpp). With `fence`, the file is written for that attempt of a
/// run.
/// Errors  bad_argument, io_failure, those of the fence.
void write_experience(const std::filesystem::path& path, const experience& e, const attempt_fence* fence = nullptr);

/// As write_experience, but checks sizes only: for a step that stopped the run because a number was not finite, and is
/// kept to be looked at.
void write_experience_unchecked(const std::filesystem::path& path, const experience& e,
                                const attempt_fence* fence = nullptr);

/// Reads and validates. The digest of the user block is checked before HDF5 sees a byte; a file
/// without user block (written by another program) is accepted. A file of format 1 has no groups: the sequences of one
/// prompt are one.
/// Errors  not_found, io_failure, bad_file, unsupported (a newer format).
experience read_experience(const std::filesystem::path& path);

/// Reads with validate_sizes() only: values may be anything.
experience read_experience_unchecked(const std::filesystem::path& path);

/// The number N of a file iteration-N.h5; none for other names.
std::optional<int64_t> iteration_of(const std::filesystem::path& path);

/// The files iteration-N.h5 of a folder, by N; none where there is no such folder.
/// Errors  io_failure: it cannot be listed; bad_argument: two of them are of one iteration.
std::vector<std::filesystem::path> experience_files(const std::filesystem::path& folder);

/// Removes iteration-N.h5 beyond `iteration` in a folder: on resume.
void remove_experience_after(const std::filesystem::path& folder, int64_t iteration, const attempt_fence& fence);

}  // namespace troupe::io
