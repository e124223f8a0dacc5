// troupe submit JOB.ini: writes the batch script of a job, checks it and hands it to Slurm.
#include "base/error.hpp"
#include "io/datasets/recognise.hpp"
#include "io/files/atomic_file.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/arguments.hpp"
#include "jobs/batch_script.hpp"
#include "jobs/checked_job.hpp"
#include "jobs/commands.hpp"
#include "jobs/submit_request.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

namespace {

constexpr const char* usage =
    "troupe submit JOB.ini [options] [--section.key value ...]\n\n"
    "Checks the job, writes <run.dir>/submit.sbatch with memory and time from its plan, lets sbatch check it,\n"
    "submits it and prints the job's number.\n\n"
    "  --nodes N            nodes, spares included (1); at least place.min-nodes, which is one fewer where the job\n"
    "                       does not say\n"
    "  --ranks-per-node N   ranks = nodes * N; without it place.ranks, or one a node\n"
    "  --cpus-per-rank N    threads of a rank (run.threads, or 8)\n"
    "  --mem N              GiB of a node (from the plan)\n"
    "  --time T             as sbatch takes it: 4:00:00, 2-12 (from the plan)\n"
    "  --gflops N           what a rank sustains, for the time; without it, as an earlier part of the run has shown,\n"
    "                       or by a short measurement of this machine's matrix product\n"
    "  --partition P, --account A\n"
    "  --sbatch OPTION      any other of sbatch's, as one word: --sbatch --qos=high; repeatable\n"
    "  --setup FILE         lines of shell that the script begins with: module load and the like\n"
    "  --signal-lead N      seconds before the time is over at which a checkpoint is taken (120)\n"
    "  --dry-run            prints the script; writes and submits nothing\n";

struct ended {
  int status = 0;  ///< 127: there is no such program
  std::string output;
};

/// Runs a command to its end; stdout and stderr together.
ended run_shell(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    throw error(errc::io_failure, "cannot start {}", command);
  }
  ended result;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof(buffer), pipe)) {
    result.output.append(buffer, count);
  }
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  result.output.erase(result.output.find_last_not_of('\n') + 1);
  return result;
}

int submit(const std::filesystem::path& script) {
  const std::string file = shell_word(script.string());
  const ended checked = run_shell("sbatch --test-only " + file);
  if (checked.status == 127) {
    fmt::print(stderr, "troupe submit: there is no sbatch here. The script is {}\n", script.string());
    return exit_failed;
  }
  if (checked.status != 0) {
    fmt::print(stderr, "troupe submit: Slurm refuses {}:\n{}\n", script.string(), checked.output);
    return exit_failed;
  }
  const ended submitted = run_shell("sbatch --parsable " + file);
  if (submitted.status != 0) {
    fmt::print(stderr, "troupe submit: sbatch failed with {}:\n{}\n", submitted.status, submitted.output);
    return exit_failed;
  }
  fmt::print("{}\n", submitted.output.substr(0, submitted.output.find(';')));  // "job;cluster" where there are several
  return exit_ok;
}

}  // namespace

int submit_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool dry = std::erase(arguments, "--dry-run") > 0;
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print(arguments.empty() ? stderr : stdout, "{}", usage);
    return arguments.empty() ? exit_usage : exit_ok;
  }
  const submit_request request = take_request(arguments);
  std::vector<std::string> untold;  // of formats: told when the job is read again, with its final ranks and nodes
  const io::job written =
      from_user([&] { return io::load_job(arguments[0], std::span(arguments).subspan(1), io::recogniser(untold)); });
  const std::vector<std::string> command = run_arguments(arguments, written, request);
  std::vector<std::string> with_ranks = command;
  with_ranks[0] = arguments[0];
  const io::job job = checked_job(with_ranks, needed_files::all);
  const batch_job batch = plan_batch_job(job, request);
  const std::string text = batch_script(batch, {.name = job_name(arguments[0]),
                                                .run_dir = job.run.dir,
                                                .program = std::filesystem::read_symlink("/proc/self/exe").string(),
                                                .folder = std::filesystem::current_path().string(),
                                                .command = command});
  if (dry) {
    fmt::print("{}", text);
    return exit_ok;
  }
  const io::run_directory run = io::run_directory::open_or_create(job.run.dir);
  run.require_same_job(job);  // else it would only be found in the queue
  const std::filesystem::path script = run.root() / "submit.sbatch";
  io::write_file_atomically(script, text);
  return submit(script);
}

}  // namespace troupe
