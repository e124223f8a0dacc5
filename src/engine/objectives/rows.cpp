#include "engine/objectives/rows.hpp"

#include "engine/objectives/checks.hpp"

namespace troupe::engine {

namespace {

/// Rows of the tokens that `learns(b, n)` picks; n is the token's row in the batch, never a
/// sequence's first.
template <class Learns>
prediction_rows rows_where(std::span<const int32_t> token_N, std::span<const int64_t> offset_B1, const Learns& learns) {
  check_offsets(offset_B1, token_N.size(), "the batch's tokens");
  prediction_rows rows;
  rows.offset_B1.push_back(0);
  for (size_t b = 0; b + 1 < offset_B1.size(); ++b) {
    for (int64_t n = offset_B1[b] + 1; n < offset_B1[b + 1]; ++n) {
      if (learns(b, n)) {
        rows.row_A.push_back(n - 1);
        rows.target_A.push_back(token_N[static_cast<size_t>(n)]);
      }
    }
    rows.offset_B1.push_back(rows.size());
  }
  return rows;
}

}  // namespace

prediction_rows answer_rows(std::span<const int32_t> token_N, std::span<const int64_t> offset_B1,
                            std::span<const int64_t> prompt_length_B) {
  check_offsets(offset_B1, token_N.size(), "the batch's tokens");
  check_size("prompt_length_B", prompt_length_B.size(), "the batch's sequences", offset_B1.size() - 1);
  for (size_t b = 0; b < prompt_length_B.size(); ++b) {
    const int64_t length = offset_B1[b + 1] - offset_B1[b];
    if (prompt_length_B[b] < 1 || prompt_length_B[b] > length) {
      throw error(errc::bad_argument,
                  "sequence {} has {} tokens and a prompt of {}: a prompt has at least one token "
                  "(the first answer token needs one before it) and ends within its sequence",
                  b, length, prompt_length_B[b]);
    }
  }
  return rows_where(token_N, offset_B1, [&](size_t b, int64_t n) { return n >= offset_B1[b] + prompt_length_B[b]; });
}

prediction_rows all_rows(std::span<const int32_t> token_N, std::span<const int64_t> offset_B1) {
  return rows_where(token_N, offset_B1, [](size_t, int64_t) { return true; });
}

prediction_rows counted_rows(std::span<const int32_t> token_N, std::span<const int64_t> offset_B1,
                             std::span<const uint8_t> counts_N) {
  check_size("counts_N", counts_N.size(), "token_N", token_N.size());
  return rows_where(token_N, offset_B1, [&](size_t, int64_t n) { return counts_N[static_cast<size_t>(n)] != 0; });
}

}  // namespace troupe::engine
