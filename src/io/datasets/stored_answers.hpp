/// Stored experience as a data set: which of its answers, or pairs of them, a phase learns from. Their ids are those
/// that were sampled; no text is tokenised again.
#pragma once

#include "io/experience/experience.hpp"
#include "io/experience/pairs_file.hpp"
#include "io/job/job.hpp"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace troupe::io {

/// An answer (`rejected_ids` is empty), or a pair of them.
struct stored_answer {
  made_pair ids;
  double weight = 1;  ///< of its loss
};

/// What became of the answers of a set.
struct stored_counts {
  int64_t answers = 0;
  int64_t duplicates = 0;  ///< equal to an earlier answer of their group
  int64_t unscorable = 0;  ///< without a score, where one is needed
  int64_t not_chosen = 0;  ///< in no pair, or not among the best
};

/// The files of a set of format experience: its path, if that is a file; else the files iteration-N.h5 of that folder.
/// Errors  not_found: there are none; those of experience_files.
std::vector<std::filesystem::path> stored_files(const data_section& set);

/// Whether the sets' answers are of this tokenizer, whose digest it is.
/// Errors  bad_argument.
void require_same_tokenizer(const experience& e, uint64_t tokenizer_digest, const std::filesystem::path& file);

/// What the set's options choose of a file for phase sft (answers) or reward (pairs), in the order of its sequences;
/// adds to `counts`.
std::vector<stored_answer> choose_stored(const experience& e, const data_section& set, phase wanted,
                                         stored_counts& counts);

}  // namespace troupe::io
