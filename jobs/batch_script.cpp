#include "jobs/batch_script.hpp"

#include "actors/hosts/launcher.hpp"
#include "base/durations.hpp"
#include "base/error.hpp"
#include "base/printable.hpp"
#include "jobs/epochs.hpp"
#include "jobs/pace.hpp"
#include "jobs/shell.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "troupe_sh.hpp"
#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

namespace troupe {

namespace {

constexpr int64_t gib = int64_t{1} << 30;
constexpr const char* default_time = "04:00:00";
constexpr int64_t customary_files = 1024;  // what a process may open without asking

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Of `ranks` on a node as many as have a card there.
int64_t most_ranks(const batch_job& batch, int64_t ranks) {
  return batch.gpus_per_node > 0 ? std::min(ranks, batch.gpus_per_node) : ranks;
}

void set_ranks(batch_job& batch, const io::job& job, const submit_request& request) {
  batch.ranks = ranks_for(job, request);
  batch.ranks_per_node = divided_up(batch.ranks, request.nodes);
  batch.ranks_packed =
      most_ranks(batch, job.place.shrink ? batch.ranks_per_node : divided_up(batch.ranks, batch.nodes_least));
  batch.cpus_per_rank = request.cpus_per_rank > 0 ? request.cpus_per_rank
                        : job.run.threads > 0     ? job.run.threads
                                                  : batch.cpus_per_rank;
  const int64_t files = open_files_for(batch.ranks, batch.nodes_most);
  batch.open_files = files > customary_files ? files : 0;
}

int64_t peak_of(const std::vector<phase_plan>& plans) {
  int64_t peak = 0;
  for (const phase_plan& plan : plans) {
    peak = std::max(peak, plan.peak_bytes());
  }
  return peak;
}

/// As many ranks as the fewest nodes hold at full strength.
int64_t fewest_ranks(const io::job& job, const batch_job& batch) {
  return actors::shrunk_ranks(batch.ranks, job.run.lanes, batch.nodes_least * batch.ranks_per_node);
}

/// GiB of a node that has so many ranks, a tenth more than planned.
int64_t memory_for(int64_t peak, int64_t ranks) {
  const double planned = 1.1 * static_cast<double>(peak) * static_cast<double>(ranks);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(planned / static_cast<double>(gib))));
}

/// What packing the ranks on fewer nodes takes, where it takes more than with one node more.
std::vector<memory_step> steps_of(const batch_job& batch, int64_t peak) {
  std::vector<memory_step> steps;
  for (int64_t left = batch.nodes_most; left >= 1; --left) {
    if (batch.gpus_per_node > 0 && left * batch.gpus_per_node < batch.ranks) {
      break;  // the job goes back into the queue
    }
    if (const int64_t needed = memory_for(peak, divided_up(batch.ranks, left));
        steps.empty() || steps.back().memory_gib < needed) {
      steps.push_back({.nodes_left = left, .memory_gib = needed});
    }
  }
  return steps;
}

void set_memory(batch_job& batch, const io::job& job, int64_t planned_peak, const submit_request& request) {
  if (request.memory_gib > 0) {
    batch.memory_gib = request.memory_gib;
    batch.memory_reason = "as asked for";
    return;
  }
  int64_t peak = planned_peak;
  std::string when = batch.ranks_packed > batch.ranks_per_node ? " when nodes are lost" : "";
  if (const int64_t fewest = fewest_ranks(job, batch); job.place.shrink && fewest < batch.ranks) {
    io::job fewer = job;
    fewer.place.ranks = fewest;
    peak = std::max(peak, peak_of(plan_job(fewer)));
    when = fmt::format(", with {} ranks when nodes are lost", fewest);
  }
  batch.memory_gib = memory_for(peak, batch.ranks_packed);
  batch.memory_reason = fmt::format("{:.2f} GB a rank by `troupe plan`, {} on a node{}, and a tenth",
                                    static_cast<double>(peak) / 1e9, batch.ranks_packed, when);
  if (!job.place.shrink) {
    batch.memory_steps = steps_of(batch, peak);
  }
}

std::string slurm_time(double seconds) {
  const auto minutes = static_cast<int64_t>(std::ceil(seconds / 60));
  return fmt::format("{:02}:{:02}:00", minutes / 60, minutes % 60);
}

/// `known`: measured once for jobs that are planned together.
void set_time(batch_job& batch, const io::job& job, std::vector<phase_plan> plans, const submit_request& request,
              std::optional<pace>& known) {
  if (!request.time.empty()) {
    batch.time = request.time;
    batch.time_reason = "as asked for";
    return;
  }
  count_epochs(job, plans);
  if (!known) {
    known = find_pace(job, request.gflops, batch.cpus_per_rank);
  }
  const std::optional<double> seconds = seconds_in_all(plans, *known, batch.ranks);
  if (!seconds) {
    batch.time = default_time;
    batch.time_reason = fmt::format("a guess: {}; --time is better",
                                    known->flops_per_s > 0 ? "a phase goes by epochs of data that are not here yet"
                                                           : "how fast a card works is not known");
    return;
  }
  batch.time_s = 1.25 * *seconds + 600;
  batch.time = slurm_time(batch.time_s);
  batch.time_reason =
      fmt::format("{} by `troupe plan` ({}), a quarter more and 10 min", duration_text(*seconds), known->source);
}

