/// What `troupe replay` is asked for on its command line.
#pragma once

#include "io/job/job.hpp"
#include "io/run/replayed_run.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// An option and the values that it takes: "ppo.kl-coef=0,0.05,0.1".
struct sweep_axis {
  std::string option;
  std::vector<std::string> values;
};

/// Errors  usage_error: no option, no value, or a value twice.
sweep_axis read_axis(const std::string& text);

struct replay_request {
  std::string run;
  std::optional<int64_t> from, to;  ///< iterations
  bool verify = false, json = false;
  std::vector<std::string> sweep;    ///< "ppo.kl-coef=0,0.1", ...
  bool slurm = false;                ///< the sweep is written as a batch script, and not run
  std::vector<std::string> options;  ///< the job's: "--ppo.kl-coef", "0.1"
};

/// Errors  usage_error, naming the argument.
replay_request read_replay_request(std::vector<std::string> arguments);

/// The last iteration that a request means where it names none: to verify, the run's last checkpoint; else the last
/// whose experience is there.
/// Errors  usage_error: there is neither.
int64_t last_iteration_of(const replay_request& request, const io::replayed_run& source);

/// The job that does what is asked: the run's own, with the request's options.
/// Errors  usage_error: they make no sense; the run cannot be replayed so: everything that is in the way.
io::job replay_job(const replay_request& request, const io::replayed_run& source);

}  // namespace troupe
