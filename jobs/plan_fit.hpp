/// Whether a job's plan fits a machine, and what to set where it does not.
#pragma once

#include "io/job/job.hpp"
#include "jobs/job_plan.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// What a rank may hold. Negative: not known.
struct memory_there {
  int64_t host_bytes = -1, card_bytes = -1;
};

/// For each kind of memory that does not suffice, what holds the most at the worst moment, and what to set (for a card
/// by options_that_fit_card). Empty: all fits, or nothing is known.
std::vector<std::string> misfits_of_plan(const io::job& job, const std::vector<phase_plan>& plans,
                                         const memory_there& there);

/// Options, as of the command line, with which the job fits a card of so many bytes, and none of which can be left
/// out; those that change no bit of a run are tried first. None: there are no such.
std::optional<std::vector<std::string>> options_that_fit_card(const io::job& job, int64_t card_bytes);

}  // namespace troupe
