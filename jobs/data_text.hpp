/// A survey of data as text for people and as JSON for programs.
#pragma once

#include "io/job/job.hpp"
#include "jobs/data_survey.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

struct data_view {
  int64_t examples = 2;  ///< shown of each set in each phase
  bool colour = false;   ///< what is learned from is green; else it stands in [[ ]]
};

/// Ends each line; control characters of the data are shown as numbers.
std::string data_text(const io::job& job, const data_survey& survey, const data_view& view);

nlohmann::ordered_json data_json(const io::job& job, const data_survey& survey, const data_view& view,
                                 const std::vector<std::string>& warnings);

}  // namespace troupe
