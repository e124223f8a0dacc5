/// Exact answer to a question with one number as its answer: a deterministic rule reward.
/// Source  GSM8K, Cobbe et al., arXiv:2110.14168: a solution ends with "#### N".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace troupe::io {

/// The number after the last "####", canonical: no thousands commas, currency or percent signs, no
/// leading or trailing zeros ("$1,024.50" -> "1024.5"). With `last_number`, a text without "####"
/// gives its last number.
std::optional<std::string> final_answer(std::string_view text, bool last_number);

/// 1 if both have a final answer and they are the same number, else 0. The reference is read with
/// last_number, so that a bare "42" is a reference too.
double answer_reward(std::string_view answer, std::string_view reference, bool last_number);

}  // namespace troupe::io
