// troupe experience PATH: lists, filters, shows, compares, draws and exports stored rollouts.
#include "base/printable.hpp"
#include "io/experience/exchange.hpp"
#include "io/experience/experience_set.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/experience_diff.hpp"
#include "jobs/experience_list.hpp"
#include "jobs/experience_show.hpp"
#include "jobs/same_tokenizer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>

namespace troupe {

namespace {

namespace po = boost::program_options;

constexpr const char* usage =
    "troupe experience PATH [options]\n\n"
    "Stored rollouts: PATH is a run, a folder of iteration-N.h5, or one file. Without further options, a table with\n"
    "a line for each iteration: counts, mean and spread of the reward (weighted sum of its sources), answer length,\n"
    "share of finished answers, KL from the reference in nats per sequence, and how many answers have no score.\n"
    "Filters go with everything else.\n";

using texts = std::vector<std::string>;

template <class T> std::optional<T> optional_of(const po::variables_map& values, const char* name) {
  return values.contains(name) ? std::optional<T>(values[name].as<T>()) : std::nullopt;
}

/// Errors  usage_error: no number (NaN passes no comparison).
std::optional<double> finite_of(const po::variables_map& values, const char* name) {
  const auto value = optional_of<double>(values, name);
  if (value && !std::isfinite(*value)) {
    throw usage_error("--{} {}: give it a number", name, *value);
  }
  return value;
}

/// Errors  usage_error: below 0.
std::optional<int64_t> count_of(const po::variables_map& values, const char* name) {
  const auto value = optional_of<int64_t>(values, name);
  if (value && *value < 0) {
    throw usage_error("--{} {}: give it a number from 0 on", name, *value);
  }
  return value;
}

/// "7" or "3-9".
void read_range(const std::string& text, experience_request& request) {
  const auto number = [&](std::string_view part) {
    int64_t value = -1;
    const auto [stop, failure] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (failure != std::errc() || stop != part.data() + part.size() || value < 0) {
      throw usage_error("--iteration {}: give an iteration, as 7, or a range, as 3-9", text);
    }
    return value;
  };
  const std::string_view whole = text;
  const size_t dash = whole.find('-');
  request.first = number(whole.substr(0, dash));
  request.last = dash == std::string_view::npos ? request.first : number(whole.substr(dash + 1));
  if (*request.last < *request.first) {
    throw usage_error("--iteration {}: the first comes after the last", text);
  }
}

po::options_description filter_options() {
  po::options_description options("Filters");
  options.add_options()("iteration", po::value<std::string>(), "N or FIRST-LAST")(
      "source", po::value<std::vector<std::string>>(), "prompts of this data set (repeatable)")(
      "reward-min", po::value<double>(), "lowest reward")("reward-max", po::value<double>(), "highest reward")(
      "length-min", po::value<int64_t>(), "fewest answer tokens")("length-max", po::value<int64_t>(),
                                                                  "most answer tokens")(
      "finished", po::bool_switch(), "answers that came to an end")("unfinished", po::bool_switch(),
                                                                    "answers that were cut for their length")(
      "unscorable", po::bool_switch(), "answers whose reward could not be had");
  return options;
}

po::options_description action_options() {
  po::options_description options("What to do");
  options.add_options()("show", po::value<int64_t>(),
                        "print so many prompts with their answers side by side, each with its rewards")(
      "every-token", po::bool_switch(), "with --show: the numbers of each token")(
      "plot", po::bool_switch(), "draw reward, length and KL over the iterations")(
      "diff", po::value<std::string>(),
      "compare with another run, folder or file, sequence by sequence to the bit; with --show, print so many that "
      "differ. Exit status 1 where anything differs")("export", po::value<std::string>(),
                                                      ("JSON lines to stdout: " + io::exchange_format_words()).c_str())(
      "threshold", po::value<double>(), "with --export trl-unpaired: rewards from here on are good")(
      "margin", po::value<double>()->default_value(0),
      "with --export trl-preference: the best and the worst of a group differ by more")(
      "tokenizer", po::value<std::string>()->value_name("DIR"),
      "model folder whose tokenizer spells out tokens; by default that of the run's policy")(
      "json", po::bool_switch(), "one JSON object on one line, for the list and --diff");
  return options;
}

experience_request request_of(const std::string& path, const po::variables_map& values) {
  experience_request request{.files = io::find_experience(path)};
  if (values.contains("iteration")) {
    read_range(values["iteration"].as<std::string>(), request);
  }
  io::experience_filter& filter = request.filter;
  filter.sources = optional_of<texts>(values, "source").value_or(texts());
  filter.reward_min = finite_of(values, "reward-min");
  filter.reward_max = finite_of(values, "reward-max");
  filter.length_min = count_of(values, "length-min");
  filter.length_max = count_of(values, "length-max");
  const bool finished = values["finished"].as<bool>();
  const bool unfinished = values["unfinished"].as<bool>();
  if (finished && unfinished) {
    throw usage_error("--finished with --unfinished leaves nothing: give one of the two");
  }
  if (finished || unfinished) {
    filter.finished = finished;
  }
  if (values["unscorable"].as<bool>()) {
    filter.scorable = false;
  }
  return request;
}

/// That of --tokenizer, else of the policy that a run started from, where it is still there; else null.
std::unique_ptr<const io::tokenizer> tokenizer_for(const std::string& path, const po::variables_map& values) {
  if (values.contains("tokenizer")) {
    return io::load_tokenizer(values["tokenizer"].as<std::string>());
  }
  try {
    return io::load_tokenizer(io::run_directory::open(path).recorded_job().model.policy);
  } catch (const error&) {  // no run, or the folder has gone: tokens are shown by their ids
    return nullptr;
  }
}

/// That there are files of the iterations that are asked for.
void require_some(const std::vector<listed_file>& files, const experience_request& request) {
  if (files.empty()) {
    const bool one = request.first == request.last;
    throw error(errc::not_found, "no experience of iteration {}: without --iteration the list shows which there are",
                one ? fmt::format("{}", *request.first) : fmt::format("{}-{}", *request.first, *request.last));
  }
}

/// Where nothing has passed: that it could have, as the data sets that are asked for are there.
void require_sources(const experience_request& request) {
  if (request.filter.sources.empty()) {
    return;
  }
  std::set<std::string> known;
  for (const listed_file& file : files_asked_for(request)) {
    const io::experience e = io::read_experience(file.path);
    known.insert(e.source_names.begin(), e.source_names.end());
  }
  for (const std::string& name : request.filter.sources) {
    if (!known.contains(name)) {
      throw error(errc::not_found, "--source {}: no prompt is of this data set; there are those of {}", name,
                  fmt::join(known, ", "));
    }
  }
}

int show(const experience_request& request, const show_settings& settings, int64_t left) {
  const std::vector<listed_file> files = files_asked_for(request);
  require_some(files, request);
  bool any = false;
  for (const listed_file& file : files) {
    if (left <= 0) {
      break;
    }
    const io::experience e = read_passing(file.path, request.filter);
    if (settings.tokens != nullptr) {
      require_same_tokenizer(e, file.path, *settings.tokens, settings.tokens->place());
    }
    for (const auto& group : groups_of(e)) {
      any = true;
      if (left-- > 0) {
        std::cout << group_text(e, group, settings) << '\n';
      }
    }
  }
  if (!any) {
    require_sources(request);
  }
  return exit_ok;
}

int diff(const experience_request& here, const experience_request& there, const show_settings& settings, int64_t left,
         bool as_json) {
  std::string shown;
  const experience_difference difference = compare(here, there, left, settings, shown);
  if (difference.empty()) {
    throw error(errc::not_found, "nothing to compare: neither side has an answer of what --iteration and filters ask");
  }
  std::cout << (as_json ? difference_json(difference) + "\n" : shown + difference_text(difference));
  return difference.same() ? exit_ok : exit_failed;
}

int export_all(const experience_request& request, const io::export_settings& settings) {
  io::export_report report;
  const std::vector<listed_file> files = files_asked_for(request);
  require_some(files, request);
  bool any = false;
  for (const listed_file& file : files) {
    const io::experience e = read_passing(file.path, request.filter);
    any = any || e.sequences() > 0;
    io::export_lines(e, settings, report, [](const std::string& line) { std::cout << line; });
    if (!std::cout) {
      throw error(errc::io_failure, "the output cannot be written");
    }
  }
  if (!any) {
    require_sources(request);
  }
  std::cerr << fmt::format("{} lines, {} answers left out", report.lines, report.left_out);
  if (settings.format == io::exchange_format::trl_preference && report.lines > 0) {
    const auto lines = static_cast<double>(report.lines);
    std::cerr << fmt::format("; mean length chosen {:.1f}, rejected {:.1f} tokens",
                             static_cast<double>(report.chosen_tokens) / lines,
                             static_cast<double>(report.rejected_tokens) / lines);
  }
  std::cerr << '\n';
  return exit_ok;
}

int64_t terminal_width() {
  const char* columns = std::getenv("COLUMNS");
  const int64_t width = columns != nullptr ? std::atoll(columns) : 0;
  return width >= 40 && width <= 1000 ? width : 100;
}

int list(const experience_request& request, bool plot, bool as_json) {
  std::vector<std::string> problems;
  const std::vector<listed_file> files = list_experience(request, &problems);
  if (problems.empty()) {
    require_some(files, request);
  }
  if (std::all_of(files.begin(), files.end(), [](const listed_file& file) { return file.summary.sequences == 0; })) {
    require_sources(request);
  }
  if (as_json) {
    std::cout << list_json(files) << '\n';
  } else {
    std::cout << (plot ? curves_text(files) : list_text(files));
  }
  for (const std::string& problem : problems) {
    std::cerr << "troupe experience: " << printable(problem) << '\n';
  }
  return problems.empty() ? exit_ok : exit_failed;
}

}  // namespace

int experience_command(int argc, char** argv) {
  po::options_description options;
  options.add(action_options()).add(filter_options());
  po::variables_map values;
  if (!parse_arguments(argc, argv, usage, options, {"PATH"}, values)) {
    return exit_ok;
  }
  const std::string path = required_argument(values, "PATH");
  const bool as_json = values["json"].as<bool>();
  const experience_request request = request_of(path, values);
  const int64_t shown = count_of(values, "show").value_or(0);
  const std::optional<double> threshold = finite_of(values, "threshold");
  const double margin = finite_of(values, "margin").value_or(0);
  if (margin < 0) {
    throw usage_error("--margin {}: give it a number from 0 on", margin);
  }
  if (values.contains("export")) {
    const std::string word = values["export"].as<std::string>();
    return export_all(request, {.format = from_user([&] { return io::exchange_format_named(word); }),
                                .threshold = threshold,
                                .margin = margin});
  }
  const std::unique_ptr<const io::tokenizer> tokens = shown > 0 ? tokenizer_for(path, values) : nullptr;
  const show_settings settings{
      .tokens = tokens.get(), .every_token = values["every-token"].as<bool>(), .width = terminal_width()};
  if (values.contains("diff")) {
    return diff(request, request_of(values["diff"].as<std::string>(), values), settings, shown, as_json);
  }
  return shown > 0 ? show(request, settings, shown) : list(request, values["plot"].as<bool>(), as_json);
}

}  // namespace troupe
