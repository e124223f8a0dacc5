/// Whether the data sets of a job hold what its phases need, as far as their first records tell: a wrong field name or
/// format shows in all of them.
#pragma once

#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <string>
#include <vector>

namespace troupe::actors {

/// What is wrong, one sentence each, with keys and remedy. Sets whose file is not here are not looked at. `tokens`: of
/// the policy; null: it has none here, and templates that are its own cannot be tried.
std::vector<std::string> data_misfits(const io::job& job, const io::tokenizer* tokens);

}  // namespace troupe::actors
