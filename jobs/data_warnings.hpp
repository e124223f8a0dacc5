/// What is legal in a job's data and almost surely not meant.
#pragma once

#include "io/job/job.hpp"
#include "jobs/data_survey.hpp"

#include <string>
#include <vector>

namespace troupe {

/// One sentence or two each: where, what, and what to do.
std::vector<std::string> data_warnings(const io::job& job, const data_survey& survey);

/// Looks at the first 1,000 records of each set, and says on stderr what is to be warned of. Where data or tokenizer
/// are not here, nothing: who needs them tells.
/// Errors  usage_error: more of the right answers have no number than a reward of kind answer may be without.
void warn_of_data(const io::job& job);

}  // namespace troupe
