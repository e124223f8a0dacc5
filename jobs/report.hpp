/// What a finished run has learned, for whoever started it.
#pragma once

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

namespace troupe {

/// Prints to stdout: held-out perplexity and accuracy before and after, the reward of held-out prompts before and after
/// with the paired 95 % interval of the gain, the KL, a few answers before and after, and where everything lies.
void print_report(const io::run_directory& run, const io::job& job);

}  // namespace troupe
