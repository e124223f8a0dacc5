// troupe submit JOB.ini: writes the batch script of a job, checks it and hands it to Slurm.
#include "actors/hosts/child_process.hpp"
#include "base/error.hpp"
#include "base/printable.hpp"
#include "io/datasets/recognise.hpp"
#include "io/files/atomic_file.hpp"
#include "io/job/job.hpp"
#include "io/run/job_of_run.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/run_status.hpp"
#include "jobs/arguments.hpp"
#include "jobs/batch_script.hpp"
#include "jobs/checked_job.hpp"
#include "jobs/commands.hpp"
#include "jobs/data_warnings.hpp"
#include "jobs/device_choice.hpp"
#include "jobs/own_options.hpp"
#include "jobs/shell.hpp"
#include "jobs/slurm_queue.hpp"
#include "jobs/submit_request.hpp"

#include <fmt/format.h>

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
    "  --ranks-per-node N   ranks = nodes * N; without it place.ranks, or one a card, or one a node\n"
    "  --gpus-per-node N    cards of a node, one for each rank: of a run on cards, which a new one is by this\n"
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

/// What was asked of Slurm, and what it has: where it refuses, it says neither.
void explain_refusal(const batch_job& batch) {
  const std::string nodes = batch.nodes_least == batch.nodes_most
                                ? std::to_string(batch.nodes_most)
                                : fmt::format("{}-{}", batch.nodes_least, batch.nodes_most);
  const std::string cards = batch.gpus_per_node > 0 ? fmt::format(", {} cards", batch.gpus_per_node) : "";
  fmt::print(stderr, "asked for: {} node(s) of {} cores{} and {} GiB ({}), for {}{}\n", nodes,
             batch.ranks_per_node * batch.cpus_per_rank, cards, batch.memory_gib, batch.memory_reason, batch.time,
             batch.partition.empty() ? "" : ", partition " + batch.partition);
  if (const std::string partitions = printable(partitions_text()); !partitions.empty()) {
    fmt::print(stderr,
               "there is:\n{}--nodes, --ranks-per-node, --gpus-per-node, --cpus-per-rank, --mem, --time and "
               "--partition ask for less, or elsewhere\n",
               partitions);
  }
}

/// One run is one job's: two would wait for each other, and the second in vain.
/// Errors  bad_argument: it is in use, or its job is still in the queue.
void require_unused(const io::run_directory& run) {
  if (const std::string holder = io::lock_holder(run); !holder.empty()) {
    throw error(errc::bad_argument,
                "{} is in use ({}): `troupe status {}` says how it stands; stop it first, or take "
                "another run.dir",
                run.root().string(), holder, run.root().string());
  }
  const std::string id = run.slurm_job();
  if (const queued_job job = id.empty() ? queued_job{} : ask_queue(id); job.waits_or_runs()) {
    throw error(errc::bad_argument,
                "{}: its job {} is in the queue already: scancel {} takes it out, or take another "
                "run.dir",
                run.root().string(), describe(job), id);
  }
}

int submit(const io::run_directory& run, const std::filesystem::path& script, const batch_job& batch) {
  const shell_result checked = run_shell("sbatch --test-only " + shell_word(script.string()));
  if (checked.status == 127) {
    fmt::print(stderr, "troupe submit: there is no sbatch here. The script is {}\n", printable(script.string()));
    return exit_failed;
  }
  if (checked.status != 0) {
    fmt::print(stderr, "troupe submit: Slurm refuses {}:\n{}\n", printable(script.string()), printable(checked.output));
    explain_refusal(batch);
    return exit_failed;
  }
  const std::string told = actors::output_of({"sbatch", "--parsable", script.string()});
  const std::string id = told.substr(0, told.find_first_of(";\n"));  // "job;cluster" where there are several
  if (id.empty() || id.find_first_not_of("0123456789") != std::string::npos) {
    throw error(errc::io_failure, "sbatch has answered \"{}\", which is no job's number: squeue --me tells what it did",
                told);
  }
  run.note_slurm_job(id);
  fmt::print("{}\n", id);
  return exit_ok;
}

}  // namespace

int submit_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool dry = take_flag(arguments, "--dry-run");
  if (const auto told = tell_usage(arguments, usage)) {
    return *told;
  }
  const submit_request request = take_request(arguments);
  std::vector<std::string> untold;  // of formats: told when the job is read again, with its final ranks and nodes
  io::job written =
      from_user([&] { return io::load_job(arguments[0], std::span(arguments).subspan(1), io::recogniser(untold)); });
  if (written.place.device == io::device_choice::automatic) {
    written.place.device =
        device_so_far(written).value_or(request.gpus_per_node > 0 ? io::device_choice::cuda : io::device_choice::cpu);
  }
  const std::vector<std::string> command = run_arguments(arguments, written, request);
  std::vector<std::string> with_ranks = command;
  with_ranks[0] = arguments[0];
  const io::job job = checked_job(with_ranks, needed_files::but_weights);
  require_cards(job, request);
  warn_of_data(job);
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
  require_unused(run);
  io::require_same_job(run, job);  // else it would only be found in the queue
  const std::filesystem::path script = run.root() / "submit.sbatch";
  io::write_file_atomically(script, text);
  return submit(run, script, batch);
}

}  // namespace troupe
