/// Log-probabilities for experience that has none.
#pragma once

#include "base/dtype.hpp"

#include <string>

namespace troupe {

/// Writes the experience of `source` (a run, a folder or a file), which has no log-probabilities, to the new folder
/// `target`, with those that the language model in `model` gives the answers at the experience's temperature, and says
/// in each file that this model gave them afterwards. `type`: of its weights in memory. Returns what was done, to be
/// told.
/// Errors  bad_argument: the experience has log-probabilities, or the target is there; its tokens are of another
///         tokenizer; those of actors::load_model, io::read_experience and io::write_experience.
std::string score_experience(const std::string& model, const std::string& source, const std::string& target, dtype type,
                             int threads);

}  // namespace troupe
