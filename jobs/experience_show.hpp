/// Answers to one prompt side by side, with their rewards and the numbers of their tokens.
#pragma once

#include "io/experience/experience.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// What becomes of texts: `tokens` may be null, then only what the file has as text can be read.
struct show_settings {
  const io::tokenizer* tokens = nullptr;
  bool every_token = false;  ///< a table of the numbers of each token below each answer
  int64_t width = 100;       ///< of a line, characters
};

/// Places of the sequences of each group, in the order of the file.
std::vector<std::vector<int64_t>> groups_of(const io::experience& e);

/// A column of a side-by-side: an answer.
struct shown_answer {
  const io::experience* e = nullptr;
  int64_t b = 0;
  std::string name;  ///< its head's first word: "#0", or the run it is from
};

/// The prompt of the first, then the answers in columns. Control characters are shown as numbers.
std::string side_by_side(const std::vector<shown_answer>& answers, const show_settings& settings);

/// A group of `e`.
std::string group_text(const io::experience& e, const std::vector<int64_t>& group, const show_settings& settings);

}  // namespace troupe
