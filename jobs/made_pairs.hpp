/// The pairs that a run's pairs phase makes, as far as it has.
#pragma once

#include "io/job/job.hpp"

#include <string>

namespace troupe {

/// For one phase.
struct made_pairs {
  bool wanted = false;  ///< it trains on them
  std::string file;     ///< empty: they are not made yet, or not wanted
};

made_pairs made_pairs_of(const io::job& job, io::phase wanted);

}  // namespace troupe
