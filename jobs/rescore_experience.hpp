/// Stored answers judged anew: other rewards, another reference, another critic.
#pragma once

#include "base/dtype.hpp"

#include <string>

namespace troupe {

struct rescoring {
  std::string source;       ///< a run, a folder of experience, or a file
  std::string target;       ///< the new folder
  std::string rewards;      ///< a job file, a run, or a reward model's folder; empty: raw rewards stay
  std::string reference;    ///< folder of a language model; empty: its log-probabilities stay
  std::string critic;       ///< folder of a model with a scalar head; empty: values stay
  std::string tokenizer;    ///< folder; empty: of the run, the job or one of the models
  dtype type = dtype::f32;  ///< of models' weights in memory
  int threads = 0;          ///< 0: all cores
};

/// Writes the experience of `source` to `target` with what the new judges say of its answers, one file in memory at a
/// time. Shaped rewards, advantages and what they were shaped with belong to the old judges: they are left out.
/// Returns what was done, and what the new set serves, to be told.
/// Errors  bad_argument: the target is there; the answers' tokens, or a model's, are of another tokenizer; no tokenizer
///         is found; the job of `rewards` is wrong, or its model not made yet; too few answers get a reward.
///         unsupported: a rule needs labels that are not there. not_finite: a model gives NaN. Those of load_judge,
///         judging, load_model and io::read_experience.
std::string rescore_experience(const rescoring& how);

}  // namespace troupe
