// troupe submit JOB.ini: writes the batch script of a job, checks it and hands it to Slurm.
#include "base/error.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/mapped_file.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/arguments.hpp"
#include "jobs/batch_script.hpp"
#include "jobs/commands.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

namespace {

constexpr const char* usage =
    "troupe submit JOB.ini [options] [--section.key value ...]\n\n"
    "Checks the job, writes <run.dir>/submit.sbatch with memory and time from its plan, lets sbatch check it,\n"
    "submits it and prints the job's number.\n\n"
    "  --nodes N            nodes, spares included (1); at least place.min-nodes, which is one fewer where the job "
    "does not say\n"
    "  --ranks-per-node N   ranks = nodes * N; without it place.ranks, or one a node\n"
    "  --cpus-per-rank N    threads of a rank (run.threads, or 8)\n"
    "  --mem N              GiB of a node (from the plan)\n"
    "  --time T             as sbatch takes it: 4:00:00, 2-12 (from the plan)\n"
    "  --gflops N           what a rank sustains, for the time; without it, as an earlier part of the run has shown, "
    "or\n"
    "                       by a short measurement of this machine's matrix product\n"
    "  --partition P, --account A\n"
    "  --sbatch OPTION      any other of sbatch's, as one word: --sbatch --qos=high; repeatable\n"
    "  --setup FILE         lines of shell that the script begins with: module load and the like\n"
    "  --signal-lead N      seconds before the time is over at which a checkpoint is taken (120)\n"
    "  --dry-run            prints the script; writes and submits nothing\n";

/// Takes `--name value` or `--name=value` out of the arguments.
/// Errors  usage_error: no value.
std::string take(std::vector<std::string>& arguments, const std::string& name) {
  for (auto one = arguments.begin(); one != arguments.end(); ++one) {
    if (*one == name) {
      if (one + 1 == arguments.end() || (one + 1)->empty()) {
        throw usage_error("{} needs a value", name);
      }
      std::string value = *(one + 1);
      arguments.erase(one, one + 2);
      return value;
    }
    if (one->starts_with(name + "=")) {
      std::string value = one->substr(name.size() + 1);
      arguments.erase(one);
      return value;
    }
  }
  return "";
}

template <class Number>
Number take_number(std::vector<std::string>& arguments, const std::string& name, Number fallback) {
  const std::string text = take(arguments, name);
  if (text.empty()) {
    return fallback;
  }
  Number value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || !(value > 0) || !(value < Number(1e9))) {
    throw usage_error("{} {}: give it a number above 0", name, text);
  }
  return value;
}

/// What goes into a line of the script must end there.
std::string take_word(std::vector<std::string>& arguments, const std::string& name) {
  std::string word = take(arguments, name);
  const auto odd = [](unsigned char c) { return c <= ' ' || c == '#' || c == '\'' || c == '"' || c >= 127; };
  if (std::any_of(word.begin(), word.end(), odd)) {
    throw usage_error("{} \"{}\": a word without spaces, quotes and #", name, word);
  }
  return word;
}

/// Options that the script has of its own: sbatch would take the last of two,
/// and what troupe reckons with would not be so.
constexpr std::string_view own_options[] = {"--nodes", "--cpus-per-task", "--mem", "--time", "--signal", "--output"};

std::vector<std::string> take_sbatch_options(std::vector<std::string>& arguments) {
  std::vector<std::string> options;
  for (std::string one = take_word(arguments, "--sbatch"); !one.empty(); one = take_word(arguments, "--sbatch")) {
    if (!one.starts_with("-") || one.starts_with("--sbatch")) {
      throw usage_error("--sbatch {}: an option of sbatch, as one word: --sbatch --qos=high", one);
    }
    const std::string_view name = std::string_view(one).substr(0, one.find('='));
    if (std::find(std::begin(own_options), std::end(own_options), name) != std::end(own_options)) {
      throw usage_error("--sbatch {}: the script has its own {}; `troupe submit --help` says what sets it", one, name);
    }
    options.push_back(std::move(one));
  }
  return options;
}

