#include "jobs/report.hpp"

#include "io/experience/experience.hpp"
#include "io/run/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace {

constexpr size_t examples_shown = 3;

/// First and last value of a metric within a phase.
struct before_after {
  std::optional<double> first, last;
};

before_after find(const std::vector<io::metrics_record>& records, const std::string& phase, const std::string& name) {
  before_after found;
  for (const io::metrics_record& record : records) {
    for (const auto& [key, value] : record.values) {
      if (record.phase == phase && key == name) {
        found.first = found.first.value_or(value);
        found.last = value;
      }
    }
  }
  return found;
}

std::string metric_line(const char* label, const before_after& values) {
  return values.first ? fmt::format("  {:<34} {:.3f} -> {:.3f}\n", label, *values.first, *values.last) : "";
}

/// Each sample's reward by one source, in the order of sequence ids.
std::vector<double> rewards_by(const io::experience& e, size_t source) {
  const size_t sources = e.reward_names.size();
  std::vector<double> rewards;
  rewards.reserve(e.sequence_id_B.size());
  for (size_t b = 0; b < e.sequence_id_B.size(); ++b) {
    rewards.push_back(static_cast<double>(e.reward_raw_BS[b * sources + source]));
  }
  return rewards;
}

struct mean_and_deviation {
  double mean = 0, deviation = 0;
};

/// Of those that could be had.
mean_and_deviation of(const std::vector<double>& all) {
  std::vector<double> values;
  std::copy_if(all.begin(), all.end(), std::back_inserter(values), [](double value) { return std::isfinite(value); });
  mean_and_deviation out;
  for (const double value : values) {
    out.mean += value / static_cast<double>(values.size());
  }
  for (const double value : values) {
    out.deviation += (value - out.mean) * (value - out.mean);
  }
  out.deviation = std::sqrt(out.deviation / std::max(1.0, static_cast<double>(values.size()) - 1));
  return out;
}

/// The gain of each prompt: the mean over its samples after, minus before. The same prompts were drawn both times.
std::vector<double> gains(const io::experience& before, const std::vector<double>& reward_before,
                          const std::vector<double>& reward_after) {
  std::map<uint64_t, std::vector<double>> by_prompt;
  for (size_t b = 0; b < reward_before.size(); ++b) {
    if (std::isfinite(reward_before[b]) && std::isfinite(reward_after[b])) {  // else one could not be had
      by_prompt[before.prompt_id_B[b]].push_back(reward_after[b] - reward_before[b]);
    }
  }
  std::vector<double> out;
  out.reserve(by_prompt.size());
  for (const auto& [prompt, differences] : by_prompt) {
    out.push_back(of(differences).mean);
  }
  return out;
}

std::string gain_text(const io::experience& before, const io::experience& after, size_t source) {
  const auto reward_before = rewards_by(before, source);
  const auto reward_after = rewards_by(after, source);
  if (reward_before.empty() || reward_before.size() != reward_after.size()) {
    return "";
  }
  const mean_and_deviation first = of(reward_before);
  const mean_and_deviation last = of(reward_after);
  const auto by_prompt = gains(before, reward_before, reward_after);
  const mean_and_deviation gain = of(by_prompt);
  const double half = 1.96 * gain.deviation / std::sqrt(static_cast<double>(by_prompt.size()));
  const double pooled = std::sqrt((first.deviation * first.deviation + last.deviation * last.deviation) / 2);
  return fmt::format("  {:<34} {:.3f} -> {:.3f}\n", fmt::format("held-out reward \"{}\"", before.reward_names[source]),
                     first.mean, last.mean) +
         fmt::format("  {:<34} {:+.3f}, 95 % interval [{:+.3f}, {:+.3f}] over {} prompts; {:+.2f} deviations of a "
                     "sample\n",
                     "  gain", gain.mean, gain.mean - half, gain.mean + half, by_prompt.size(),
                     pooled > 0 ? gain.mean / pooled : 0.0);
}

std::string examples_text(const io::experience& before, const io::experience& after) {
  const size_t count = std::min({examples_shown, before.answer_text_B.size(), after.answer_text_B.size()});
  const size_t stride = count > 0 ? before.answer_text_B.size() / count : 1;
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    const size_t b = i * stride;
    text += fmt::format("\n  {}\n    before: {}\n    after:  {}\n", before.prompt_text_B[b], before.answer_text_B[b],
                        after.answer_text_B[b]);
  }
  return text;
}

/// What the policy's answers to held-out prompts gained, where the run has kept them from before and after.
std::string evaluation_text(const io::run_directory& run, int64_t iterations) {
  const auto first = run.evaluation(0), last = run.evaluation(iterations);
  if (!std::filesystem::exists(first) || !std::filesystem::exists(last)) {
    return "";
  }
  const io::experience before = io::read_experience(first);
  const io::experience after = io::read_experience(last);
  std::string text;
  for (size_t source = 0; source < before.reward_names.size(); ++source) {
    text += gain_text(before, after, source);
  }
  return text + examples_text(before, after);
}

std::string places_text(const io::run_directory& run) {
  std::string text = fmt::format("  {:<14}{}\n", "run", run.root().string());
  for (const char* name : {"sft", "reward", "policy", "policy-ema", "critic"}) {
    if (std::filesystem::exists(run.model(name))) {
      text += fmt::format("  {:<14}{}\n", name, run.model(name).string());
    }
  }
  return text + fmt::format("  {:<14}{}\n  {:<14}{}\n", "metrics", run.metrics().string(), "curves",
                            "tensorboard --logdir " + run.tensorboard().string());
}

}  // namespace

std::string report_text(const io::run_directory& run, const io::job& job) {
  const auto records = io::read_metrics(run.metrics());
  std::string text = metric_line("held-out perplexity (SFT)", find(records, "sft", "held_out/perplexity"));
  text += metric_line("held-out accuracy (reward model)", find(records, "reward", "held_out/accuracy"));
  text += metric_line("KL from the reference, nats/sequence", find(records, "ppo", "kl/per_sequence_nats"));
  if (job.has(io::phase::ppo)) {
    text += evaluation_text(run, job.ppo.iterations);
  }
  if (!text.empty()) {
    text = "\nWhat was learned\n" + text;
  }
  return text + "\nWhere it lies\n" + places_text(run);
}

}  // namespace troupe
