#include "io/rewards/answer_reward.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

namespace troupe::io {

namespace {

std::string_view rest_of_line(std::string_view text, size_t from) {
  const std::string_view rest = text.substr(std::min(from, text.size()));
  return rest.substr(0, rest.find('\n'));
}

std::optional<text_number> first_number(std::string_view text) {
  std::vector<text_number> found = numbers_in(text);
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

/// What stands within the braces that open at the start of `text`; without any, its first word.
std::string_view within_braces(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  if (!text.starts_with('{')) {
    return text.substr(0, text.find_first_of(" \n$"));
  }
  int64_t depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
    if (depth == 0) {
      return text.substr(1, i - 1);
    }
  }
  return rest_of_line(text, 1);  // never closed
}

/// The latest place of a mark, and where what it marks begins.
struct mark {
  size_t at = std::string_view::npos;
  size_t end = 0;

  bool found() const { return at != std::string_view::npos; }
};

template <size_t n> mark last_of(std::string_view text, const std::array<std::string_view, n>& names) {
  mark last;
  for (const std::string_view name : names) {
    const size_t at = text.rfind(name);
    if (at != std::string_view::npos && (!last.found() || at > last.at)) {
      last = {at, at + name.size()};
    }
  }
  return last;
}

std::string in_lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

bool later(const mark& a, const mark& b) { return a.found() && (!b.found() || a.at > b.at); }

}  // namespace

std::optional<text_number> final_answer(std::string_view written, bool last_number) {
  constexpr std::array<std::string_view, 1> hashes{"####"};
  constexpr std::array<std::string_view, 2> boxes{"\\boxed", "\\fbox"};
  constexpr std::array<std::string_view, 3> phrases{"answer is", "answer:", "answer**:"};
  const std::string text = plain_spelling(written);
  const mark hash = last_of(text, hashes);
  const mark box = last_of(text, boxes);
  const mark phrase = last_of(in_lower_case(text), phrases);
  if (later(phrase, hash) && later(phrase, box)) {
    if (auto number = first_number(rest_of_line(text, phrase.end))) {
      return number;
    }
  }
  if (later(box, hash)) {
    return only_number(within_braces(std::string_view(text).substr(box.end)));
  }
  if (hash.found()) {
    return first_number(rest_of_line(text, hash.end));
  }
  std::vector<text_number> all = last_number ? numbers_in(text) : std::vector<text_number>();
  return all.empty() ? std::nullopt : std::optional(std::move(all.back()));
}

bool same_number(const text_number& a, const text_number& b) {
  if (a.value == b.value) {
    return true;
  }
  return a.percent != b.percent && (a.percent ? a.hundredth == b.value : b.hundredth == a.value);
}

std::optional<text_number> reference_number(std::string_view reference) { return final_answer(reference, true); }

double answer_reward(std::string_view answer, std::string_view reference, bool last_number) {
  const std::optional<text_number> right = reference_number(reference);
  if (!right) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const std::optional<text_number> given = final_answer(answer, last_number);
  return given && same_number(*given, *right) ? 1.0 : 0.0;
}

}  // namespace troupe::io
