/// What experience can serve. What came from other systems lacks parts of what a rollout of ours has; a method that
/// needs one asks first, and the refusal says what is missing and how it is had.
#pragma once

#include "io/experience/experience.hpp"

#include <string>
#include <string_view>

namespace troupe::io {

struct capabilities {
  bool exact_replay = false;  ///< everything that an update was made of, as it was, and all of the iteration
  bool log_probs = false;     ///< of the policy that sampled
  bool reference = false;     ///< log-probabilities under the reference
  bool values = false;        ///< of a critic
  bool rewards = false;       ///< at least one sequence has a score
  bool groups = false;        ///< some prompt has two samples with a score
  bool texts = false;         ///< of prompts and answers
  bool labels = false;        ///< what rules hold answers against
};

capabilities capabilities_of(const experience& e);

/// Words for what is there, and for what is not: "tokens, log-probs; no reference, values".
std::string describe(const capabilities& c);

/// `method` is what asks: "importance weights". `where` names the experience.
/// Errors  unsupported: "WHERE: METHOD cannot be had without ..., which this experience has not: ... ".
void require_served(const experience& e, bool capabilities::*need, std::string_view method, const std::string& where);

}  // namespace troupe::io
