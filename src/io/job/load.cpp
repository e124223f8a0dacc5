#include "base/error.hpp"
#include "base/printable.hpp"
#include "io/chat/chat.hpp"
#include "io/files/mapped_file.hpp"
#include "io/files/near_file.hpp"
#include "io/files/paths.hpp"
#include "io/job/command_words.hpp"
#include "io/job/options.hpp"
#include "io/job/origin.hpp"
#include "io/job/phases.hpp"
#include "io/weights/missing_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace troupe::io {

namespace fs = std::filesystem;

int64_t job::mixing_window() const {
  return experience.mix > 0 ? experience.max_staleness / (ppo.epochs * ppo.minibatches) : 0;
}

bool job::has(phase wanted) const { return contains(run.phases, wanted); }

bool replay_section::allows(replay_leniency what) const {
  return std::find(allow.begin(), allow.end(), what) != allow.end();
}

const reward_source* job::reward_named(std::string_view name) const {
  const auto found =
      std::find_if(rewards.begin(), rewards.end(), [&](const reward_source& r) { return r.name == name; });
  return found == rewards.end() ? nullptr : &*found;
}

static std::string resolve(const std::string& folder, const std::string& path) {
  std::string text = (fs::path(folder) / path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') {
    text.pop_back();
  }
  return text;
}

static void resolve_paths(job& job, const job_origin& origin) {
  if (job.run.dir.empty()) {
    job.run.dir = "runs/" + origin.stem;
  }
  for (const option& row : job_options()) {
    if (row.text == text_kind::plain || row.text == text_kind::line) {
      continue;
    }
    const std::string& folder = row.text == text_kind::path ? origin.folder : origin.current;
    for (const std::string& name : entry_names(job, row.section)) {
      std::string& path = *std::get<std::string*>(row.find(job, name));
      if (!path.empty()) {
        path = resolve(folder, path);
      }
    }
  }
}

/// A program for rewards runs where the job file is, unless the job says otherwise.
static void resolve_folders(job& job, const job_origin& origin) {
  for (reward_source& source : job.rewards) {
    if (source.kind == reward_kind::command && source.folder.empty()) {
      source.folder = resolve(origin.folder, ".");
    }
  }
}

/// A chat template is the name of a format, or a path.
static void resolve_templates(job& job, const job_origin& origin) {
  for (data_section& set : job.data) {
    if (!set.chat_template.empty() && !is_chat_format(set.chat_template)) {
      set.chat_template = resolve(origin.folder, set.chat_template);
    }
  }
}

/// Of the sets whose file is there: what is missing is told when files are checked.
static void recognise_formats(job& job, const job_origin& origin, problem_list& problems) {
  std::error_code ignored;
  for (data_section& set : job.data) {
    if (!origin.recognise || set.format != data_format::automatic || !fs::is_regular_file(set.path, ignored)) {
      continue;
    }
    try {
      origin.recognise(set);
    } catch (const error& failure) {
      problems.push_back(fmt::format("data.{}.format: {}", set.name, failure.what()));
    }
  }
}

/// What may stand in a script must not end the line that it stands in.
static void require_lines(job& job, problem_list& problems) {
  for (const option& row : job_options()) {
    if (row.text == text_kind::plain) {
      continue;
    }
    for (const std::string& name : entry_names(job, row.section)) {
      const std::string& text = *std::get<std::string*>(row.find(job, name));
      if (!is_one_line(text)) {
        problems.push_back(fmt::format("{} = {}: holds a control character (a line's end or the like): leave it out",
                                       row.full_name(name), printable(quote_text(text))));
      }
    }
  }
}

job read_options(std::string_view text, const job_origin& origin, std::span<const std::string> overrides,
                 problem_list& problems) {
  job out;
  const parsed_text file = parse_ini(text, origin.name, problems);
  const std::vector<assignment> line = parse_overrides(overrides, problems);
  apply(file, line, out, problems);
  require_lines(out, problems);
  resolve_paths(out, origin);
  resolve_folders(out, origin);
  return out;
}

static job read_job(std::string_view text, const job_origin& origin, std::span<const std::string> overrides,
                    problem_list& problems) {
  job out = read_options(text, origin, overrides, problems);
  resolve_templates(out, origin);
  recognise_formats(out, origin, problems);
  check_job(out, problems);
  return out;
}

void throw_if_any(const problem_list& problems, const std::string& name) {
  if (!problems.empty()) {
    throw error(errc::bad_argument, "{} in {}:\n  {}",
                problems.size() == 1 ? "1 error" : fmt::format("{} errors", problems.size()), name,
                fmt::join(problems, "\n  "));
  }
}

job parse_job(std::string_view text, const job_origin& origin, std::span<const std::string> overrides) {
  problem_list problems;
  job out = read_job(text, origin, overrides, problems);
  throw_if_any(problems, origin.name);
  return out;
}

job_origin origin_of(const std::string& path) {
  const fs::path whole = fs::absolute(path);
  return {.name = path,
          .stem = whole.stem().string(),
          .folder = whole.parent_path().string(),
          .current = fs::current_path().string()};
}

