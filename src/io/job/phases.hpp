/// The phases of a run, by name and in their order, and what one makes for another.
#pragma once

#include "io/job/job.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// The phase that a job file calls so; none: there is no such phase.
std::optional<phase> phase_of(std::string_view name);

/// As a job file writes them: "sft ppo".
std::string phases_text(std::span<const phase> phases);

bool contains(std::span<const phase> phases, phase wanted);

/// Whether a phase is among those that the set serves (served_phases).
bool serves(const data_section& set, phase wanted);

/// Those of a run's phases that come after `first`.
std::vector<phase> phases_after(std::span<const phase> of_run, phase first);

/// Whether the job has the phase `maker`, and `user` goes on from what it makes.
bool feeds(const job& job, phase maker, phase user);

/// Whether each set that the phase draws from in both jobs has the same shares of its prompts in both.
bool divides_alike(const job& before, const job& now, phase of);

/// Updates or iterations that the job gives the phase; none: as the data say.
std::optional<int64_t> length_of(const job& job, phase of);

}  // namespace troupe::io
