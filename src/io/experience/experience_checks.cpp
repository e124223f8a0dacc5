#include "base/error.hpp"
#include "io/experience/experience.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace troupe::io {
namespace {

void check_size(const char* name, size_t found, size_t wanted, const std::string& where) {
  if (found != wanted) {
    throw error(errc::bad_file, "{}: {} has {} entries, not {}", where, name, found, wanted);
  }
}

void check_offsets(const char* name, const std::vector<int64_t>& offsets, size_t end, const std::string& where) {
  if (offsets.front() != 0 || offsets.back() != static_cast<int64_t>(end)) {
    throw error(errc::bad_file, "{}: {} runs from {} to {}, not from 0 to {}", where, name, offsets.front(),
                offsets.back(), end);
  }
  const auto fall = std::is_sorted_until(offsets.begin(), offsets.end());
  if (fall != offsets.end()) {
    throw error(errc::bad_file, "{}: {}[{}] = {} is below the one before", where, name, fall - offsets.begin(), *fall);
  }
}

/// Errors name the first element that `good` refuses.
template <class T, class Good>
void check_each(const char* name, const std::vector<T>& values, const std::string& where, const char* wanted,
                Good good) {
  const auto bad = std::find_if_not(values.begin(), values.end(), good);
  if (bad != values.end()) {
    throw error(errc::bad_file, "{}: {}[{}] = {} is not {}", where, name, bad - values.begin(), *bad, wanted);
  }
}

void check_ids(const experience& e, const std::string& where) {
  const auto fall =
      std::adjacent_find(e.sequence_id_B.begin(), e.sequence_id_B.end(), [](uint64_t a, uint64_t b) { return a >= b; });
  if (fall != e.sequence_id_B.end()) {
    throw error(errc::bad_file, "{}: sequence_id[{}] = {} is followed by {}: ids must ascend", where,
                fall - e.sequence_id_B.begin(), *fall, *(fall + 1));
  }
}

void check_answers(const experience& e, const std::string& where) {
  for (size_t b = 0; b < e.sequence_id_B.size(); ++b) {
    const int64_t tokens = e.sequence_offset_B1[b + 1] - e.sequence_offset_B1[b];
    const int64_t answer = e.answer_offset_B1[b + 1] - e.answer_offset_B1[b];
    if (answer > tokens) {
      throw error(errc::bad_file, "{}: sequence {} has {} tokens, its answer {}", where, b, tokens, answer);
    }
  }
}

void check_settings(const experience& e, const std::string& where) {
  if (e.iteration < 0 || e.policy_version < 0 || e.top_k < 0 || !(e.top_p > 0 && e.top_p <= 1) ||
      !(e.temperature >= 0 && std::isfinite(e.temperature))) {
    throw error(errc::bad_file,
                "{}: impossible attributes: iteration {}, policy_version {}, temperature {}, top_k "
                "{}, top_p {}",
                where, e.iteration, e.policy_version, e.temperature, e.top_k, e.top_p);
  }
}

}  // namespace

void validate_sizes(const experience& e, const std::string& where) {
  const size_t sequences = e.sequence_id_B.size();
  const size_t answers = e.logprob_old_A.size();
  check_size("prompt_id", e.prompt_id_B.size(), sequences, where);
  check_size("source", e.source_B.size(), sequences, where);
  check_size("sequence_offset", e.sequence_offset_B1.size(), sequences + 1, where);
  check_size("answer_offset", e.answer_offset_B1.size(), sequences + 1, where);
  check_size("finished", e.finished_B.size(), sequences, where);
  check_size("logprob_ref", e.logprob_ref_A.size(), answers, where);
  check_size("value", e.value_A.size(), answers, where);
  check_size("reward_raw", e.reward_raw_BS.size(), sequences * e.reward_names.size(), where);
  check_size("reward_shaped", e.reward_shaped_A.size(), answers, where);
  check_size("advantage", e.advantage_A.size(), answers, where);
  if (!e.prompt_text_B.empty() || !e.answer_text_B.empty()) {
    check_size("text/prompt", e.prompt_text_B.size(), sequences, where);
    check_size("text/answer", e.answer_text_B.size(), sequences, where);
  }
  check_offsets("sequence_offset", e.sequence_offset_B1, e.token_N.size(), where);
  check_offsets("answer_offset", e.answer_offset_B1, answers, where);
  check_answers(e, where);
}

void validate(const experience& e, const std::string& where) {
  validate_sizes(e, where);
  check_settings(e, where);
  check_ids(e, where);
  const size_t sources = e.source_names.size();
  check_each("source", e.source_B, where, "the index of a source name",
             [sources](uint16_t source) { return source < sources; });
  check_each("finished", e.finished_B, where, "0 or 1", [](uint8_t flag) { return flag <= 1; });
  check_each("token", e.token_N, where, "a token id", [](int32_t token) { return token >= 0; });
  constexpr float rounding = 1e-3F;
  for (const auto& [name, values] :
       {std::pair("logprob_old", &e.logprob_old_A), std::pair("logprob_ref", &e.logprob_ref_A)}) {
    check_each(name, *values, where, "a log-probability",
               [](float value) { return std::isfinite(value) && value <= rounding; });
  }
  for (const auto& [name, values] :
       {std::pair("value", &e.value_A), std::pair("reward_raw", &e.reward_raw_BS),
        std::pair("reward_shaped", &e.reward_shaped_A), std::pair("advantage", &e.advantage_A)}) {
    check_each(name, *values, where, "finite", [](float value) { return std::isfinite(value); });
  }
}

}  // namespace troupe::io
