/// Which phases go by which options: the rules that the table's sections and rows name. Internal to io.
#pragma once

#include "io/job/job.hpp"

#include <string>

namespace troupe::io {

/// Whether the numbers of a phase depend on an option, or on that of an entry (`name` of [data.NAME]).
using phase_rule = bool (*)(const job& job, const std::string& name, phase of);

/// Phases that are told by name.
template <phase... phases> bool only(const job&, const std::string&, phase of) { return ((of == phases) || ...); }

inline bool of_every_phase(const job&, const std::string&, phase) { return true; }
/// What the option does is held by other lines (options_of in phase_options.cpp).
inline bool of_no_phase(const job&, const std::string&, phase) { return false; }

/// Phase pairs, and those that train on what it makes.
bool of_pairs_and_their_phases(const job& job, const std::string& name, phase of);
/// Phase sft, and ppo where it mixes sft data in.
bool of_sft_and_mixture(const job& job, const std::string& name, phase of);
/// A data set: of the phases that draw from it or from one that stands behind it, since a prompt belongs to the first
/// set that has it.
bool of_phases_drawing(const job& job, const std::string& name, phase of);
/// Phase ppo and its replay, where they mix stored experience in.
bool of_ppo_that_mixes(const job& job, const std::string& name, phase of);
/// Every phase, where weights are not float32: of jobs with float32 digests are those of before there was a choice.
bool of_models_in_bf16(const job& job, const std::string& name, phase of);
/// A source of reward: ppo learns from all, pairs are labelled by one.
bool of_phases_judged(const job& job, const std::string& name, phase of);

}  // namespace troupe::io
