/// What a finished run has learned, for whoever started it.
#pragma once

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <string>

namespace troupe {

/// Held-out perplexity and accuracy before and after, the reward of held-out prompts before and after with the paired
/// 95 % interval of the gain, the KL, a few answers before and after, and where everything lies.
/// Errors  those of io::read_metrics and io::read_experience.
std::string report_text(const io::run_directory& run, const io::job& job);

}  // namespace troupe
