#include "jobs/submit_request.hpp"

#include "io/files/mapped_file.hpp"
#include "jobs/arguments.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <utility>

namespace troupe {

namespace {

/// Takes `--name value` or `--name=value` out of the arguments.
/// Errors  usage_error: no value.
std::string take(std::vector<std::string>& arguments, const std::string& name) {
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    if (*argument == name) {
      if (argument + 1 == arguments.end() || (argument + 1)->empty()) {
        throw usage_error("{} needs a value", name);
      }
      std::string value = *(argument + 1);
      arguments.erase(argument, argument + 2);
      return value;
    }
    if (argument->starts_with(name + "=")) {
      std::string value = argument->substr(name.size() + 1);
      arguments.erase(argument);
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
  for (std::string option = take_word(arguments, "--sbatch"); !option.empty();
       option = take_word(arguments, "--sbatch")) {
    if (!option.starts_with("-") || option.starts_with("--sbatch")) {
      throw usage_error("--sbatch {}: an option of sbatch, as one word: --sbatch --qos=high", option);
    }
    const std::string_view name = std::string_view(option).substr(0, option.find('='));
    if (std::find(std::begin(own_options), std::end(own_options), name) != std::end(own_options)) {
      throw usage_error("--sbatch {}: the script has its own {}; `troupe submit --help` says what sets it", option,
                        name);
    }
    options.push_back(std::move(option));
  }
  return options;
}

/// What is neither an option of this command nor of a job, most likely sbatch's own.
/// Errors  usage_error.
void refuse_unknown(const std::vector<std::string>& arguments) {
  for (const std::string& option : arguments) {
    const std::string name = option.substr(0, option.find('='));
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

}  // namespace

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

int64_t ranks_for(const io::job& job, const submit_request& request) {
  return request.ranks_per_node > 0 ? request.nodes * request.ranks_per_node
         : job.place.ranks > 1      ? job.place.ranks
                                    : request.nodes;
}

int64_t least_nodes_for(const io::job& job, const submit_request& request) {
  return job.place.min_nodes > 0 ? job.place.min_nodes : std::max<int64_t>(1, request.nodes - 1);
}

std::vector<std::string> run_arguments(std::vector<std::string> arguments, const io::job& job,
                                       const submit_request& request) {
  arguments[0] = std::filesystem::absolute(arguments[0]).string();
  take(arguments, "--place.ranks");
  take(arguments, "--place.min-nodes");
  arguments.insert(arguments.end(), {"--place.ranks", std::to_string(ranks_for(job, request)), "--place.min-nodes",
                                     std::to_string(least_nodes_for(job, request))});
  return arguments;
}

std::string job_name(const std::string& job_file) {
  std::string name = std::filesystem::path(job_file).stem().string();
  const auto odd = [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_' && c != '.'; };
  std::replace_if(name.begin(), name.end(), odd, '-');
  return name;
}

}  // namespace troupe
