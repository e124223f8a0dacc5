/// Experience files: one PPO iteration's rollout as HDF5 that any tool opens (docs/files.md).
#pragma once

#include "io/files/attempt_fence.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe::io {

/// B sequences sorted by id; N tokens end to end; A answer tokens (end token included) end to end;
/// S reward sources.
struct experience {
  // Attributes.
  int64_t iteration = 0;
  int64_t policy_version = 0;
  uint64_t seed = 0;
  double temperature = 1;
  int64_t top_k = 0;  ///< 0: off
  double top_p = 1;
  std::string job_digest, policy_digest, tokenizer_digest;
  std::vector<std::string> source_names;  ///< data sets that prompts came from
  std::vector<std::string> reward_names;  ///< S of them

  std::vector<uint64_t> sequence_id_B;  ///< strictly ascending
  std::vector<uint64_t> prompt_id_B;
  std::vector<uint16_t> source_B;           ///< index into source_names
  std::vector<int32_t> token_N;             ///< prompt and answer
  std::vector<int64_t> sequence_offset_B1;  ///< into token_N
  std::vector<int64_t> answer_offset_B1;    ///< into the answer arrays; an answer is the end of its sequence
  std::vector<uint8_t> finished_B;          ///< 1: ended by an end token or stop string
  std::vector<float> logprob_old_A, logprob_ref_A, value_A;  ///< natural log; value in score units
  std::vector<float> reward_raw_BS;                          ///< before scaling and clipping
  std::vector<float> reward_shaped_A, advantage_A;
  std::vector<std::string> prompt_text_B, answer_text_B;  ///< both empty, or B each; in the file U+2400 stands for NUL

  int64_t sequences() const { return static_cast<int64_t>(sequence_id_B.size()); }
  int64_t answer_tokens() const { return static_cast<int64_t>(logprob_old_A.size()); }
};

/// Checks that sizes agree; ids ascend; offsets start at 0, never fall and end at the arrays' ends; every answer fits
/// in its sequence; sources exist; `finished` is 0 or 1; token ids are not negative; log-probabilities are at most 0
/// (1e-3 for rounding); all numbers are finite. `where` names the experience in errors.
/// Errors  bad_file, naming array, index and value.
void validate(const experience& e, const std::string& where);

/// The checks of sizes and offsets alone.
void validate_sizes(const experience& e, const std::string& where);

/// Writes the file, complete or not at all, after validate() (its errors are bad_argument here).
/// Equal experience gives equal bytes. The file starts with a user block of 512 bytes, which HDF5 tools skip: it holds
/// size and digest of the rest. With `fence`, the file is written for that attempt of a run.
/// Errors  bad_argument, io_failure, those of the fence.
void write_experience(const std::filesystem::path& path, const experience& e, const attempt_fence* fence = nullptr);

/// As write_experience, but checks sizes only: for a step that stopped the run because a number was not finite, and is
/// kept to be looked at.
void write_experience_unchecked(const std::filesystem::path& path, const experience& e,
                                const attempt_fence* fence = nullptr);

/// Reads and validates. The digest of the user block is checked before HDF5 sees a byte; a file
/// without user block (written by another program) is accepted.
/// Errors  not_found, io_failure, bad_file, unsupported (a newer format).
experience read_experience(const std::filesystem::path& path);

/// Reads with validate_sizes() only: values may be anything.
experience read_experience_unchecked(const std::filesystem::path& path);

/// Removes iteration-N.h5 beyond `iteration` in a folder: on resume.
void remove_experience_after(const std::filesystem::path& folder, int64_t iteration, const attempt_fence& fence);

}  // namespace troupe::io
