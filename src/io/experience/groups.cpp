#include "io/experience/groups.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

namespace troupe::io {
namespace {

using members = std::vector<int64_t>;

float score_of(const scored_samples& samples, int64_t i) { return samples.score_M[static_cast<size_t>(i)]; }

/// The samples of each group, ascending, in the order in which the groups begin.
std::vector<members> groups_of(const scored_samples& samples) {
  if (samples.group_M.size() != samples.score_M.size()) {
    throw error(errc::shape_mismatch, "{} samples have a group, {} a score", samples.group_M.size(),
                samples.score_M.size());
  }
  std::vector<members> groups;
  std::unordered_map<uint64_t, size_t> place_of;
  for (size_t i = 0; i < samples.group_M.size(); ++i) {
    const auto [found, fresh] = place_of.emplace(samples.group_M[i], groups.size());
    if (fresh) {
      groups.emplace_back();
    }
    groups[found->second].push_back(static_cast<int64_t>(i));
  }
  return groups;
}

members scorable(const scored_samples& samples, const members& group) {
  members those;
  std::copy_if(group.begin(), group.end(), std::back_inserter(those),
               [&](int64_t i) { return !std::isnan(score_of(samples, i)); });
  return those;
}

double difference(const scored_samples& samples, const sample_pair& pair) {
  return static_cast<double>(score_of(samples, pair.chosen)) - static_cast<double>(score_of(samples, pair.rejected));
}

/// Looks at each sample once, not at each pair of them.
std::vector<sample_pair> widest_pair(const scored_samples& samples, const members& those, double margin) {
  const auto less = [&](int64_t a, int64_t b) { return score_of(samples, a) < score_of(samples, b); };
  const auto best = std::max_element(those.begin(), those.end(), less);
  const auto worst = std::min_element(those.begin(), those.end(), less);
  if (best == those.end() || !(difference(samples, {*best, *worst}) > margin)) {
    return {};
  }
  return {{*best, *worst}};
}

std::vector<sample_pair> pairs_of(const scored_samples& samples, const members& group, const pair_rules& rules) {
  const members those = scorable(samples, group);
  if (rules.per_group == 1) {
    return widest_pair(samples, those, rules.margin);
  }
  std::vector<sample_pair> pairs;
  for (const int64_t chosen : those) {
    for (const int64_t rejected : those) {
      const sample_pair pair{chosen, rejected};
      if (difference(samples, pair) > rules.margin) {
        pairs.push_back(pair);
      }
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [&](const sample_pair& a, const sample_pair& b) {
    return difference(samples, a) > difference(samples, b);
  });
  if (rules.per_group > 0 && static_cast<int64_t>(pairs.size()) > rules.per_group) {
    pairs.resize(static_cast<size_t>(rules.per_group));
  }
  return pairs;
}

double mean_score(const scored_samples& samples, const members& group) {
  const double sum = std::accumulate(group.begin(), group.end(), 0.0, [&](double so_far, int64_t i) {
    return so_far + static_cast<double>(score_of(samples, i));
  });
  return sum / static_cast<double>(group.size());
}

/// Of the group's samples with a score, those that the rules let pass, the best first.
members passing(const scored_samples& samples, members group, const sample_rules& rules) {
  std::erase_if(group, [&](int64_t i) { return static_cast<double>(score_of(samples, i)) < rules.min_score; });
  if (rules.best > 0) {
    std::stable_sort(group.begin(), group.end(),
                     [&](int64_t a, int64_t b) { return score_of(samples, a) > score_of(samples, b); });
    group.resize(std::min(group.size(), static_cast<size_t>(rules.best)));
  }
  return group;
}

double weight_of(double advantage, double temperature) {
  return temperature > 0 ? std::min(std::exp(advantage / temperature), most_advantage_weight) : 1.0;
}

}  // namespace

std::string prompt_difference(std::span<const int32_t> prompt, std::span<const int32_t> first) {
  if (prompt.size() != first.size()) {
    return fmt::format("has {} tokens, not {}", prompt.size(), first.size());
  }
  const auto [a, b] = std::mismatch(prompt.begin(), prompt.end(), first.begin());
  return a == prompt.end() ? "" : fmt::format("has {} as token {} (from 0), not {}", *a, a - prompt.begin(), *b);
}

std::vector<sample_pair> choose_pairs(const scored_samples& samples, const pair_rules& rules) {
  std::vector<sample_pair> all;
  for (const members& group : groups_of(samples)) {
    const std::vector<sample_pair> pairs = pairs_of(samples, group, rules);
    all.insert(all.end(), pairs.begin(), pairs.end());
  }
  return all;
}

std::vector<chosen_sample> choose_samples(const scored_samples& samples, const sample_rules& rules) {
  std::vector<chosen_sample> all;
  for (const members& group : groups_of(samples)) {
    const members those = rules.needs_scores() ? scorable(samples, group) : group;
    const double mean = rules.temperature > 0 && !those.empty() ? mean_score(samples, those) : 0.0;
    for (const int64_t i : passing(samples, those, rules)) {
      all.push_back({i, weight_of(static_cast<double>(score_of(samples, i)) - mean, rules.temperature)});
    }
  }
  std::sort(all.begin(), all.end(), [](const chosen_sample& a, const chosen_sample& b) { return a.sample < b.sample; });
  return all;
}

}  // namespace troupe::io
