#include "jobs/replay_request.hpp"

#include "jobs/arguments.hpp"
#include "jobs/own_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace troupe {

namespace fs = std::filesystem;

namespace {

std::string trimmed(const std::string& text) {
  constexpr const char* blanks = " \t\n";
  const size_t first = text.find_first_not_of(blanks);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Beside the run's own files: what verifies leaves nothing behind, and may be called again to go on.
std::string place_to_verify(const io::replayed_run& source, int64_t from, int64_t to) {
  return (fs::absolute(source.run().root()) / "replays" / fmt::format("verify-{:06}-{:06}", from, to))
      .lexically_normal()
      .string();
}

/// That the job's option of that name is not given besides the command's own.
void require_once(const replay_request& request, const std::string& own, const std::string& of_job) {
  const std::string option = "--" + of_job;
  const auto swept = [&](const std::string& text) { return read_axis(text).option == of_job; };
  if (std::any_of(request.sweep.begin(), request.sweep.end(), swept) || !value_of(request.options, option).empty()) {
    throw usage_error("{} and {} are the same, given twice: keep one", own, of_job);
  }
}

/// That a replay is a run beside others, not in one.
void require_place_of_its_own(const fs::path& folder) {
  const fs::path itself = folder.has_filename() ? folder : folder.parent_path();
  for (fs::path around = itself.parent_path(); around != around.parent_path(); around = around.parent_path()) {
    std::error_code ignored;
    if (fs::exists(around / "attempt", ignored)) {
      throw usage_error("--run.dir: {} lies within the run {}: name a folder outside of it", folder.string(),
                        around.string());
    }
  }
}

}  // namespace

sweep_axis read_axis(const std::string& text) {
  const size_t equals = text.find('=');
  sweep_axis axis{.option = trimmed(text.substr(0, equals)), .values = {}};
  std::string rest = equals == std::string::npos ? "" : text.substr(equals + 1);
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    axis.values.push_back(trimmed(rest.substr(0, comma)));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  const std::set<std::string> once(axis.values.begin(), axis.values.end());
  if (axis.option.empty() || axis.values.empty() || once.contains("") || once.size() != axis.values.size()) {
    throw usage_error("--sweep \"{}\": give an option and its values, each once: --sweep ppo.kl-coef=0,0.05,0.1", text);
  }
  return axis;
}

replay_request read_replay_request(std::vector<std::string> arguments) {
  replay_request request;
  if (arguments.empty() || arguments.front().starts_with("-")) {
    throw usage_error("name the run first: troupe replay RUN ...");
  }
  request.run = arguments.front();
  arguments.erase(arguments.begin());
  request.verify = take_flag(arguments, "--verify");
  request.json = take_flag(arguments, "--json");
  request.from = take_number<int64_t>(arguments, "--from-iteration", least::zero);
  request.to = take_number<int64_t>(arguments, "--to-iteration", least::zero);
  request.sweep = take_values(arguments, "--sweep");
  request.slurm = take_flag(arguments, "--slurm");
  if (request.verify && !request.sweep.empty()) {
    throw usage_error("--sweep changes options, and --verify replays the run's own: give one of the two");
  }
  if (request.slurm && request.sweep.empty()) {
    throw usage_error("--slurm writes the batch script of a sweep: give --sweep OPTION=VALUES");
  }
  request.options = std::move(arguments);
  if (request.from) {
    require_once(request, "--from-iteration", "replay.from-iteration");
  }
  if (request.to) {
    require_once(request, "--to-iteration", "replay.to-iteration");
  }
  return request;
}

int64_t last_iteration_of(const replay_request& request, const io::replayed_run& source) {
  if (request.to) {
    return *request.to;
  }
  const int64_t from = request.from.value_or(0);
  const std::vector<int64_t> checkpoints = source.checkpoints();
  if (request.verify) {
    const bool saved = fs::exists(source.run().model("policy"));
    if (checkpoints.empty() && !saved) {
      throw usage_error("{} has no checkpoint of its ppo phase: there is nothing to compare a replay with",
                        request.run);
    }
    return checkpoints.empty() ? source.job().ppo.iterations : checkpoints.back();
  }
  const int64_t last = source.last_stored(from);
  if (last <= from) {
    throw usage_error("{} has no experience after iteration {}", request.run, from);
  }
  return last;
}

io::job replay_job(const replay_request& request, const io::replayed_run& source) {
  io::replay_section how;
  how.from_iteration = request.from.value_or(0);
  how.to_iteration = last_iteration_of(request, source);
  how.verify = request.verify;
  if (how.verify) {
    how.weights = io::importance_rule::none;
  }
  io::job base = source.replay_of(how);
  if (how.verify) {
    base.run.dir = place_to_verify(source, how.from_iteration, how.to_iteration);
  } else if (value_of(request.options, "--run.dir").empty()) {
    throw usage_error("--run.dir is missing: name the folder that this replay is to write, beside {}", request.run);
  }
  const std::string here = fs::current_path().string();
  return from_user([&] {
    io::job job = io::parse_job(
        io::job_text(base), {.name = "the job of " + request.run, .stem = "replay", .folder = here, .current = here},
        request.options);
    if (job.replay.of != base.replay.of) {
      throw usage_error("replay.of is {}, the run that the command names first: leave it out", request.run);
    }
    if (job.run.dir != base.run.dir) {  // the place to verify lies in the run on purpose
      require_place_of_its_own(job.run.dir);
    }
    source.require_replayable(job);
    return job;
  });
}

}  // namespace troupe
