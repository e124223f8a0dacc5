/// The order of training data as a pure function of (seed, phase, k): a cursor is one integer.
#pragma once

#include "io/job/job.hpp"

#include <cstdint>
#include <vector>

namespace troupe::io {

struct blend_source {
  int64_t size = 0;     ///< examples
  double weight = 1.0;  ///< passes over the source per epoch
};

struct blend_pick {
  int64_t source = 0;
  int64_t index = 0;  ///< of the example within its source
  int64_t epoch = 0;
  bool operator==(const blend_pick&) const = default;
};

/// An epoch takes q_s = max(1, round(weight_s * size_s)) examples of each source in one shuffled
/// order (another one each epoch); a source's examples come round in a fixed shuffled order of
/// their own, so that weight 1 shows each example once an epoch and weight 0.5 each once in two.
/// Sources of size or weight 0 are left out.
class blend {
public:
  /// Errors  bad_argument when there is nothing to draw from or a weight is negative or not finite.
  blend(uint64_t seed, phase phase, std::vector<blend_source> sources);

  int64_t epoch_size() const { return epoch_size_; }
  blend_pick at(int64_t k);

private:
  void shuffle_epoch(int64_t epoch);

  uint64_t seed_;
  phase phase_;
  std::vector<blend_source> sources_;
  std::vector<int64_t> first_;               ///< of each source within an epoch's unshuffled order, and the end
  std::vector<std::vector<int64_t>> order_;  ///< of each source
  int64_t epoch_size_ = 0;
  int64_t epoch_ = -1;  ///< whose order is in epoch_order_
  std::vector<int64_t> epoch_order_;
};

/// What an epoch of these takes; 0 where there is nothing to draw from.
/// Errors  bad_argument when a weight is negative or not finite.
int64_t epoch_size_of(const std::vector<blend_source>& sources);

}  // namespace troupe::io
