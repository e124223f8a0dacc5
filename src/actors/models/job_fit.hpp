/// What a job asks of the files that it names: models, as far as their config.json and tokenizers tell, word lists, and
/// the first records of its data. All of it would be found in some phase, hours after the start, and each of it can be
/// known before.
#pragma once

#include "io/job/job.hpp"

#include <string>
#include <vector>

namespace troupe::actors {

/// Which weights are looked at: a plan needs none, and a batch script can be made before they are all here.
enum class needed_weights { none, those_there, all };

/// What does not fit, for all phases of the job: sequences that a model has no positions for, a cache of keys and
/// values that is too small for one sequence, ids of the policy's tokenizer that another model has no row for or
/// another text, a lexicon or data that cannot be read as what the job says; with weights also those that cannot be
/// opened, and a judge without a head. One sentence each, with keys, values and remedy. Folders that lack a tokenizer
/// are not asked for one here.
std::vector<std::string> misfits_of(const io::job& job, needed_weights weights = needed_weights::none);

/// Errors  bad_argument: something does not fit (names all of it).
void require_fit(const io::job& job, needed_weights weights = needed_weights::none);

}  // namespace troupe::actors
