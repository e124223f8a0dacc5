#include "base/error.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/groups.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>
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

/// Samples of a group are held against each other, which says something of answers to one prompt alone.
void check_groups(const experience& e, const std::string& where) {
  std::unordered_map<uint64_t, int64_t> first_of;
  for (int64_t b = 0; b < e.sequences(); ++b) {
    const uint64_t group = e.group_B[static_cast<size_t>(b)];
    const int64_t first = first_of.emplace(group, b).first->second;
    if (const std::string differs = prompt_difference(e.prompt_tokens(b), e.prompt_tokens(first)); !differs.empty()) {
      throw error(errc::bad_file, "{}: sequences {} and {} are of group {}, and of two prompts: the second {}", where,
                  first, b, group, differs);
    }
  }
}

/// Of an array over answer tokens that may be absent.
void check_answers_size(const char* name, const std::vector<float>& values_A, const experience& e,
                        const std::string& where) {
  if (!values_A.empty()) {
    check_size(name, values_A.size(), static_cast<size_t>(e.answer_tokens()), where);
  }
}

void check_texts_size(const char* name, const std::vector<std::string>& texts_B, const experience& e,
                      const std::string& where) {
  if (!texts_B.empty()) {
    check_size(name, texts_B.size(), e.sequence_id_B.size(), where);
  }
}

/// Log-probabilities are there just where it is said where they come from.
void check_behaviour(const experience& e, const std::string& where) {
  const bool known = e.behaviour != behaviour_source::unknown;
  if (e.answer_tokens() > 0 && known == e.logprob_old_A.empty()) {
    throw error(errc::bad_file, "{}: behaviour is \"{}\", and logprob_old has {} entries", where,
                to_string(e.behaviour), e.logprob_old_A.size());
  }
}

/// What nobody could score, nobody learns from.
void check_unscored(const experience& e, const std::string& where) {
  for (int64_t b = 0; b < e.sequences(); ++b) {
    if (!std::isnan(e.score(b))) {
      continue;
    }
    for (const auto& [name, values] :
         {std::pair("reward_shaped", &e.reward_shaped_A), std::pair("advantage", &e.advantage_A)}) {
      const auto of_answer = e.of_answer(*values, b);
      if (std::any_of(of_answer.begin(), of_answer.end(), [](float value) { return value != 0; })) {
        throw error(errc::bad_file, "{}: sequence {} has no score (its raw reward is NaN), and its {} is not 0", where,
                    b, name);
      }
    }
  }
}

void check_shaping(const shaping_state& s, const std::string& where) {
  if (!std::isfinite(s.kl_coefficient) || !std::isfinite(s.scale_mean) || !std::isfinite(s.scale_squares) ||
      s.scale_count < 0 || s.scale_squares < 0 || s.rollbacks < 0) {
    throw error(errc::bad_file,
                "{}: impossible attributes: kl_coefficient {}, reward_scale_count {}, reward_scale_mean {}, "
                "reward_scale_squares {}, rollbacks {}",
                where, s.kl_coefficient, s.scale_count, s.scale_mean, s.scale_squares, s.rollbacks);
  }
}

void check_settings(const experience& e, const std::string& where) {
  if (e.iteration < 0 || e.policy_version < 0 || e.top_k < 0 || !(e.top_p > 0 && e.top_p <= 1) ||
      !(e.temperature >= 0 && std::isfinite(e.temperature)) || !(e.min_p >= 0 && e.min_p <= 1) ||
      !(e.repetition_penalty > 0 && std::isfinite(e.repetition_penalty))) {
    throw error(errc::bad_file,
                "{}: impossible attributes: iteration {}, policy_version {}, temperature {}, top_k "
                "{}, top_p {}, min_p {}, repetition_penalty {}",
                where, e.iteration, e.policy_version, e.temperature, e.top_k, e.top_p, e.min_p, e.repetition_penalty);
  }
  if (e.shaping) {
    check_shaping(*e.shaping, where);
  }
}

}  // namespace

void validate_sizes(const experience& e, const std::string& where) {
  const size_t sequences = e.sequence_id_B.size();
  check_size("prompt_id", e.prompt_id_B.size(), sequences, where);
  check_size("group", e.group_B.size(), sequences, where);
  check_size("source", e.source_B.size(), sequences, where);
  check_size("sequence_offset", e.sequence_offset_B1.size(), sequences + 1, where);
  check_size("answer_offset", e.answer_offset_B1.size(), sequences + 1, where);
  check_size("finished", e.finished_B.size(), sequences, where);
  check_size("reward_raw", e.reward_raw_BS.size(), sequences * e.reward_names.size(), where);
  if (!e.reward_weight_S.empty()) {
    check_size("reward_weight", e.reward_weight_S.size(), e.reward_names.size(), where);
  }
  check_offsets("sequence_offset", e.sequence_offset_B1, e.token_N.size(), where);
  check_offsets("answer_offset", e.answer_offset_B1, static_cast<size_t>(std::max<int64_t>(0, e.answer_tokens())),
                where);
  check_answers(e, where);
  check_answers_size("logprob_old", e.logprob_old_A, e, where);
  check_answers_size("logprob_ref", e.logprob_ref_A, e, where);
  check_answers_size("value", e.value_A, e, where);
  check_answers_size("reward_shaped", e.reward_shaped_A, e, where);
  check_answers_size("advantage", e.advantage_A, e, where);
  check_texts_size("text/prompt", e.prompt_text_B, e, where);
  check_texts_size("text/answer", e.answer_text_B, e, where);
  check_texts_size("text/label", e.label_text_B, e, where);
  if (e.prompt_text_B.empty() != e.answer_text_B.empty()) {
    throw error(errc::bad_file, "{}: of text/prompt and text/answer only one is there", where);
  }
}

void validate(const experience& e, const std::string& where) {
  validate_sizes(e, where);
  check_settings(e, where);
  check_ids(e, where);
  check_groups(e, where);
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
  for (const auto& [name, values] : {std::pair("value", &e.value_A), std::pair("reward_shaped", &e.reward_shaped_A),
                                     std::pair("advantage", &e.advantage_A)}) {
    check_each(name, *values, where, "finite", [](float value) { return std::isfinite(value); });
  }
  check_each("reward_raw", e.reward_raw_BS, where, "finite or NaN", [](float value) { return !std::isinf(value); });
  check_each("reward_weight", e.reward_weight_S, where, "finite", [](double value) { return std::isfinite(value); });
  check_behaviour(e, where);
  check_unscored(e, where);
}

}  // namespace troupe::io
