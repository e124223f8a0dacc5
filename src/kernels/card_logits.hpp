/// The logits of kernels/log_prob.hpp on a card: how many exist at one time, and the scratch memory that they take.
#pragma once

#include "base/round_up.hpp"
#include "kernels/log_prob.hpp"

#include <algorithm>
#include <cstdint>

namespace troupe::kernels {

struct card_logits {
  int64_t rows = 0;    ///< at one time: as many as fit 256 MiB, but from 64 to 1024
  int64_t stride = 0;  ///< of a row: a multiple of 16 bytes, as copies like it
};

constexpr card_logits card_logits_of(int64_t vocabulary) {
  constexpr int64_t most_floats = int64_t{1} << 26;
  const int64_t stride = round_up(vocabulary, int64_t{8});
  return {.rows = std::clamp<int64_t>(most_floats / stride / 64 * 64, 64, 1024), .stride = stride};
}

/// Bytes that `rows` rows take, with their gradients where these are of another type than float32.
constexpr int64_t card_logit_bytes(int64_t rows, int64_t stride, bool narrow_gradients) {
  return rows * (stride * (narrow_gradients ? 6 : 4) + static_cast<int64_t>(sizeof(softmax_statistics)));
}

}  // namespace troupe::kernels
