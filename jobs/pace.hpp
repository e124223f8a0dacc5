/// How fast the work of a job goes, and how that is known: what `troupe plan` and `troupe submit` make times of.
#pragma once

#include "io/job/job.hpp"
#include "jobs/job_plan.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// What a rank sustains in whole phases, counted in the plan's operations: evaluations, checkpoints and waiting for
/// others included where it was measured in a run.
struct pace {
  double flops_per_s = 0;                   ///< of a rank, where nothing better is known of a phase
  std::map<std::string, double> of_phases;  ///< of a rank, by phase: measured in that phase itself
  std::string source;                       ///< how it is known: "measured in RUN"

  double of(const std::string& phase) const;
};

/// As the user says.
pace stated_pace(double gflops);

/// From what a run in the job's run.dir has recorded, by that run's own job and its number of ranks; none where it has
/// not two records of one attempt in any phase, or its job cannot be planned any more.
std::optional<pace> recorded_pace(const io::job& job);

/// A quarter of a second of this machine's matrix product, and the share of it that whole phases sustain. With more
/// threads than this machine has cores, as if it had them.
pace measured_pace(int64_t threads);

/// The best that can be known: stated (`gflops` above 0), else recorded, else measured here.
pace find_pace(const io::job& job, double gflops, int64_t threads);

/// Of one update or iteration, all ranks working.
double seconds_each(const phase_plan& plan, const pace& at, int64_t ranks);

/// Of all phases; none where a phase goes by epochs of data that are not here.
std::optional<double> seconds_in_all(const std::vector<phase_plan>& plans, const pace& at, int64_t ranks);

}  // namespace troupe
