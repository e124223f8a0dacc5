/// How fast the work of a job goes, and how that is known: by this, `troupe plan` and `troupe submit` tell times.
#pragma once

#include "io/job/job.hpp"
#include "jobs/job_plan.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// How many of the plan's operations a rank does in a second, over whole phases. Where it was measured in a run, the
/// time of evaluations, of checkpoints and of waiting for others is in it.
struct pace {
  double flops_per_s = 0;                   ///< of a rank, where nothing better is known of a phase
  std::map<std::string, double> of_phases;  ///< of a rank, by phase: measured in that phase itself
  std::string source;                       ///< how it is known: "measured in RUN"

  double of(const std::string& phase) const;
  bool knows(const std::string& phase) const { return of(phase) > 0; }
};

/// As the user says, for every phase.
pace stated_pace(double gflops);

/// What the run in the job's run.dir has shown so far, by its own job and its own number of ranks. None where no phase
/// has two records of one attempt, or where the run's job cannot be planned any more.
std::optional<pace> recorded_pace(const io::job& job);

/// The share of this machine's matrix product that whole phases sustain. The product is measured for a quarter of a
/// second; for threads beyond the cores of this machine it is scaled up.
pace measured_pace(int64_t threads);

/// The best that can be known: stated (`gflops` above 0), else recorded, else measured here; on cards nothing else.
pace find_pace(const io::job& job, double gflops, int64_t threads);

/// The time of one update or iteration, all ranks working, at a pace that is known.
double seconds_each(const phase_plan& plan, const pace& at, int64_t ranks);

/// The time of all phases; none where a phase goes by epochs of data that are not here, or no pace is known.
std::optional<double> seconds_in_all(const std::vector<phase_plan>& plans, const pace& at, int64_t ranks);

}  // namespace troupe
