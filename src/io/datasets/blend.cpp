#include "io/datasets/blend.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::io {

/// Of a phase's numbers: the low 32 bits count epochs or sources.
static uint64_t stream_of(phase phase, int64_t number) {
  return (static_cast<uint64_t>(phase) << 32) + static_cast<uint64_t>(number);
}

static int64_t quota_of(const blend_source& source, int64_t number) {
  constexpr double most = 1e12;
  const double quota = source.weight * static_cast<double>(source.size);
  if (source.size < 0 || !std::isfinite(source.weight) || source.weight < 0 || quota > most) {
    throw error(errc::bad_argument,
                "data source {} has size {} and weight {}: neither may be negative or without bounds", number,
                source.size, source.weight);
  }
  return quota > 0 ? std::max<int64_t>(1, std::llround(quota)) : 0;
}

int64_t epoch_size_of(const std::vector<blend_source>& sources) {
  int64_t size = 0;
  for (size_t s = 0; s < sources.size(); ++s) {
    size += quota_of(sources[s], static_cast<int64_t>(s));
  }
  return size;
}

blend::blend(uint64_t seed, phase phase, std::vector<blend_source> sources)
    : seed_(seed), phase_(phase), sources_(std::move(sources)) {
  for (size_t s = 0; s < sources_.size(); ++s) {
    const auto number = static_cast<int64_t>(s);
    first_.push_back(epoch_size_);
    epoch_size_ += quota_of(sources_[s], number);
    const random_key key{seed_, stream_of(phase_, number), random_purpose::source_choice};
    order_.push_back(random_permutation(key, sources_[s].size));
  }
  first_.push_back(epoch_size_);
  if (epoch_size_ == 0) {
    throw error(errc::bad_argument, "there is nothing to draw from: all {} data sources are empty or of weight 0",
                sources_.size());
  }
}

void blend::shuffle_epoch(int64_t epoch) {
  const random_key key{seed_, stream_of(phase_, epoch), random_purpose::data_order};
  epoch_order_ = random_permutation(key, epoch_size_);
  epoch_ = epoch;
}

blend_pick blend::at(int64_t k) {
  TROUPE_ASSERT(k >= 0);
  const int64_t epoch = k / epoch_size_;
  if (epoch != epoch_) {
    shuffle_epoch(epoch);
  }
  const int64_t slot = epoch_order_[static_cast<size_t>(k % epoch_size_)];
  const auto after = std::upper_bound(first_.begin(), first_.end(), slot);
  const auto source = static_cast<size_t>(after - first_.begin() - 1);
  const int64_t quota = first_[source + 1] - first_[source];
  const int64_t turn = epoch * quota + slot - first_[source];
  const auto place = static_cast<size_t>(turn % sources_[source].size);
  return {static_cast<int64_t>(source), order_[source][place], epoch};
}

}  // namespace troupe::io