job load_job(const std::string& path, std::span<const std::string> overrides,
             const std::function<void(data_section&)>& recognise) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw error(errc::not_found, "there is no job file \"{}\"{}", path, did_you_mean_file(path));
  }
  const std::string text = read_text_file(path);
  job_origin origin = origin_of(path);
  origin.recognise = recognise;
  problem_list problems;
  job out = read_job(text, origin, overrides, problems);
  check_files(out, problems);
  throw_if_any(problems, path);
  return out;
}

static void check_model(const std::string& key, const std::string& folder, problem_list& problems) {
  std::error_code ignored;
  if (!folder.empty() && !fs::exists(fs::path(folder) / "config.json", ignored)) {
    problems.push_back(fmt::format("{} = {}: {}", key, folder, missing_model(folder)));
  }
}

static void check_file(const std::string& key, const std::string& path, problem_list& problems) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    problems.push_back(fmt::format("{} = {}: it is a folder, and a file is wanted", key, path));
  } else if (!path.empty() && !fs::is_regular_file(path, ignored)) {
    problems.push_back(fmt::format("{} = {}: there is no such file{}", key, path, did_you_mean_file(path)));
  }
}

/// The program of a command: a path, or a name that PATH finds.
static void check_command(const reward_source& source, problem_list& problems) {
  const std::string key = fmt::format("rewards.{}.command", source.name);
  std::error_code ignored;
  if (!fs::is_directory(source.folder, ignored)) {
    problems.push_back(fmt::format("rewards.{}.folder = {}: there is no such folder", source.name, source.folder));
  } else if (const std::string program = command_words(source.command).front();
             find_program(program, source.folder).empty()) {
    problems.push_back(
        fmt::format("{} = {}: there is no program {} that may be run: {}", key, source.command, program,
                    program.find('/') == std::string::npos
                        ? "PATH does not have it; a file beside the job is ./" + program
                        : "paths start at " + source.folder + "; is it there, and executable (chmod +x)?"));
  }
}

/// A run within another would be taken for a part of it, and go with it when that is removed: which is right for a
/// replay of that run alone.
static void check_run_folder(const job& job, problem_list& problems) {
  const std::string& dir = job.run.dir;
  const fs::path replayed = job.has(phase::replay) ? fs::path(job.replay.of) : fs::path();
  std::error_code ignored;
  for (fs::path outer = fs::path(dir).parent_path(); outer.has_relative_path(); outer = outer.parent_path()) {
    const bool is_run = fs::exists(outer / "attempt", ignored) && fs::exists(outer / "ledger.jsonl", ignored);
    if (is_run && !fs::equivalent(outer, replayed, ignored)) {
      problems.push_back(
          fmt::format("run.dir = {}: it lies within another run, {}: name a folder beside that", dir, outer.string()));
      return;
    }
  }
}

/// Files iteration-N.h5.
static bool holds_experience(const std::string& folder) {
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure)) {
    const fs::path& file = entry->path();
    if (file.extension() == ".h5" && file.filename().string().starts_with("iteration-")) {
      return true;
    }
  }
  return false;
}

static void check_stored(const std::string& key, const std::string& path, problem_list& problems) {
  std::error_code ignored;
  if (!path.empty() && !fs::exists(path, ignored)) {
    problems.push_back(fmt::format("{} = {}: there is no such file or folder of experience", key, path));
  }
}

/// What a replay reads beside what the replayed run has stored: models for their shapes, and text for mixture training.
static void check_replay_files(const job& job, problem_list& problems) {
  check_model("model.policy", job.model.policy, problems);
  check_model("model.critic", job.model.critic, problems);
  if (!is_folder(job.replay.of)) {
    problems.push_back(fmt::format("replay.of = {}: there is no such folder", job.replay.of));
  }
  for (const data_section& set : job.data) {
    if (job.ppo.ptx_coef > 0 && serves(set, phase::sft)) {
      check_file(fmt::format("data.{}.path", set.name), set.path, problems);
    }
  }
}

void check_files(const job& job, problem_list& problems) {
  check_run_folder(job, problems);
  if (job.has(phase::replay)) {
    return check_replay_files(job, problems);
  }
  check_model("model.policy", job.model.policy, problems);
  check_model("model.reference", job.model.reference, problems);
  check_model("model.reward", job.model.reward, problems);
  check_model("model.critic", job.model.critic, problems);
  for (const data_section& set : job.data) {
    const std::string key = fmt::format("data.{}.path", set.name);
    if (set.format == data_format::experience) {
      check_stored(key, set.path, problems);
    } else if (holds_experience(set.path)) {
      problems.push_back(fmt::format("{} = {}: it is a folder of stored experience, and format is {}: set format = "
                                     "experience",
                                     key, set.path, to_string(set.format)));
    } else {
      check_file(key, set.path, problems);
    }
  }
  check_reward_files(job, problems);
}

void check_reward_files(const job& job, problem_list& problems) {
  for (const reward_source& source : job.rewards) {
    check_model(fmt::format("rewards.{}.model", source.name), source.model, problems);
    check_file(fmt::format("rewards.{}.lexicon", source.name), source.lexicon, problems);
    const bool elsewhere = !job.place.wrapper.empty();  // the program may be in the ranks' container alone
    if (source.kind == reward_kind::command && !elsewhere && problems.empty()) {
      check_command(source, problems);
    }
  }
}

std::vector<std::string> missing_files(const job& job) {
  problem_list problems;
  check_files(job, problems);
  return problems;
}

}  // namespace troupe::io
