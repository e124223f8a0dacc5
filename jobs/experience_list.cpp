#include "jobs/experience_list.hpp"

#include "base/error.hpp"
#include "io/json/jsonl_filter.hpp"
#include "jobs/chart.hpp"

#include <fmt/format.h>

#include <cmath>

namespace troupe {

namespace {

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : std::nan("");
}

std::string number(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

bool asked_for(int64_t iteration, const experience_request& request) {
  return iteration >= request.first.value_or(iteration) && iteration <= request.last.value_or(iteration);
}

/// By its name where that tells, so that others need not be opened.
bool may_be_asked_for(const std::filesystem::path& file, const experience_request& request) {
  const auto iteration = io::iteration_of(file);
  return !iteration || asked_for(*iteration, request);
}

io::experience_summary summary_of_passing(const std::filesystem::path& file, const io::experience_filter& filter) {
  return filter.passes_all() ? io::read_summary(file) : io::summary_of(read_passing(file, filter));
}

io::json_line entry(const listed_file& file) {
  const io::experience_summary& s = file.summary;
  const auto finite = [](double value) { return std::isfinite(value) ? io::json_line(value) : io::json_line(); };
  return {{"path", file.path.string()},
          {"iteration", s.iteration},
          {"policy_version", s.policy_version},
          {"sequences", s.sequences},
          {"groups", s.groups},
          {"reward_mean", finite(s.reward_mean)},
          {"reward_std", finite(s.reward_std)},
          {"unscorable", s.unscorable},
          {"length_mean", finite(s.length_mean())},
          {"finished_share", finite(share(s.finished, s.sequences))},
          {"kl_per_sequence_nats", finite(s.kl_per_sequence_nats)},
          {"prompt_tokens", s.prompt_tokens},
          {"answer_tokens", s.answer_tokens},
          {"behaviour", std::string(to_string(s.behaviour))},
          {"complete", s.complete}};
}

}  // namespace

io::experience read_passing(const std::filesystem::path& file, const io::experience_filter& filter) {
  io::experience e = io::read_experience(file);
  return filter.passes_all() ? e : io::take(e, io::passing(e, filter));
}

std::vector<listed_file> list_experience(const experience_request& request, std::vector<std::string>* problems) {
  std::vector<listed_file> listed;
  for (const std::filesystem::path& file : request.files) {
    if (!may_be_asked_for(file, request)) {
      continue;
    }
    try {
      listed_file one{file, summary_of_passing(file, request.filter)};
      if (asked_for(one.summary.iteration, request)) {
        listed.push_back(std::move(one));
      }
    } catch (const error& failure) {
      if (problems == nullptr) {
        throw;
      }
      problems->emplace_back(failure.what());
    }
  }
  return listed;
}

std::vector<listed_file> files_asked_for(experience_request request) {
  request.filter = {};
  return list_experience(request);
}

std::string list_text(const std::vector<listed_file>& files) {
  std::string text =
      fmt::format("{:>9} {:>8} {:>9} {:>7} {:>9} {:>8} {:>8} {:>9} {:>9} {:>10}  {}\n", "iteration", "version",
                  "sequences", "groups", "reward", "std", "length", "finished", "KL", "unscorable", "log-probs");
  for (const listed_file& file : files) {
    const io::experience_summary& s = file.summary;
    text += fmt::format("{:>9} {:>8} {:>9} {:>7} {:>9} {:>8} {:>8} {:>9} {:>9} {:>10}  {}{}\n", s.iteration,
                        s.policy_version, s.sequences, s.groups, number(s.reward_mean, 4), number(s.reward_std, 4),
                        number(s.length_mean(), 1), number(share(s.finished, s.sequences), 3),
                        number(s.kl_per_sequence_nats, 4), s.unscorable, to_string(s.behaviour),
                        s.complete ? "" : ", not complete");
  }
  return text;
}

std::string list_json(const std::vector<listed_file>& files) {
  io::json_line iterations = io::json_line::array();
  for (const listed_file& file : files) {
    iterations.push_back(entry(file));
  }
  return io::json_line_text({{"iterations", std::move(iterations)}});
}

std::string curves_text(const std::vector<listed_file>& files) {
  if (files.empty()) {
    return "";
  }
  std::vector<int64_t> iteration;
  std::vector<double> reward;
  std::vector<double> length;
  std::vector<double> kl;
  for (const listed_file& file : files) {
    iteration.push_back(file.summary.iteration);
    reward.push_back(file.summary.reward_mean);
    length.push_back(file.summary.length_mean());
    kl.push_back(file.summary.kl_per_sequence_nats);
  }
  return chart("reward, mean", iteration, reward) + chart("length, tokens", iteration, length) +
         chart("KL from the reference, nats per sequence", iteration, kl);
}

}  // namespace troupe
