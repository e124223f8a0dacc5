/// Times and rates of a card.
#pragma once

#include "gpu/card_arrays.hpp"
#include "gpu/stage.hpp"
#include <algorithm>
#include <chrono>

namespace troupe::gpu_check {

/// Seconds of one call: the best of some rounds, each of `calls` calls and the wait for them.
template <class Call> double seconds_of(device& card, int calls, const Call& call) {
  using clock = std::chrono::steady_clock;
  double best = 0;
  for (int round = 0; round < 4; ++round) {  // the first is not counted: it pays for what is set up
    const auto begun = clock::now();
    for (int i = 0; i < calls; ++i) {
      call();
    }
    finish(card);
    const double seconds = std::chrono::duration<double>(clock::now() - begun).count() / calls;
    best = round < 2 ? seconds : std::min(best, seconds);
  }
  return best;
}

double copy_gb_per_s(subject& of, queue in, void* to, const void* from, int64_t bytes);

/// Bytes read and written by copies within the card, in 10^9 a second: what memory gives at most.
double memory_gb_per_s(subject& of);

/// Of the largest product in bfloat16, in 10^12 a second.
double product_tflops(subject& of);

}  // namespace troupe::gpu_check
