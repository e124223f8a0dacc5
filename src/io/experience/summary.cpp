#include "io/experience/summary.hpp"

#include "base/error.hpp"
#include "io/experience/user_block.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_set>
#include <vector>

namespace troupe::io {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct spread {
  double mean = nan, deviation = nan;
  int64_t missing = 0;
};

spread scores_of(const experience& e) {
  std::vector<double> scores;
  for (int64_t b = 0; b < e.sequences(); ++b) {
    const auto score = static_cast<double>(e.score(b));
    if (std::isfinite(score)) {
      scores.push_back(score);
    }
  }
  spread out{.missing = e.sequences() - static_cast<int64_t>(scores.size())};
  if (scores.empty() || e.reward_names.empty()) {
    return {.missing = e.reward_names.empty() ? 0 : out.missing};
  }
  const auto n = static_cast<double>(scores.size());
  double sum = 0;
  for (const double score : scores) {
    sum += score;
  }
  out.mean = sum / n;
  double squares = 0;
  for (const double score : scores) {
    squares += (score - out.mean) * (score - out.mean);
  }
  out.deviation = std::sqrt(squares / n);
  return out;
}

double kl_of(const experience& e) {
  if (e.sequences() == 0 || (e.answer_tokens() > 0 && (e.logprob_old_A.empty() || e.logprob_ref_A.empty()))) {
    return nan;
  }
  double sum = 0;
  for (size_t a = 0; a < e.logprob_old_A.size(); ++a) {
    sum += static_cast<double>(e.logprob_old_A[a]) - static_cast<double>(e.logprob_ref_A[a]);
  }
  return sum / static_cast<double>(e.sequences());
}

/// The fields in the order of the lines. `S` is experience_summary, const or not.
template <class S, class Each> void for_each_field(S& s, const Each& each) {
  each("iteration", s.iteration);
  each("policy version", s.policy_version);
  each("sequences", s.sequences);
  each("groups", s.groups);
  each("prompt tokens", s.prompt_tokens);
  each("answer tokens", s.answer_tokens);
  each("finished", s.finished);
  each("unscorable", s.unscorable);
  each("reward mean", s.reward_mean);
  each("reward std", s.reward_std);
  each("kl per sequence", s.kl_per_sequence_nats);
  each("complete", s.complete);
  each("behaviour", s.behaviour);
}

std::string value_text(int64_t value) { return std::to_string(value); }
std::string value_text(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "none"; }
std::string value_text(bool value) { return value ? "yes" : "no"; }
std::string value_text(behaviour_source value) { return std::string(to_string(value)); }

bool read_value(std::string_view text, int64_t& value) {
  const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && stop == text.data() + text.size();
}

bool read_value(std::string_view text, double& value) {
  value = nan;
  if (text == "none") {
    return true;
  }
  const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && stop == text.data() + text.size();
}

bool read_value(std::string_view text, bool& value) {
  value = text == "yes";
  return value || text == "no";
}

bool read_value(std::string_view text, behaviour_source& value) {
  const auto known = behaviour_named(text);
  value = known.value_or(value);
  return known.has_value();
}

}  // namespace

double experience_summary::length_mean() const {
  return sequences > 0 ? static_cast<double>(answer_tokens) / static_cast<double>(sequences) : nan;
}

experience_summary summary_of(const experience& e) {
  const spread scores = scores_of(e);
  const std::unordered_set<uint64_t> groups(e.group_B.begin(), e.group_B.end());
  return {.iteration = e.iteration,
          .policy_version = e.policy_version,
          .sequences = e.sequences(),
          .groups = static_cast<int64_t>(groups.size()),
          .prompt_tokens = static_cast<int64_t>(e.token_N.size()) - e.answer_tokens(),
          .answer_tokens = e.answer_tokens(),
          .finished = std::count(e.finished_B.begin(), e.finished_B.end(), uint8_t{1}),
          .unscorable = scores.missing,
          .reward_mean = scores.mean,
          .reward_std = scores.deviation,
          .kl_per_sequence_nats = kl_of(e),
          .complete = e.complete,
          .behaviour = e.behaviour};
}

std::string summary_text(const experience_summary& summary) {
  std::string text;
  for_each_field(
      summary, [&](const char* name, const auto& value) { text += fmt::format("{}: {}\n", name, value_text(value)); });
  return text;
}

experience_summary parse_summary(std::string_view text, const std::string& where) {
  experience_summary summary;
  for_each_field(summary, [&](const char* name, auto& value) {
    const std::string label = fmt::format("{}: ", name);
    const size_t end = text.find('\n');
    if (end == std::string_view::npos || !text.starts_with(label) ||
        !read_value(text.substr(label.size(), end - label.size()), value)) {
      throw error(errc::bad_file, "{}: the summary at its start has no good \"{}\"", where, name);
    }
    text.remove_prefix(end + 1);
  });
  return summary;
}

experience_summary read_summary(const std::filesystem::path& path) {
  if (const auto text = read_block_summary(path)) {
    return parse_summary(*text, path.string());
  }
  return summary_of(read_experience_unchecked(path));
}

}  // namespace troupe::io
