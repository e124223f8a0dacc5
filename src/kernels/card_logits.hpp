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

/// Where the arrays of `rows` rows stand behind each other, in bytes: logits first, then gradients in bfloat16 where
/// there are such, then statistics. Each begins at a multiple of 16, whatever the number of rows: a row of logits or
/// gradients takes one, and one of statistics may not.
struct card_logit_room {
  int64_t gradients = 0, statistics = 0;
  int64_t bytes = 0;  ///< of all
};

constexpr card_logit_room card_logit_room_of(int64_t rows, int64_t stride, bool narrow_gradients) {
  const int64_t logits = rows * stride * 4, gradients = narrow_gradients ? rows * stride * 2 : 0;
  return {.gradients = logits,
          .statistics = logits + gradients,
          .bytes = logits + gradients + rows * static_cast<int64_t>(sizeof(softmax_statistics))};
}

}  // namespace troupe::kernels
