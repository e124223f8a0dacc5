/// Counter-based random numbers: each is a function of (seed, stream, counter, purpose) and of nothing else, so a
/// sample does not depend on the batch, the rank or the restart in which it is drawn.
/// Source  Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Random123).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace troupe {

/// What a random number is for. Numbers of different purposes are independent. Append only: the values are part of
/// what makes a run reproducible.
enum class random_purpose : uint32_t {
  sampling = 1,         ///< stream = sequence id, counter = position
  data_order = 2,       ///< stream = epoch, counter = index
  initialisation = 3,   ///< stream = parameter number, counter = element
  minibatch_order = 4,  ///< stream = iteration, counter = epoch
  source_choice = 5,    ///< stream = phase, counter = batch element
  stored_choice = 6,    ///< stream = iteration, counter = draw
  test = 1000,
};

struct random_key {
  uint64_t seed = 0;
  uint64_t stream = 0;
  random_purpose purpose = random_purpose::test;
};

/// Four independent uniform 32-bit words.
std::array<uint32_t, 4> random_words(const random_key& key, uint64_t counter);

/// Uniform in [0, 1), a multiple of 2^-53.
double random_uniform(const random_key& key, uint64_t counter);

/// Standard normal (Box-Muller).
double random_normal(const random_key& key, uint64_t counter);

/// A permutation of 0..n-1 (Fisher-Yates, unbiased).
std::vector<int64_t> random_permutation(const random_key& key, int64_t n);

}  // namespace troupe
