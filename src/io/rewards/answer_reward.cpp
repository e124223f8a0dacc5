#include "io/rewards/answer_reward.hpp"

namespace troupe::io {

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A number at `at`, which may stand there with a sign: its canonical form, and `at` moves behind
/// it.
static std::string read_number(std::string_view text, size_t& at) {
  std::string whole, fraction;
  const bool negative = text[at] == '-';
  at += negative ? 1 : 0;
  const auto digit_at = [&](size_t i) { return i < text.size() && is_digit(text[i]); };
  while (digit_at(at) || (at < text.size() && text[at] == ',' && !whole.empty() && digit_at(at + 1))) {
    if (text[at] != ',') {
      whole += text[at];
    }
    ++at;
  }
  if (at < text.size() && text[at] == '.' && digit_at(at + 1)) {
    for (++at; digit_at(at); ++at) {
      fraction += text[at];
    }
  }
  whole.erase(0, whole.find_first_not_of('0'));
  fraction.erase(fraction.find_last_not_of('0') + 1);
  std::string out = (whole.empty() ? "0" : whole) + (fraction.empty() ? "" : "." + fraction);
  return negative && out != "0" ? "-" + out : out;
}

/// Does a number begin here? A minus belongs to it unless it joins two things ("3-4", "x-4").
static bool begins_number(std::string_view text, size_t at) {
  const auto digit_at = [&](size_t i) { return i < text.size() && is_digit(text[i]); };
  const auto number_at = [&](size_t i) {
    return digit_at(i) || (i < text.size() && text[i] == '.' && digit_at(i + 1));
  };
  if (text[at] != '-') {
    return number_at(at);
  }
  const bool joins = at > 0 && text[at - 1] != ' ' && text[at - 1] != '\n' && text[at - 1] != '$' &&
                     text[at - 1] != '(' && text[at - 1] != '=' && text[at - 1] != '\t';
  return number_at(at + 1) && !joins;
}

/// The first or the last number of a text.
static std::optional<std::string> find_number(std::string_view text, bool last) {
  std::optional<std::string> out;
  for (size_t at = 0; at < text.size() && (last || !out);) {
    if (begins_number(text, at)) {
      out = read_number(text, at);
    } else {
      ++at;
    }
  }
  return out;
}

std::optional<std::string> final_answer(std::string_view text, bool last_number) {
  constexpr std::string_view mark = "####";
  const size_t at = text.rfind(mark);
  if (at != std::string_view::npos) {
    std::string_view rest = text.substr(at + mark.size());
    return find_number(rest.substr(0, rest.find('\n')), false);
  }
  return last_number ? find_number(text, true) : std::nullopt;
}

double answer_reward(std::string_view answer, std::string_view reference, bool last_number) {
  const std::optional<std::string> given = final_answer(answer, last_number);
  const std::optional<std::string> right = final_answer(reference, true);
  return given && right && *given == *right ? 1.0 : 0.0;
}

}  // namespace troupe::io