std::string counted(int64_t count, const std::string& what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// A line of the script's head, and why it is there.
std::string directive(const std::string& option, const std::string& why) {
  return why.empty() ? fmt::format("#SBATCH {}\n", option) : fmt::format("#SBATCH {:<28}# {}\n", option, why);
}

std::string nodes_line(const batch_job& batch) {
  if (batch.nodes_least == batch.nodes_most) {
    return directive(fmt::format("--nodes={}", batch.nodes_most), "");
  }
  return directive(fmt::format("--nodes={}-{}", batch.nodes_least, batch.nodes_most),
                   "from place.min-nodes up: what was requeued may start on fewer");
}

/// What each lost node costs, for whoever wants to change place.min-nodes.
std::string memory_steps_text(const batch_job& batch) {
  if (batch.memory_steps.size() < 2) {
    return "";
  }
  std::vector<std::string> parts;
  constexpr size_t most = 6;
  for (const memory_step& step : batch.memory_steps) {
    if (parts.size() < most || step.nodes_left == 1) {
      parts.push_back(fmt::format("{}: {}G", step.nodes_left, step.memory_gib));
    }
  }
  return fmt::format("# Ranks of lost nodes go to those left. Memory of a node, by nodes left: {}.\n"
                     "# place.min-nodes = {} says how few may be left before the job goes back into the queue.\n",
                     fmt::join(parts, ", "), batch.nodes_least);
}

std::string lead_text(int64_t seconds) {
  return seconds % 60 == 0 ? counted(seconds / 60, "minute") : counted(seconds, "second");
}

std::string resources(const batch_job& batch) {
  std::string text = nodes_line(batch);
  // Not by --ntasks-per-node: with it Slurm gives the least of a range of nodes, and no spare.
  text += directive(fmt::format("--cpus-per-task={}", batch.ranks_per_node * batch.cpus_per_rank),
                    fmt::format("of a node: {} of {}, {} each", batch.ranks_per_node, counted(batch.ranks, "rank"),
                                counted(batch.cpus_per_rank, "thread")));
  if (batch.gpus_per_node > 0) {
    text += directive(fmt::format("--gpus-per-node={}", batch.gpus_per_node), "a card for each rank of a node");
  }
  text += directive(fmt::format("--mem={}G", batch.memory_gib), batch.memory_reason);
  text += directive("--time=" + batch.time, batch.time_reason);
  if (!batch.partition.empty()) {
    text += directive("--partition=" + batch.partition, "");
  }
  if (!batch.account.empty()) {
    text += directive("--account=" + batch.account, "");
  }
  if (batch.nodes_most > 1) {
    text += directive("--no-kill", "a lost node does not end the job: troupe goes on with the others");
  }
  text += directive("--requeue", "if the first node dies, start again elsewhere");
  text += directive("--open-mode=append", "one log for all starts");
  text += directive(fmt::format("--signal=B:USR1@{}", batch.signal_lead_s),
                    lead_text(batch.signal_lead_s) + " before the end: checkpoint, and back into the queue");
  for (const std::string& option : batch.sbatch) {
    text += directive(option, "");
  }
  return text + memory_steps_text(batch);
}

/// A limit that is high enough, or none, stays.
std::string open_files(const batch_job& job) {
  if (job.open_files == 0) {
    return "";
  }
  return fmt::format(
      "# The supervisor's process has three files open for each of the {0} ranks, and for the guard of each node.\n"
      "files=$(ulimit -S -n)\n"
      "if [ \"$files\" != unlimited ] && ((files < {1})) && ! ulimit -S -n {1}; then\n"
      "  echo \"$0: only $(ulimit -H -n) open files are allowed here, {0} ranks need {1}\" >&2\n"
      "fi\n\n",
      job.ranks, job.open_files);
}

}  // namespace

int64_t open_files_for(int64_t ranks, int64_t nodes) {
  constexpr int64_t own = 64;
  return divided_up(4 * (3 * (ranks + nodes) + own), 3);
}

static batch_job planned(const io::job& job, const submit_request& request, std::optional<pace>& known) {
  if (request.nodes < job.place.min_nodes) {
    throw error(errc::bad_argument, "--nodes {} is less than place.min-nodes = {}: ask for more, or lower it",
                request.nodes, job.place.min_nodes);
  }
  const std::vector<phase_plan> plans = plan_job(job);
  batch_job batch{.partition = request.partition,
                  .account = request.account,
                  .signal_lead_s = request.signal_lead_s,
                  .sbatch = request.sbatch,
                  .setup = request.setup};
  batch.gpus_per_node = request.gpus_per_node;
  batch.nodes_most = request.nodes;
  batch.nodes_least = least_nodes_for(job, request);
  set_ranks(batch, job, request);
  set_memory(batch, job, peak_of(plans), request);
  set_time(batch, job, plans, request, known);
  return batch;
}

