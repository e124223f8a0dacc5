/// A phase's plan, for the terminal and for programs.
#pragma once

#include "jobs/job_plan.hpp"
#include "jobs/pace.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>

namespace troupe {

/// "12.5 MB", "3.20 GB": powers of ten.
std::string bytes_text(int64_t bytes);

/// " while it generates"; empty: always.
std::string moment_text(held_in when);

/// Models, memory by item (in two columns where the job runs on cards), disk, work and time, a line each, and an empty
/// line.
std::string plan_text(const phase_plan& plan, const pace& at, int64_t ranks);

nlohmann::ordered_json plan_json(const phase_plan& plan, const pace& at, int64_t ranks);

}  // namespace troupe
