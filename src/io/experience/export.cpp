#include "base/error.hpp"
#include "io/experience/capabilities.hpp"
#include "io/experience/exchange.hpp"
#include "io/experience/groups.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

namespace troupe::io {
namespace {

/// An import's first source, "reward", is the sum that it came with.
bool brings_its_sum(const experience& e) {
  if (e.reward_names.empty() || e.reward_names[0] != "reward" || e.reward_weight_S.empty()) {
    return false;
  }
  return e.reward_weight_S[0] == 1 &&
         std::all_of(e.reward_weight_S.begin() + 1, e.reward_weight_S.end(), [](double weight) { return weight == 0; });
}

class exporter {
public:
  exporter(const experience& e, const export_settings& settings, export_report& report,
           const std::function<void(const std::string&)>& out)
      : e_(e), settings_(settings), report_(report), out_(out), first_source_(brings_its_sum(e) ? 1 : 0) {}

  void run() {
    if (settings_.format != exchange_format::troupe && settings_.format != exchange_format::open_instruct) {
      require(&capabilities::texts);
    }
    switch (settings_.format) {
    case exchange_format::troupe:
      return each(&exporter::own_line);
    case exchange_format::verl:
      return each(&exporter::verl_line);
    case exchange_format::open_instruct:
      return each(&exporter::open_instruct_line);
    case exchange_format::trl_prompt_completion:
      return each(&exporter::completion_line);
    case exchange_format::trl_preference:
      return pairs();
    case exchange_format::trl_unpaired:
      return labelled();
    }
  }

private:
  void require(bool capabilities::*need) const {
    require_served(e_, need, fmt::format("an export as {}", to_string(settings_.format)),
                   fmt::format("iteration {}", e_.iteration));
  }

  void write(const json_line& line) {
    ++report_.lines;
    out_(json_line_text(line) + "\n");
  }

  void each(json_line (exporter::*line)(int64_t)) {
    for (int64_t b = 0; b < e_.sequences(); ++b) {
      write((this->*line)(b));
    }
  }

  const std::string& prompt(int64_t b) const { return e_.prompt_text_B[static_cast<size_t>(b)]; }
  const std::string& answer(int64_t b) const { return e_.answer_text_B[static_cast<size_t>(b)]; }
  /// Null: none.
  json_line label(int64_t b) const {
    const bool has = !e_.label_text_B.empty() && !e_.label_text_B[static_cast<size_t>(b)].empty();
    return has ? json_line(e_.label_text_B[static_cast<size_t>(b)]) : json_line();
  }
  const std::string& source(int64_t b) const { return e_.source_names.at(e_.source_B[static_cast<size_t>(b)]); }
  const char* finish(int64_t b) const { return e_.finished_B[static_cast<size_t>(b)] != 0 ? "stop" : "length"; }
  int64_t tokens(int64_t b) const { return static_cast<int64_t>(e_.answer_tokens(b).size()); }

  static json_line numbers(std::span<const float> values) {
    json_line array = json_line::array();
    for (const float value : values) {
      array.push_back(shortest_float(value));
    }
    return array;
  }

  /// Null: unscorable, or nobody has scored.
  json_line score(int64_t b) const { return e_.reward_names.empty() ? json_line() : shortest_float(e_.score(b)); }

  /// Adds the raw rewards by source.
  void add_sources(json_line& line, int64_t b) const {
    const size_t sources = e_.reward_names.size();
    for (size_t s = first_source_; s < sources; ++s) {
      line[e_.reward_names[s]] = shortest_float(e_.reward_raw_BS[static_cast<size_t>(b) * sources + s]);
    }
  }

  json_line own_line(int64_t b) {
    json_line line = json_line::object();
    if (!e_.prompt_text_B.empty()) {
      line["prompt"] = prompt(b);
      line["answer"] = answer(b);
    }
    line["prompt_tokens"] = e_.prompt_tokens(b);
    line["answer_tokens"] = e_.answer_tokens(b);
    add_behaviour(line, b);
    if (!e_.reward_names.empty()) {
      line["reward"] = score(b);
    }
    json_line sources = json_line::object();
    add_sources(sources, b);
    if (!sources.empty()) {
      line["rewards"] = std::move(sources);
    }
    if (json_line known = label(b); !known.is_null()) {
      line["label"] = std::move(known);
    }
    add_place(line, b);
    return line;
  }

