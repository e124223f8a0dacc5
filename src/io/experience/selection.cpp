#include "io/experience/selection.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::io {
namespace {

template <class T> void append(std::vector<T>& to, std::span<const T> from) {
  to.insert(to.end(), from.begin(), from.end());
}

/// Of an array of `per` values a row; an empty one stays so.
template <class T> std::vector<T> rows_of(const std::vector<T>& values, std::span<const int64_t> row, size_t per = 1) {
  std::vector<T> out;
  for (size_t i = 0; i < row.size() && !values.empty(); ++i) {
    append(out, std::span(values).subspan(static_cast<size_t>(row[i]) * per, per));
  }
  return out;
}

std::vector<float> answers_of(const experience& e, const std::vector<float>& values_A, std::span<const int64_t> row) {
  std::vector<float> out;
  for (const int64_t b : row) {
    append(out, e.of_answer(values_A, b));
  }
  return out;
}

template <class T> bool outside(T value, const std::optional<T>& low, const std::optional<T>& high) {
  return (low && value < *low) || (high && value > *high);
}

bool passes(const experience& e, int64_t b, const experience_filter& filter) {
  const auto i = static_cast<size_t>(b);
  const auto score = static_cast<double>(e.score(b));
  const bool asks_reward = filter.reward_min || filter.reward_max;
  if ((asks_reward && std::isnan(score)) || outside(score, filter.reward_min, filter.reward_max) ||
      outside(e.answer_offset_B1[i + 1] - e.answer_offset_B1[i], filter.length_min, filter.length_max)) {
    return false;
  }
  if ((filter.finished && *filter.finished != (e.finished_B[i] != 0)) ||
      (filter.scorable && *filter.scorable == std::isnan(score))) {
    return false;
  }
  return filter.sources.empty() || std::find(filter.sources.begin(), filter.sources.end(),
                                             e.source_names.at(e.source_B[i])) != filter.sources.end();
}

}  // namespace

bool experience_filter::passes_all() const {
  return sources.empty() && !reward_min && !reward_max && !length_min && !length_max && !finished && !scorable;
}

std::vector<int64_t> passing(const experience& e, const experience_filter& filter) {
  std::vector<int64_t> row;
  for (int64_t b = 0; b < e.sequences(); ++b) {
    if (passes(e, b, filter)) {
      row.push_back(b);
    }
  }
  return row;
}

experience take(const experience& e, std::span<const int64_t> row) {
  experience part = e;
  part.complete = e.complete && static_cast<int64_t>(row.size()) == e.sequences();
  part.sequence_id_B = rows_of(e.sequence_id_B, row);
  part.prompt_id_B = rows_of(e.prompt_id_B, row);
  part.group_B = rows_of(e.group_B, row);
  part.source_B = rows_of(e.source_B, row);
  part.finished_B = rows_of(e.finished_B, row);
  part.reward_raw_BS = rows_of(e.reward_raw_BS, row, e.reward_names.size());
  part.prompt_text_B = rows_of(e.prompt_text_B, row);
  part.answer_text_B = rows_of(e.answer_text_B, row);
  part.label_text_B = rows_of(e.label_text_B, row);
  part.logprob_old_A = answers_of(e, e.logprob_old_A, row);
  part.logprob_ref_A = answers_of(e, e.logprob_ref_A, row);
  part.value_A = answers_of(e, e.value_A, row);
  part.reward_shaped_A = answers_of(e, e.reward_shaped_A, row);
  part.advantage_A = answers_of(e, e.advantage_A, row);
  part.token_N.clear();
  part.sequence_offset_B1 = part.answer_offset_B1 = {0};
  for (const int64_t b : row) {
    append(part.token_N, e.prompt_tokens(b));
    append(part.token_N, e.answer_tokens(b));
    part.sequence_offset_B1.push_back(static_cast<int64_t>(part.token_N.size()));
    part.answer_offset_B1.push_back(part.answer_offset_B1.back() + static_cast<int64_t>(e.answer_tokens(b).size()));
  }
  return part;
}

}  // namespace troupe::io