/// What is neither an option of this command nor of a job, most likely sbatch's own.
/// Errors  usage_error.
void refuse_unknown(const std::vector<std::string>& arguments) {
  for (const std::string& one : arguments) {
    const std::string name = one.substr(0, one.find('='));
    if (name.starts_with("-") && name.size() > 1 && std::isdigit(static_cast<unsigned char>(name[1])) == 0 &&
        name.find('.') == std::string::npos) {
      throw usage_error(
          "troupe submit has no option {}. One of sbatch's goes through --sbatch, as one word: --sbatch {}=...; "
          "`troupe submit --help` has all",
          name, name);
    }
  }
}

std::string take_setup(std::vector<std::string>& arguments) {
  const std::string path = take(arguments, "--setup");
  return path.empty() ? "" : from_user([&] { return io::read_text_file(path); });
}

submit_request take_request(std::vector<std::string>& arguments) {
  submit_request request;
  request.sbatch = take_sbatch_options(arguments);  // first: their values look like options of ours
  request.nodes = take_number<int64_t>(arguments, "--nodes", 1);
  request.ranks_per_node = take_number<int64_t>(arguments, "--ranks-per-node", 0);
  request.cpus_per_rank = take_number<int64_t>(arguments, "--cpus-per-rank", 0);
  request.memory_gib = take_number<int64_t>(arguments, "--mem", 0);
  request.time = take_word(arguments, "--time");
  request.partition = take_word(arguments, "--partition");
  request.account = take_word(arguments, "--account");
  request.gflops = take_number<double>(arguments, "--gflops", 0);
  request.signal_lead_s = take_number<int64_t>(arguments, "--signal-lead", request.signal_lead_s);
  request.setup = take_setup(arguments);
  refuse_unknown(arguments);
  return request;
}

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

/// A folder that holds another run would only be found in the queue.
/// Errors  bad_argument.
void refuse_another_job(const io::run_directory& run, const io::job& job) {
  if (!std::filesystem::exists(run.job())) {
    return;
  }
  const auto differences = io::differences(io::load_job(run.job().string()), job);
  if (!differences.empty()) {
    throw error(errc::bad_argument, "{} holds a run of another job:\n  {}\nTake another run.dir, or the former values",
                run.root().string(), fmt::join(differences, "\n  "));
  }
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

/// The arguments of `troupe run`: the user's own, and what is settled here: the number of ranks that they come to, and
/// how few nodes may be left, by which memory was asked for.
std::vector<std::string> run_arguments(std::vector<std::string> arguments, const io::job& job,
                                       const submit_request& request) {
  arguments[0] = std::filesystem::absolute(arguments[0]).string();
  take(arguments, "--place.ranks");
  take(arguments, "--place.min-nodes");
  arguments.insert(arguments.end(), {"--place.ranks", std::to_string(ranks_for(job, request)), "--place.min-nodes",
                                     std::to_string(least_nodes_for(job, request))});
  return arguments;
}

/// As the job file is called. What a line of the script or Slurm's lists cannot show becomes "-".
std::string job_name(const std::string& job_file) {
  std::string name = std::filesystem::path(job_file).stem().string();
  const auto odd = [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_' && c != '.'; };
  std::replace_if(name.begin(), name.end(), odd, '-');
  return name;
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
  io::job job = from_user([&] { return io::load_job(arguments[0], std::span(arguments).subspan(1)); });
  const std::vector<std::string> command = run_arguments(arguments, job, request);
  // Checks and plan know the final number of ranks and nodes.
  job = from_user([&] { return io::load_job(arguments[0], std::span(command).subspan(1)); });
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
  refuse_another_job(run, job);
  const std::filesystem::path script = run.root() / "submit.sbatch";
  io::write_file_atomically(script, text);
  return submit(script);
}

}  // namespace troupe
