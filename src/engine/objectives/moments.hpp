/// Count, mean and spread of a stream of numbers: pieces can be merged, so a statistic over
/// micro-batches or ranks is the same formula as over one array. Plain state: copy it into a
/// checkpoint.
#pragma once

#include <cstdint>
#include <span>

namespace troupe::engine {

struct moments {
  int64_t count = 0;
  double mean = 0;
  double squares = 0;  ///< sum of (x - mean)^2

  /// Population variance; 0 where nothing was counted.
  double variance() const { return count > 0 ? squares / static_cast<double>(count) : 0.0; }

  /// Folds in another piece.
  /// Source  Chan, Golub, LeVeque, "Updating formulae ... sample variances", 1979.
  void merge(const moments& other);
};

/// Of an array, in two passes (rising order, double). Where `counts` is not empty, only elements
/// with counts[i] != 0.
/// Errors  shape_mismatch.
moments moments_of(std::span<const float> values, std::span<const uint8_t> counts = {});

}  // namespace troupe::engine
