/// Texts for tests that need some, whichever.
#pragma once

#include "engine/train/batch.hpp"

#include <cstdint>
#include <vector>

namespace troupe::test {

/// Two sequences of a few tokens, a function of `number`: prompts of one token, and their answers.
inline engine::packed_batch small_batch(int64_t number, int64_t vocabulary) {
  engine::packed_batch batch;
  for (int64_t s = 0; s < 2; ++s) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < 5 + number % 3; ++i) {
      tokens.push_back(static_cast<int32_t>((13 * number + 29 * s + 7 * i * i) % vocabulary));
    }
    batch.add(tokens, 1);
  }
  return batch;
}

}  // namespace troupe::test
