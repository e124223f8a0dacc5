#include "io/job/phases.hpp"

#include "io/job/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace troupe::io {

std::optional<phase> phase_of(std::string_view name) {
  const std::span<const std::string_view> words = words_of<phase>();
  const auto found = std::find(words.begin(), words.end(), name);
  return found != words.end() ? std::optional(static_cast<phase>(found - words.begin())) : std::nullopt;
}

std::string phases_text(std::span<const phase> phases) {
  std::vector<std::string_view> words;
  words.reserve(phases.size());
  for (const phase p : phases) {
    words.push_back(to_string(p));
  }
  return fmt::format("{}", fmt::join(words, " "));
}

bool contains(std::span<const phase> phases, phase wanted) {
  return std::find(phases.begin(), phases.end(), wanted) != phases.end();
}

std::vector<phase> phases_after(std::span<const phase> of_run, phase first) {
  const auto found = std::find(of_run.begin(), of_run.end(), first);
  return {found != of_run.end() ? found + 1 : found, of_run.end()};
}

bool feeds(const job& job, phase maker, phase user) {
  if (!job.has(maker)) {
    return false;
  }
  switch (maker) {
  case phase::pairs:
    return contains(job.pairs.phases, user);
  case phase::sft:
  case phase::reward:
    return user == phase::ppo;
  case phase::ppo:
  case phase::replay:
    return false;
  }
  return false;
}

static std::optional<int64_t> updates_told(const training_options& training) {
  return training.updates > 0 ? std::optional(training.updates) : std::nullopt;
}

std::optional<int64_t> length_of(const job& job, phase of) {
  switch (of) {
  case phase::pairs: {
    const int64_t each = std::max<int64_t>(1, job.pairs.prompts_per_iteration);
    return (job.pairs.prompts + each - 1) / each;
  }
  case phase::sft:
    return updates_told(job.sft.training);
  case phase::reward:
    return updates_told(job.reward.training);
  case phase::ppo:
    return job.ppo.iterations;
  case phase::replay:
    return job.replay.to_iteration;
  }
  return std::nullopt;
}

}  // namespace troupe::io