batch_job plan_batch_job(const io::job& job, const submit_request& request) {
  std::optional<pace> known;
  return planned(job, request, known);
}

batch_job plan_batch_array(const std::vector<io::job>& jobs, const submit_request& request) {
  std::optional<pace> known;
  batch_job all = planned(jobs.front(), request, known);
  for (const io::job& job : std::span(jobs).subspan(1)) {
    const batch_job one = planned(job, request, known);
    if (one.memory_gib > all.memory_gib) {
      all.memory_gib = one.memory_gib;
      all.memory_reason = one.memory_reason;
      all.memory_steps = one.memory_steps;
    }
    if (one.ranks_per_node * one.cpus_per_rank > all.ranks_per_node * all.cpus_per_rank) {
      all.ranks = one.ranks;
      all.ranks_per_node = one.ranks_per_node;
      all.ranks_packed = one.ranks_packed;
      all.cpus_per_rank = one.cpus_per_rank;
    }
    all.open_files = std::max(all.open_files, one.open_files);
    if (one.time_s > all.time_s) {
      all.time_s = one.time_s;
      all.time = one.time;
      all.time_reason = one.time_reason;
    }
  }
  return all;
}

namespace {

/// The functions of slurm/troupe.sh, without the words on how a script takes them in.
std::string_view shell_functions() {
  const std::string_view text = troupe_sh;
  return text.substr(text.find("\n\n") + 2);
}

/// The command as an array of the shell: one option and its value a line.
std::string command_text(const std::vector<std::string>& command) {
  std::string text = "command=(";
  for (size_t i = 0; i < command.size(); ++i) {
    const bool starts_line = command[i].starts_with("--") && i > 0;
    text += (starts_line ? "\n  " : i > 0 ? " " : "") + shell_word(command[i]);
  }
  return text + ")\n";
}

/// A task's job is the one with its number.
std::string array_command_text(const std::string& folder) {
  return "command=(" + shell_word(folder) + "/\"$SLURM_ARRAY_TASK_ID\".ini)\n";
}

/// Of names that stand in comments, where quotes do not hold a line together: what follows a line's end would be a
/// command.
void require_one_line(const std::string& path) {
  if (!is_one_line(path)) {
    throw error(errc::bad_argument,
                "{}: this path holds a control character (a line's end or the like), and would stand in a script: "
                "rename it",
                printable(path));
  }
}

std::string setup_text(const std::string& setup) {
  if (setup.empty()) {
    return "";
  }
  return "# What --setup gave:\n" + setup + (setup.ends_with('\n') ? "\n" : "\n\n");
}

}  // namespace

std::string batch_script(const batch_job& job, const script_origin& origin) {
  require_one_line(origin.command.front());
  require_one_line(origin.run_dir);
  std::string text =
      fmt::format("#!/bin/bash\n# {}, by `{}`.\n# The same again goes on where it stopped: sbatch {}\n#\n",
                  shell_word(origin.command.front()), origin.by, shell_word(origin.run_dir + "/" + origin.file));
  text += fmt::format("#SBATCH --job-name={}\n", origin.name);
  text += fmt::format("#SBATCH --output={}\n",
                      shell_word(origin.run_dir + (origin.array > 0 ? "/slurm-%A_%a.log" : "/slurm-%j.log")));
  if (origin.array > 0) {
    text += directive(fmt::format("--array=0-{}", origin.array - 1), "%4 behind it: four at a time");
  }
  text += resources(job);
  text += "\n" + setup_text(job.setup);
  if (job.nodes_most > 1) {
    text += "# Where nodes have several networks, name the one for MPI (`ip link` shows them):\n"
            "# export OMPI_MCA_btl_tcp_if_include=ib0\n\n";
  }
  text += open_files(job);
  text += fmt::format("cd {} || exit 1\nTROUPE={}\n", shell_word(origin.folder), shell_word(origin.program));
  text += origin.array > 0 ? array_command_text(origin.command.front()) : command_text(origin.command);
  text += "\n# From here on nothing is about this job. The functions run troupe beside this shell, hand Slurm's\n"
          "# signals on to it, and put the job back into the queue where it stopped before it was done (status 75),\n"
          "# or where a signal ended it, up to TROUPE_REQUEUES times (10 unless set). They are those of\n"
          "# slurm/troupe.sh, which explains more.\n\n";
  text += shell_functions();
  return text + "\ntroupe_run \"${command[@]}\"\n";
}

}  // namespace troupe
