/// The phases of a run, by name and in their order.
#pragma once

#include "io/job/job.hpp"

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace troupe::io {

/// The phase that a job file calls so; none: there is no such phase.
std::optional<phase> phase_of(std::string_view name);

/// Those of a run's phases that come after `first`.
std::vector<phase> phases_after(std::span<const phase> of_run, phase first);

}  // namespace troupe::io
