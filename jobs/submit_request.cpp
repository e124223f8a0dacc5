#include "jobs/submit_request.hpp"

#include "base/round_up.hpp"
#include "io/files/mapped_file.hpp"
#include "jobs/arguments.hpp"
#include "jobs/own_options.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iterator>
#include <string_view>

namespace troupe {

namespace {

int64_t take_count(std::vector<std::string>& arguments, const std::string& name, int64_t fallback) {
  return take_number<int64_t>(arguments, name, least::above_zero).value_or(fallback);
}

/// What goes into a line of the script must end there.
void require_word(const std::string& name, const std::string& word) {
  const auto odd = [](unsigned char c) { return c <= ' ' || c == '#' || c == '\'' || c == '"' || c >= 127; };
  if (std::any_of(word.begin(), word.end(), odd)) {
    throw usage_error("{} \"{}\": a word without spaces, quotes and #", name, word);
  }
}

std::string take_word(std::vector<std::string>& arguments, const std::string& name) {
  const std::string word = take_value(arguments, name).value_or("");
  require_word(name, word);
  return word;
}

/// Options that the script has of its own: sbatch would take the last of two,
/// and what troupe reckons with would not be so.
constexpr std::string_view own_options[] = {"--nodes", "--cpus-per-task", "--gpus-per-node", "--mem",
                                            "--time",  "--signal",        "--output"};

std::vector<std::string> take_sbatch_options(std::vector<std::string>& arguments) {
  std::vector<std::string> options = take_values(arguments, "--sbatch");
  for (const std::string& option : options) {
    require_word("--sbatch", option);
    if (!option.starts_with("-") || option.starts_with("--sbatch")) {
      throw usage_error("--sbatch {}: an option of sbatch, as one word: --sbatch --qos=high", option);
    }
    const std::string_view name = std::string_view(option).substr(0, option.find('='));
    if (std::find(std::begin(own_options), std::end(own_options), name) != std::end(own_options)) {
      throw usage_error("--sbatch {}: the script has its own {}; `troupe submit --help` says what sets it", option,
                        name);
    }
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
  const std::optional<std::string> path = take_value(arguments, "--setup");
  return path ? from_user([&] { return io::read_text_file(*path); }) : "";
}

}  // namespace

submit_request take_request(std::vector<std::string>& arguments) {
  submit_request request;
  request.sbatch = take_sbatch_options(arguments);  // first: their values look like options of ours
  request.nodes = take_count(arguments, "--nodes", 1);
  request.ranks_per_node = take_count(arguments, "--ranks-per-node", 0);
  request.gpus_per_node = take_count(arguments, "--gpus-per-node", 0);
  request.cpus_per_rank = take_count(arguments, "--cpus-per-rank", 0);
  request.memory_gib = take_count(arguments, "--mem", 0);
  request.time = take_word(arguments, "--time");
  request.partition = take_word(arguments, "--partition");
  request.account = take_word(arguments, "--account");
  request.gflops = take_number<double>(arguments, "--gflops", least::above_zero).value_or(0);
  request.signal_lead_s = take_count(arguments, "--signal-lead", request.signal_lead_s);
  request.setup = take_setup(arguments);
  refuse_unknown(arguments);
  return request;
}

void require_cards(const io::job& job, const submit_request& request) {
  const int64_t cards = request.gpus_per_node;
  if (job.place.device != io::device_choice::cuda) {
    if (cards > 0) {
      throw usage_error("--gpus-per-node {}: this job does not run on cards: give --place.device cuda too", cards);
    }
    return;
  }
  if (cards == 0) {
    throw usage_error("place.device = cuda: say how many cards of a node to ask Slurm for, each of which gets a rank: "
                      "--gpus-per-node N");
  }
  if (request.ranks_per_node > cards) {
    throw usage_error("--ranks-per-node {}: each rank takes a card of its own, and --gpus-per-node asks for {}",
                      request.ranks_per_node, cards);
  }
  if (const int64_t ranks = ranks_for(job, request); ranks > request.nodes * cards) {
    throw usage_error("place.ranks = {}: each rank takes a card of its own, and --nodes {} of --gpus-per-node {} have "
                      "{}",
                      ranks, request.nodes, cards, request.nodes * cards);
  }
}

int64_t ranks_for(const io::job& job, const submit_request& request) {
  return request.ranks_per_node > 0 ? request.nodes * request.ranks_per_node
         : job.place.ranks > 1      ? job.place.ranks
                                    : request.nodes * std::max<int64_t>(1, request.gpus_per_node);
}

int64_t least_nodes_for(const io::job& job, const submit_request& request) {
  if (job.place.min_nodes > 0) {
    return job.place.min_nodes;
  }
  const int64_t but_one = std::max<int64_t>(1, request.nodes - 1);
  if (request.gpus_per_node == 0 || job.place.shrink) {
    return but_one;
  }
  return std::max(but_one, divide_up(ranks_for(job, request), request.gpus_per_node));
}

std::vector<std::string> run_arguments(std::vector<std::string> arguments, const io::job& job,
                                       const submit_request& request) {
  arguments[0] = std::filesystem::absolute(arguments[0]).string();
  set_value(arguments, "--place.ranks", std::to_string(ranks_for(job, request)));
  set_value(arguments, "--place.min-nodes", std::to_string(least_nodes_for(job, request)));
  if (job.place.device == io::device_choice::cuda) {
    set_value(arguments, "--place.device", "cuda");
  }
  return arguments;
}

std::string job_name(const std::string& job_file) {
  std::string name = std::filesystem::path(job_file).stem().string();
  const auto odd = [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_' && c != '.'; };
  std::replace_if(name.begin(), name.end(), odd, '-');
  return name;
}

}  // namespace troupe
