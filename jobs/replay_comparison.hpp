/// What a replay has come to, held against what the replayed run has kept: tensor by tensor, bit by bit.
#pragma once

#include "io/run/replayed_run.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

struct replay_comparison {
  std::string live, replayed;                ///< what was compared: a checkpoint's folder, or the folder of models
  int64_t tensors = 0;                       ///< weights, moments and averages
  int64_t differ = 0;                        ///< of these
  std::string first_difference;              ///< names tensor, element and both values; empty: there is none
  std::vector<std::string> numbers;          ///< counters and controllers that differ, each with both values
  std::string sha256_live, sha256_replayed;  ///< of all tensors: name, shape and bytes, by name

  bool equal() const { return differ == 0 && numbers.empty(); }
};

/// That the live run's side of the comparison can be read: before the replay, not after it.
/// Errors  those of io::verify_checkpoint and io::model_folder.
void require_comparable(const io::replayed_run& live, int64_t iteration);

/// Compares the checkpoint of the replay after its last iteration with the live run's after the same; where that one is
/// no longer there, the saved models.
/// Errors  those of io::checkpoint_reader and io::model_folder.
replay_comparison compare_replay(const io::replayed_run& live, const io::run_directory& replayed, int64_t iteration);

std::string comparison_text(const replay_comparison& found);
/// One JSON object on one line: tensors, differ, first_difference, numbers, sha256_live, sha256_replayed, live,
/// replayed.
std::string comparison_json(const replay_comparison& found);

}  // namespace troupe
