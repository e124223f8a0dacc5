/// What a job asks of its models, as far as their config.json and tokenizers tell. All of it would be found in some
/// phase, hours after the start, and each of it can be known before.
#pragma once

#include "io/job/job.hpp"

#include <string>
#include <vector>

namespace troupe::actors {

/// What does not fit, for all phases of the job: sequences that a model has no positions for, a cache of keys and
/// values that is too small for one sequence, ids of the policy's tokenizer that another model has no row for. One
/// sentence each, with keys, values and remedy. Folders that lack a tokenizer are not asked for one here.
/// Errors  those of engine::describe and io::load_tokenizer but not_found.
std::vector<std::string> misfits_of(const io::job& job);

/// Errors  bad_argument: something does not fit (names all of it).
void require_fit(const io::job& job);

}  // namespace troupe::actors
