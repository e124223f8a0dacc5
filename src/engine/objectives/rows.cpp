#include "engine/objectives/rows.hpp"

#include "engine/objectives/checks.hpp"

namespace troupe::engine {

static void check_prompts(std::span<const int64_t> offset_B1, std::span<const int64_t> prompt_length_B) {
  check_size("prompt_length_B", prompt_length_B.size(), "the batch's sequences", offset_B1.size() - 1);
  for (size_t b = 0; b < prompt_length_B.size(); ++b) {
    const int64_t length = offset_B1[b + 1] - offset_B1[b];
    if (prompt_length_B[b] < 1 || prompt_length_B[b] > length) {
      throw error(errc::bad_argument,
                  "sequence {} has {} tokens and a prompt of {}: a prompt has at least one token (the first answer "
                  "token needs one before it) and ends within its sequence",
                  b, length, prompt_length_B[b]);
    }
  }
}

prediction_rows answer_rows(std::span<const int32_t> token_N, std::span<const int64_t> offset_B1,
                            std::span<const int64_t> prompt_length_B) {
  check_offsets(offset_B1, token_N.size(), "the batch's tokens");
  check_prompts(offset_B1, prompt_length_B);
  prediction_rows rows;
  rows.offset_B1.push_back(0);
  for (size_t b = 0; b + 1 < offset_B1.size(); ++b) {
    for (int64_t n = offset_B1[b] + prompt_length_B[b]; n < offset_B1[b + 1]; ++n) {
      rows.row_A.push_back(n - 1);
      rows.target_A.push_back(token_N[static_cast<size_t>(n)]);
    }
    rows.offset_B1.push_back(rows.size());
  }
  return rows;
}

}  // namespace troupe::engine