  void add_behaviour(json_line& line, int64_t b) const {
    if (e_.behaviour == behaviour_source::unknown) {
      return;
    }
    line["logprobs"] = numbers(e_.of_answer(e_.logprob_old_A, b));
    if (e_.behaviour == behaviour_source::scored) {
      line["logprobs_of"] = e_.behaviour_digest;
    }
    if (e_.temperature != 1) {
      line["temperature"] = e_.temperature;
    }
  }

  void add_place(json_line& line, int64_t b) {
    const uint64_t group = e_.group_B[static_cast<size_t>(b)];
    line["group"] = group;
    line["sample"] = seen_[group]++;
    line["step"] = e_.iteration;
    line["policy_version"] = e_.policy_version;
    line["finish"] = finish(b);
    line["source"] = source(b);
    if (!e_.tokenizer_digest.empty()) {
      line["tokenizer"] = e_.tokenizer_digest;
    }
  }

  json_line verl_line(int64_t b) {
    json_line line = {{"input", prompt(b)}, {"output", answer(b)}, {"gts", label(b)}, {"score", score(b)}};
    line["step"] = e_.iteration;
    json_line sources = json_line::object();
    add_sources(sources, b);
    for (const auto& [name, value] : sources.items()) {
      std::string free = name;
      while (line.contains(free)) {
        free.insert(0, "reward/");
      }
      line[free] = value;
    }
    return line;
  }

  json_line open_instruct_line(int64_t b) {
    json_line line = json_line::object();
    line["step"] = e_.iteration;
    line["sample_idx"] = b;
    line["prompt_idx"] = e_.group_B[static_cast<size_t>(b)];
    line["prompt_tokens"] = e_.prompt_tokens(b);
    line["response_tokens"] = e_.answer_tokens(b);
    line["reward"] = score(b);
    line["advantage"] = advantage(b);
    line["finish_reason"] = finish(b);
    line["dataset"] = source(b);
    line["ground_truth"] = nullptr;
    line["request_info"] = nullptr;
    line["logprobs"] =
        e_.behaviour == behaviour_source::unknown ? json_line() : numbers(e_.of_answer(e_.logprob_old_A, b));
    return line;
  }

  /// One for the whole answer: the mean of its tokens'. Null: none has any, or it has no token.
  json_line advantage(int64_t b) const {
    const auto of_tokens = e_.of_answer(e_.advantage_A, b);
    if (of_tokens.empty()) {
      return nullptr;
    }
    const double sum = std::accumulate(of_tokens.begin(), of_tokens.end(), 0.0);
    return shortest_float(static_cast<float>(sum / static_cast<double>(of_tokens.size())));
  }

  json_line completion_line(int64_t b) { return {{"prompt", prompt(b)}, {"completion", answer(b)}}; }

  void labelled() {
    require(&capabilities::rewards);
    const double threshold = settings_.threshold.value_or(0.5);
    for (int64_t b = 0; b < e_.sequences(); ++b) {
      const float score = e_.score(b);
      if (std::isnan(score)) {
        ++report_.left_out;
        continue;
      }
      if (!settings_.threshold && score != 0 && score != 1) {
        throw error(errc::bad_argument,
                    "iteration {} has the reward {}: say by --threshold from which reward on an answer is good",
                    e_.iteration, score);
      }
      json_line line = completion_line(b);
      line["label"] = static_cast<double>(score) >= threshold;
      write(line);
    }
  }

  /// The best and the worst of each group.
  void pairs() {
    require(&capabilities::groups);
    std::vector<float> score_B;
    for (int64_t b = 0; b < e_.sequences(); ++b) {
      score_B.push_back(e_.score(b));
    }
    report_.left_out += e_.sequences();
    for (const auto& [chosen, rejected] :
         choose_pairs({.group_M = e_.group_B, .score_M = score_B}, {.margin = settings_.margin})) {
      write({{"prompt", prompt(chosen)}, {"chosen", answer(chosen)}, {"rejected", answer(rejected)}});
      report_.left_out -= 2;
      report_.chosen_tokens += tokens(chosen);
      report_.rejected_tokens += tokens(rejected);
    }
  }

  const experience& e_;
  const export_settings& settings_;
  export_report& report_;
  const std::function<void(const std::string&)>& out_;
  size_t first_source_;
  std::unordered_map<uint64_t, int64_t> seen_;  ///< samples of a group so far
};

}  // namespace

void export_lines(const experience& e, const export_settings& settings, export_report& report,
                  const std::function<void(const std::string& line)>& out) {
  exporter(e, settings, report, out).run();
}

}  // namespace troupe::io
