/// Exact answer to a question with one number as its answer: a deterministic rule reward.
/// Source  GSM8K, Cobbe et al., arXiv:2110.14168: a solution ends with "#### N"; MATH, Hendrycks et al.,
/// arXiv:2103.03874:
///         it holds "\boxed{N}".
#pragma once

#include "io/rewards/numbers_in_text.hpp"

#include <optional>
#include <string_view>

namespace troupe::io {

/// The number that a text gives as its answer. The last of these marks says where it stands:
///   #### N           the first number on the rest of the line
///   \boxed{N}        the only number within it (\boxed N, \fbox{N} too); nothing where it holds more than a number
///   answer is N      (or "answer:", in any case) the first number on the rest of the line, if there is one
/// With `last_number`, a text without a mark gives its last number.
std::optional<text_number> final_answer(std::string_view text, bool last_number);

/// Do they stand for one number? Values are compared exactly: 0.5, .50, 1/2, 5/10 and \frac{1}{2} are one, 0.33 and 1/3
/// are not. Where one of the two alone has a percent sign, it may mean hundredths or not: 50% equals 50 and 0.5.
bool same_number(const text_number& a, const text_number& b);

/// The number that an answer must give: the reference is read with last_number, so that a bare "42" is one too.
std::optional<text_number> reference_number(std::string_view reference);

/// 1 if the answer has a final answer that is the reference's number, else 0. NaN: the reference has no number, so that
/// no answer is right or wrong.
double answer_reward(std::string_view answer, std::string_view reference, bool last_number);

}  // namespace troupe::io
