/// What the variants of a sweep have come to, as a table, as JSON and as a picture.
#pragma once

#include "jobs/curves.hpp"
#include "jobs/replay_sweep.hpp"

#include <map>
#include <string>
#include <vector>

namespace troupe {

/// A variant, by what lies in its run.
struct variant_outcome {
  std::string name;
  std::string state;   ///< "finished", "failed", "not started", ... (run_state)
  std::string reason;  ///< of a failure
  int64_t iterations = 0;
  double seconds = 0;                                       ///< of all its iterations
  std::map<std::string, std::vector<curve_point>> metrics;  ///< by name, of each iteration that has them
};

/// Errors  those of io::read_run_status and io::read_metrics.
std::vector<variant_outcome> outcomes_of(const std::vector<planned_variant>& variants);

/// A line for each variant: what its last iteration was like. Below, why some failed.
std::string sweep_text(const std::vector<variant_outcome>& outcomes);
/// One JSON object on one line: variants, each with name, state, reason, iterations, seconds and the last value of each
/// metric of the table.
std::string sweep_json(const std::vector<variant_outcome>& outcomes);
/// The curves of the table's metrics, as an SVG image.
std::string sweep_picture(const std::vector<variant_outcome>& outcomes);

}  // namespace troupe
