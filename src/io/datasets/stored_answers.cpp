#include "io/datasets/stored_answers.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/experience/groups.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;

/// The sequences of a file that may take part, and what the rules go by.
struct candidates {
  std::vector<int64_t> row_M;  ///< places in the file
  std::vector<uint64_t> group_M;
  std::vector<float> score_M;

  scored_samples samples() const { return {.group_M = group_M, .score_M = score_M}; }
};

candidates candidates_of(const experience& e, const data_section& set, stored_counts& counts) {
  candidates those;
  std::set<std::pair<uint64_t, std::vector<int32_t>>> seen;
  for (int64_t b = 0; b < e.sequences(); ++b) {
    const uint64_t group = e.group_B[static_cast<size_t>(b)];
    const auto answer = e.answer_tokens(b);
    ++counts.answers;
    if (set.unique && !seen.emplace(group, std::vector<int32_t>(answer.begin(), answer.end())).second) {
      ++counts.duplicates;
      continue;
    }
    those.row_M.push_back(b);
    those.group_M.push_back(group);
    those.score_M.push_back(e.reward_names.empty() ? std::numeric_limits<float>::quiet_NaN() : e.score(b));
  }
  return those;
}

std::vector<int32_t> ids_of(std::span<const int32_t> tokens) { return {tokens.begin(), tokens.end()}; }

stored_answer answer_of(const experience& e, int64_t row, double weight) {
  stored_answer out;
  out.ids.prompt_digest = e.prompt_id_B[static_cast<size_t>(row)];
  out.ids.prompt_ids = ids_of(e.prompt_tokens(row));
  out.ids.chosen_ids = ids_of(e.answer_tokens(row));
  out.weight = weight;
  return out;
}

int64_t unscorable_among(const candidates& those) {
  return std::count_if(those.score_M.begin(), those.score_M.end(), [](float score) { return std::isnan(score); });
}

std::vector<stored_answer> answers_of(const experience& e, const data_section& set, const candidates& those,
                                      stored_counts& counts) {
  const sample_rules rules{.best = set.best, .min_score = set.min_reward, .temperature = set.advantage_temperature};
  const int64_t unscorable = rules.needs_scores() ? unscorable_among(those) : 0;
  std::vector<stored_answer> answers;
  for (const chosen_sample& chosen : choose_samples(those.samples(), rules)) {
    answers.push_back(answer_of(e, those.row_M[static_cast<size_t>(chosen.sample)], chosen.weight));
  }
  counts.unscorable += unscorable;
  counts.not_chosen += static_cast<int64_t>(those.row_M.size()) - unscorable - static_cast<int64_t>(answers.size());
  return answers;
}

std::vector<stored_answer> pairs_of(const experience& e, const data_section& set, const candidates& those,
                                    stored_counts& counts) {
  std::vector<stored_answer> pairs;
  std::set<int64_t> used;
  for (const sample_pair& pair :
       choose_pairs(those.samples(), {.per_group = set.pairs_per_prompt, .margin = set.pair_margin})) {
    const int64_t rejected = those.row_M[static_cast<size_t>(pair.rejected)];
    stored_answer& made = pairs.emplace_back(answer_of(e, those.row_M[static_cast<size_t>(pair.chosen)], 1));
    made.ids.rejected_ids = ids_of(e.answer_tokens(rejected));
    used.insert({pair.chosen, pair.rejected});
  }
  const int64_t unscorable = unscorable_among(those);
  counts.unscorable += unscorable;
  counts.not_chosen += static_cast<int64_t>(those.row_M.size()) - unscorable - static_cast<int64_t>(used.size());
  return pairs;
}

}  // namespace

std::vector<fs::path> stored_files(const data_section& set) {
  std::error_code ignored;
  if (fs::is_regular_file(set.path, ignored)) {
    return {set.path};
  }
  std::vector<fs::path> files = experience_files(set.path);
  if (files.empty()) {
    throw error(errc::not_found,
                "data.{}.path = {}: there is no stored experience: name a file, or a folder with files iteration-N.h5, "
                "such as the folder experience of a run",
                set.name, set.path);
  }
  return files;
}

void require_same_tokenizer(const experience& e, uint64_t tokenizer_digest, const fs::path& file) {
  if (e.tokenizer_digest != digest_text(tokenizer_digest)) {
    throw error(errc::bad_argument,
                "{}: its answers were sampled with another tokenizer (digest {}) than model.policy has ({}): their ids "
                "mean other texts there",
                file.string(), e.tokenizer_digest, digest_text(tokenizer_digest));
  }
}

std::vector<stored_answer> choose_stored(const experience& e, const data_section& set, phase wanted,
                                         stored_counts& counts) {
  const candidates those = candidates_of(e, set, counts);
  return wanted == phase::reward ? pairs_of(e, set, those, counts) : answers_of(e, set, those, counts);
}

}  // namespace troupe::io
