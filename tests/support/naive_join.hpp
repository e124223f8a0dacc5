/// The join of pieces (kernels/join.hpp), from the definition of its tree.
#pragma once

#include "support/random_values.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace troupe::test {

/// Of sizes that differ, so that the order of sums shows.
inline std::vector<std::vector<float>> join_pieces_of(size_t ranks, int64_t count) {
  std::vector<std::vector<float>> piece_R;
  for (size_t r = 0; r < ranks; ++r) {
    piece_R.push_back(random_values(count, 100 + r, std::ldexp(1.0, static_cast<int>(r * 5 % 12))));
  }
  return piece_R;
}

inline std::vector<const float*> pointers_to(const std::vector<std::vector<float>>& piece_R) {
  std::vector<const float*> pointers_R;
  for (const std::vector<float>& piece : piece_R) {
    pointers_R.push_back(piece.data());
  }
  return pointers_R;
}

/// The sum of value i over the pieces [first, last): the left half is the largest power of two.
inline float naive_join(std::span<const std::vector<float>> piece_R, size_t first, size_t last, size_t i) {
  if (last - first == 1) {
    return piece_R[first][i];
  }
  size_t half = 1;
  while (half * 2 < last - first) {
    half *= 2;
  }
  return naive_join(piece_R, first, first + half, i) + naive_join(piece_R, first + half, last, i);
}

}  // namespace troupe::test
