/// Which rows of a packed batch predict which tokens. The hidden state at a token's row predicts
/// the token after it; nothing crosses from one sequence into the next, and nothing is inferred
/// from token ids.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

/// A predicted tokens of B sequences, end to end: token target_A[a] is predicted at row row_A[a] of
/// the batch. Sequence b has the predictions [offset_B1[b], offset_B1[b + 1]).
struct prediction_rows {
  std::vector<int64_t> row_A;
  std::vector<int32_t> target_A;
  std::vector<int64_t> offset_B1;

  int64_t size() const { return static_cast<int64_t>(row_A.size()); }
};

/// The answer tokens: those from prompt_length_B[b] on. An empty answer has no rows.
/// Errors  bad_argument: an answer without a prompt token before it, a prompt longer than its sequence;
///         shape_mismatch.
prediction_rows answer_rows(std::span<const int32_t> token_N, std::span<const int64_t> offset_B1,
                            std::span<const int64_t> prompt_length_B);

}  // namespace troupe::engine
