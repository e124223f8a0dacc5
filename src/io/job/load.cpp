#include "base/error.hpp"
#include "base/printable.hpp"
#include "io/chat/chat.hpp"
#include "io/job/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace troupe::io {

namespace fs = std::filesystem;

bool job::has(phase wanted) const {
  return std::find(run.phases.begin(), run.phases.end(), wanted) != run.phases.end();
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

static job read_job(std::string_view text, const job_origin& origin, std::span<const std::string> overrides,
                    problem_list& problems) {
  job out;
  const parsed_text file = parse_ini(text, origin.name, problems);
  const std::vector<assignment> line = parse_overrides(overrides, problems);
  apply(file, line, out, problems);
  require_lines(out, problems);
  resolve_paths(out, origin);
  resolve_templates(out, origin);
  recognise_formats(out, origin, problems);
  check_job(out, problems);
  return out;
}

static void throw_if_any(const problem_list& problems, const std::string& name) {
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

job load_job(const std::string& path, std::span<const std::string> overrides,
             const std::function<void(data_section&)>& recognise) {
  std::ifstream file(path, std::ios::binary);
  std::error_code ignored;
  if (!file || fs::is_directory(path, ignored)) {
    throw error(errc::not_found, "there is no job file \"{}\"", path);
  }
  std::ostringstream text;
  text << file.rdbuf();
  const fs::path whole = fs::absolute(path);
  const job_origin origin{.name = path,
                          .stem = whole.stem().string(),
                          .folder = whole.parent_path().string(),
                          .current = fs::current_path().string(),
                          .recognise = recognise};
  problem_list problems;
  job out = read_job(text.str(), origin, overrides, problems);
  check_files(out, problems);
  throw_if_any(problems, path);
  return out;
}

static void check_model(const std::string& key, const std::string& folder, problem_list& problems) {
  std::error_code ignored;
  if (!folder.empty() && !fs::exists(fs::path(folder) / "config.json", ignored)) {
    problems.push_back(fmt::format("{} = {}: there is no model: no config.json in such a folder", key, folder));
  }
}

static void check_file(const std::string& key, const std::string& path, problem_list& problems) {
  std::error_code ignored;
  if (!path.empty() && !fs::is_regular_file(path, ignored)) {
    problems.push_back(fmt::format("{} = {}: there is no such file", key, path));
  }
}

void check_files(const job& job, problem_list& problems) {
  check_model("model.policy", job.model.policy, problems);
  check_model("model.reference", job.model.reference, problems);
  check_model("model.reward", job.model.reward, problems);
  check_model("model.critic", job.model.critic, problems);
  for (const data_section& set : job.data) {
    check_file(fmt::format("data.{}.path", set.name), set.path, problems);
  }
  for (const reward_source& source : job.rewards) {
    check_model(fmt::format("rewards.{}.model", source.name), source.model, problems);
    check_file(fmt::format("rewards.{}.lexicon", source.name), source.lexicon, problems);
  }
}

}  // namespace troupe::io
