/// Some of the sequences of experience.
#pragma once

#include "io/experience/experience.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {

/// What is not given lets all pass.
struct experience_filter {
  std::vector<std::string> sources;  ///< one of these data sets
  std::optional<double> reward_min, reward_max;
  std::optional<int64_t> length_min, length_max;  ///< answer tokens
  std::optional<bool> finished;
  std::optional<bool> scorable;  ///< has a score; with reward_min or reward_max, only these pass anyway

  bool passes_all() const;
};

/// Ascending.
std::vector<int64_t> passing(const experience& e, const experience_filter& filter);

/// The sequences `row` (ascending places among those of `e`) alone. Where some are left out it is no longer complete.
experience take(const experience& e, std::span<const int64_t> row);

}  // namespace troupe::io
