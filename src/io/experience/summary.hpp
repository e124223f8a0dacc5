/// What is said of an experience file in a line of a list. A file of format 2 carries it in its first bytes, so that
/// the list of thousands of files reads a thousand bytes of each.
#pragma once

#include "io/experience/experience.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace troupe::io {

struct experience_summary {
  int64_t iteration = 0, policy_version = 0;
  int64_t sequences = 0, groups = 0;
  int64_t prompt_tokens = 0, answer_tokens = 0;
  int64_t finished = 0, unscorable = 0;    ///< sequences
  double reward_mean = 0, reward_std = 0;  ///< of the scores that there are (population); NaN: of none
  double kl_per_sequence_nats = 0;         ///< sum of log p - log p_ref, mean over sequences; NaN: one is not there
  bool complete = true;
  behaviour_source behaviour = behaviour_source::sampled;

  double length_mean() const;  ///< answer tokens; NaN: no sequence
};

experience_summary summary_of(const experience& e);

/// A line "name: value" for each field.
std::string summary_text(const experience_summary& summary);

/// What summary_text has written.
/// Errors  bad_file.
experience_summary parse_summary(std::string_view text, const std::string& where);

/// Reads the first bytes of a file of format 2, whose own digest is checked, and its size; the rest of the file may
/// still be damaged, which read_experience finds. Any other file is read whole.
/// Errors  those of read_experience_unchecked.
experience_summary read_summary(const std::filesystem::path& path);

}  // namespace troupe::io
