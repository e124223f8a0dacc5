#include "jobs/batch_script.hpp"

#include "jobs/epochs.hpp"
#include "jobs/pace.hpp"
#include "kernels/base/error.hpp"

#include <fmt/format.h>

#include "troupe_sh.hpp"
#include <algorithm>
#include <cctype>
#include <cmath>

namespace troupe {

namespace {

constexpr int64_t gib = int64_t{1} << 30;
constexpr const char* default_time = "04:00:00";
constexpr int64_t customary_files = 1024;  // what a process may open without asking

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

void set_ranks(batch_job& batch, const io::job& job, const submit_request& request) {
  batch.ranks = ranks_for(job, request);
  batch.ranks_per_node = divided_up(batch.ranks, request.nodes);
  batch.ranks_packed = job.place.shrink ? batch.ranks_per_node : divided_up(batch.ranks, batch.nodes_least);
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

/// As many ranks as the fewest nodes hold at full strength and the lanes divide by (launcher.hpp).
int64_t fewest_ranks(const io::job& job, const batch_job& batch) {
  int64_t ranks = std::min(batch.ranks, batch.nodes_least * batch.ranks_per_node);
  while (job.run.lanes > 1 && job.run.lanes % ranks != 0) {
    --ranks;
  }
  return ranks;
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
  const double planned = 1.1 * static_cast<double>(peak) * static_cast<double>(batch.ranks_packed);
  batch.memory_gib = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(planned / static_cast<double>(gib))));
  batch.memory_reason = fmt::format("{:.2f} GB a rank by `troupe plan`, {} on a node{}, and a tenth",
                                    static_cast<double>(peak) / 1e9, batch.ranks_packed, when);
}

std::string slurm_time(double seconds) {
  const auto minutes = static_cast<int64_t>(std::ceil(seconds / 60));
  return fmt::format("{:02}:{:02}:00", minutes / 60, minutes % 60);
}

void set_time(batch_job& batch, const io::job& job, std::vector<phase_plan> plans, const submit_request& request) {
  if (!request.time.empty()) {
    batch.time = request.time;
    batch.time_reason = "as asked for";
    return;
  }
  count_epochs(job, plans);
  const pace at = find_pace(job, request.gflops, batch.cpus_per_rank);
  const std::optional<double> seconds = seconds_in_all(plans, at, batch.ranks);
  if (!seconds) {
    batch.time = default_time;
    batch.time_reason = "a guess: a phase goes by epochs of data that are not here yet; --time is better";
    return;
  }
  batch.time = slurm_time(1.25 * *seconds + 600);
  batch.time_reason =
      fmt::format("{:.3g} h by `troupe plan` ({}), a quarter more and 10 min", *seconds / 3600, at.source);
}

std::string resources(const batch_job& batch) {
  std::string text;
  const auto line = [&](const std::string& option, const std::string& why) {
    text += why.empty() ? fmt::format("#SBATCH {}\n", option) : fmt::format("#SBATCH {:<28}# {}\n", option, why);
  };
  const bool range = batch.nodes_least < batch.nodes_most;
  line(range ? fmt::format("--nodes={}-{}", batch.nodes_least, batch.nodes_most)
             : fmt::format("--nodes={}", batch.nodes_most),
       range ? "from place.min-nodes up: what was requeued may start on fewer" : "");
  // Not by --ntasks-per-node: with it Slurm gives the least of a range of nodes, and no spare.
  line(fmt::format("--cpus-per-task={}", batch.ranks_per_node * batch.cpus_per_rank),
       fmt::format("of a node: {} of {} ranks, {} threads each", batch.ranks_per_node, batch.ranks,
                   batch.cpus_per_rank));
  line(fmt::format("--mem={}G", batch.memory_gib), batch.memory_reason);
  line("--time=" + batch.time, batch.time_reason);
  if (!batch.partition.empty()) {
    line("--partition=" + batch.partition, "");
  }
  if (!batch.account.empty()) {
    line("--account=" + batch.account, "");
  }
  if (batch.nodes_most > 1) {
    line("--no-kill", "a lost node does not end the job: troupe goes on with the others");
  }
  line("--requeue", "if the first node dies, start again elsewhere");
  line("--open-mode=append", "one log for all starts");
  line("--signal=B:USR1@120", "two minutes before the end: checkpoint, and back into the queue");
  return text;
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

int64_t ranks_for(const io::job& job, const submit_request& request) {
  return request.ranks_per_node > 0 ? request.nodes * request.ranks_per_node
         : job.place.ranks > 1      ? job.place.ranks
                                    : request.nodes;
}

int64_t open_files_for(int64_t ranks, int64_t nodes) {
  constexpr int64_t own = 64;
  return divided_up(4 * (3 * (ranks + nodes) + own), 3);
}

batch_job plan_batch_job(const io::job& job, const submit_request& request) {
  if (request.nodes < job.place.min_nodes) {
    throw error(errc::bad_argument, "--nodes {} is less than place.min-nodes = {}: ask for more, or lower it",
                request.nodes, job.place.min_nodes);
  }
  const std::vector<phase_plan> plans = plan_job(job);
  batch_job batch{.partition = request.partition, .account = request.account};
  batch.nodes_most = request.nodes;
  batch.nodes_least = job.place.min_nodes;
  set_ranks(batch, job, request);
  set_memory(batch, job, peak_of(plans), request);
  set_time(batch, job, plans, request);
  return batch;
}

std::string shell_word(std::string_view text) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("_-./=:,+@%").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) {
    return std::string(text);
  }
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return quoted + "'";
}

std::string batch_script(const batch_job& job, const std::string& run_dir, const std::string& program,
                         const std::string& folder, const std::vector<std::string>& command) {
  std::string words;
  for (const std::string& word : command) {
    words += " " + shell_word(word);
  }
  std::string text = "#!/bin/bash\n# Written by `troupe submit`. To run it again by hand: sbatch " +
                     shell_word(run_dir + "/submit.sbatch") + "\n#\n#SBATCH --job-name=troupe\n";
  text += fmt::format("#SBATCH --output={}\n", shell_word(run_dir + "/slurm-%j.log"));
  text += resources(job);
  text += "\n# Where nodes have several networks, name the one for MPI (`ip link` shows them):\n"
          "# export OMPI_MCA_btl_tcp_if_include=ib0\n\n";
  text += open_files(job);
  text += troupe_sh;
  text += fmt::format("\ncd {} || exit 1\nexport TROUPE={}\ntroupe_run{}\n", shell_word(folder), shell_word(program),
                      words);
  return text;
}

}  // namespace troupe
