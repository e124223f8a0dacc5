#include "io/tokenizer/oniguruma.hpp"

#include "base/error.hpp"
#include "io/tokenizer/char_set.hpp"
#include "io/tokenizer/utf8.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <optional>
#include <utility>

namespace troupe::io {
namespace {

constexpr size_t deepest_group = 100;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// The same within brackets and outside.
std::string literal(uint32_t code) {
  if (code < 0x20 || code == 0x7F) {
    return fmt::format("\\x{{{:X}}}", code);
  }
  std::string text;
  if (code < 0x80 && !is_digit(static_cast<char>(code)) && !is_letter(static_cast<char>(code))) {
    text = "\\";
  }
  append_utf8(text, code);
  return text;
}

std::optional<uint32_t> control_escape(char letter) {
  constexpr std::array<std::pair<char, uint32_t>, 7> known{
      {{'t', 0x09}, {'n', 0x0A}, {'v', 0x0B}, {'f', 0x0C}, {'r', 0x0D}, {'a', 0x07}, {'e', 0x1B}}};
  for (const auto& [name, code] : known) {
    if (name == letter) {
      return code;
    }
  }
  return std::nullopt;
}

// Two letters that one character stands for where case does not count: ß for ss, ﬁ for fi.
bool may_fold_together(char first, char second) {
  constexpr std::array<std::string_view, 5> pairs{"ss", "ff", "fi", "fl", "st"};
  const std::array<char, 2> both{static_cast<char>(std::tolower(first)), static_cast<char>(std::tolower(second))};
  return std::find(pairs.begin(), pairs.end(), std::string_view(both.data(), both.size())) != pairs.end();
}

// One character of a class, or a set that stands in its place.
struct class_item {
  std::optional<uint32_t> code;
  char_set set = char_set::of_items("");
};

struct quantifier {
  int64_t least = 0;
  std::optional<int64_t> most = {};  // empty: without end
  std::string_view manner = {};      // "": greedy, "?": lazy, "+": possessive

  std::string text() const {
    return fmt::format("{{{},{}}}{}", least, most ? std::to_string(*most) : "", manner);
  }

  /// Of a repetition of a repetition: (?:a{1,3})+ matches as a+ does, but tries the same lengths in many ways.
  std::optional<quantifier> repeated(const quantifier& outer) const {
    const bool greedy = manner.empty() && outer.manner.empty();
    if (!greedy || least > 1 || (most && *most == 0) || outer.least > 1 || outer.most) {
      return std::nullopt;
    }
    return quantifier{.least = least * outer.least};
  }
};

class translator {
public:
  explicit translator(std::string_view expression) : in_(expression) {}

  std::string run() {
    std::string text = alternatives();
    if (!at_end()) {
      refuse("a \")\" without its \"(\"");
    }
    return text;
  }

private:
  struct atom {
    std::string text;
    bool repeatable = true;
  };

  bool at_end() const { return at_ >= in_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool starts(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  bool take(std::string_view text) {
    if (!starts(text)) {
      return false;
    }
    at_ += text.size();
    return true;
  }

  [[noreturn]] void refuse(std::string_view what) const {
    throw error(errc::unsupported, "pattern \"{}\": {} at byte {} is not supported", in_, what, at_);
  }

  uint32_t take_character() {
    const utf8_step step = read_utf8(in_.substr(at_));
    if (step.what != utf8_step::kind::character) {
      refuse("what is not UTF-8");
    }
    at_ += step.length;
    return step.code;
  }

  std::string alternatives();
  std::string sequence();
  std::string quantified(atom one);
  std::optional<quantifier> take_quantifier();
  std::optional<quantifier> take_interval();
  std::optional<int64_t> take_number();

  atom next_atom();
  atom group();
  atom options();
  std::string group_body(std::string_view opening);
  atom escape();
  atom assertion(char letter) const;
  atom literal_atom(uint32_t code);
  atom set_atom(const char_set& set) const { return {set.text()}; }

  uint32_t take_hexadecimal();
  char_set take_property(bool negated);
  void refuse_under_ignored_case(std::string_view what) const;

  char_set take_class();
  char_set class_operand();
  class_item take_class_item();
  class_item class_escape();
  std::optional<char_set> take_posix_bracket();
  char_set code_range(uint32_t first);

  std::string_view in_;
  size_t at_ = 0;
  size_t depth_ = 0;
  bool ignore_case_ = false;
  char previous_letter_ = '\0';  // the literal just before, where case does not count
};

std::string translator::alternatives() {
  std::string text = sequence();
  while (take("|")) {
    text += "|" + sequence();
  }
  return text;
}

std::string translator::sequence() {
  std::string text;
  previous_letter_ = '\0';
  while (!at_end() && peek() != '|' && peek() != ')') {
    text += quantified(next_atom());
  }
  return text;
}

std::string translator::quantified(atom one) {
  constexpr int most_in_a_row = 4;
  std::optional<quantifier> last;
  for (int count = 0; count < most_in_a_row; ++count) {
    const auto next = take_quantifier();
    if (!next) {
      return std::move(one.text) + (last ? last->text() : "");
    }
    if (!one.repeatable) {
      refuse("a quantifier after what has no width");
    }
    previous_letter_ = '\0';
    const auto joined = last ? last->repeated(*next) : next;
    if (!joined) {
      one.text = "(?:" + one.text + last->text() + ")";
    }
    last = joined ? joined : next;
  }
  refuse("so many quantifiers in a row");
}

std::optional<quantifier> translator::take_quantifier() {
  const char c = peek();
  if (c == '{') {
    return take_interval();
  }
  if (c != '?' && c != '*' && c != '+') {
    return std::nullopt;
  }
  ++at_;
  quantifier result{.least = c == '+' ? 1 : 0};
  if (c == '?') {
    result.most = 1;
  }
  result.manner = take("?") ? "?" : take("+") ? "+" : "";
  return result;
}

std::optional<int64_t> translator::take_number() {
  constexpr size_t most_digits = 6;
  size_t count = 0;
  int64_t value = 0;
  for (; is_digit(peek()) && count < most_digits; ++count) {
    value = 10 * value + (in_[at_++] - '0');
  }
  return count == 0 ? std::nullopt : std::optional(value);
}

/// {n}, {n,}, {,m} or {n,m}, each but the first lazy with a "?" after it. A "+" after it is a quantifier of its own, and so
/// is a "?" after {n}. Braces that are no interval are literal: nothing is taken.
std::optional<quantifier> translator::take_interval() {
  const size_t start = at_++;
  const auto least = take_number();
  const bool has_comma = take(",");
  std::optional<int64_t> most;
  if (has_comma) {
    most = take_number();
  }
  if ((!least && !most) || !take("}")) {
    at_ = start;
    return std::nullopt;
  }
  if (least && most && *least > *most) {
    refuse("an interval that ends below its start");
  }
  if (!has_comma) {
    return quantifier{.least = *least, .most = least};
  }
  return quantifier{.least = least.value_or(0), .most = most, .manner = take("?") ? "?" : ""};
}

translator::atom translator::next_atom() {
  switch (peek()) {
  case '(':
    return group();
  case '[':
    ++at_;
    previous_letter_ = '\0';
    return set_atom(take_class());
  case '\\':
    ++at_;
    return escape();
  case '.':
    ++at_;
    previous_letter_ = '\0';
    return {"."};
  case '^':
  case '$':
    previous_letter_ = '\0';
    return {fmt::format("(?m:{})", in_[at_++]), false};
  case '?':
  case '*':
  case '+':
    refuse("a quantifier without anything before it");
  default:
    break;
  }
  if (const size_t start = at_; peek() == '{' && take_interval()) {
    at_ = start;
    refuse("a quantifier without anything before it");
  }
  return literal_atom(take_character());
}

translator::atom translator::literal_atom(uint32_t code) {
  if (ignore_case_) {
    if (code >= 0x80) {
      refuse_under_ignored_case("a character beyond ASCII");
    }
    if (may_fold_together(previous_letter_, static_cast<char>(code))) {
      refuse_under_ignored_case("two letters that one character may stand for");
    }
    previous_letter_ = static_cast<char>(code);
  }
  return {literal(code)};
}

void translator::refuse_under_ignored_case(std::string_view what) const {
  refuse(fmt::format("{} under (?i)", what));
}

translator::atom translator::group() {
  if (depth_ == deepest_group) {
    refuse("a group this deep");
  }
  previous_letter_ = '\0';
  ++depth_;
  atom result;
  ++at_;
  if (peek() != '?') {
    result.text = group_body("(?:");
  } else if (take("?:")) {
    result.text = group_body("(?:");
  } else if (take("?>")) {
    result.text = group_body("(?>");
  } else if (starts("?=") || starts("?!") || starts("?<=") || starts("?<!")) {
    const std::string opening = fmt::format("({}", in_.substr(at_, peek(1) == '<' ? 3 : 2));
    at_ += opening.size() - 1;
    result = {group_body(opening), false};
  } else if ((starts("?<") || starts("?'")) && is_letter(peek(2))) {
    const size_t end = in_.find(peek(1) == '<' ? '>' : '\'', at_ + 2);
    if (end == std::string_view::npos) {
      refuse("a name without an end");
    }
    at_ = end + 1;
    result.text = group_body("(?:");
  } else {
    ++at_;
    result = options();
  }
  --depth_;
  return result;
}

std::string translator::group_body(std::string_view opening) {
  const bool outside = ignore_case_;
  std::string text = fmt::format("{}{})", opening, alternatives());
  ignore_case_ = outside;
  previous_letter_ = '\0';
  if (!take(")")) {
    refuse("a \"(\" without its \")\"");
  }
  return text;
}

/// (?im-im:...) and (?im-im): the latter holds up to the end of the group around it, alternatives included.
translator::atom translator::options() {
  std::string flags;
  bool on = true;
  const bool outside = ignore_case_;
  for (; peek() != ':' && peek() != ')'; ++at_) {
    const char c = peek();
    if (c == 'i') {
      ignore_case_ = on;
    } else if (c == '-') {
      on = false;
    } else if (c != 'm') {
      refuse(fmt::format("the group \"(?{}\"", in_.substr(at_, 1)));
    }
    flags += c == 'm' ? 's' : c;
  }
  if (take(":")) {
    std::string text = fmt::format("(?{}:{})", flags, alternatives());
    ignore_case_ = outside;
    previous_letter_ = '\0';
    if (!take(")")) {
      refuse("a \"(\" without its \")\"");
    }
    return {std::move(text)};
  }
  ++at_;
  atom rest{fmt::format("(?{}:{})", flags, alternatives()), false};
  ignore_case_ = outside;
  return rest;
}

translator::atom translator::escape() {
  if (at_end()) {
    refuse("a \"\\\" at the end");
  }
  const char c = peek();
  if (std::string_view("dDhHsSwW").find(c) != std::string_view::npos) {
    ++at_;
    previous_letter_ = '\0';
    return set_atom(escape_set(c, false));
  }
  if (std::string_view("AzZbB").find(c) != std::string_view::npos) {
    ++at_;
    previous_letter_ = '\0';
    return assertion(c);
  }
  if ((c == 'p' || c == 'P') && peek(1) == '{') {
    previous_letter_ = '\0';
    return set_atom(take_property(c == 'P'));
  }
  if (const auto code = control_escape(c)) {
    ++at_;
    return literal_atom(*code);
  }
  switch (c) {
  case 'R':
    ++at_;
    previous_letter_ = '\0';
    return {R"((?>\x{D}\x{A}|[\x{A}-\x{D}\x{85}\x{2028}\x{2029}]))"};
  case 'X':
    ++at_;
    previous_letter_ = '\0';
    return {R"(\X)"};
  case 'N':
    ++at_;
    previous_letter_ = '\0';
    return {R"([^\x{A}])"};
  case 'O':
    ++at_;
    previous_letter_ = '\0';
    return {"(?s:.)"};
  case 'x':
  case 'u':
    return literal_atom(take_hexadecimal());
  default:
    break;
  }
  if (is_letter(c) || is_digit(c)) {
    refuse(fmt::format("\"\\{}\"", c));
  }
  return literal_atom(take_character());
}

translator::atom translator::assertion(char letter) const {
  const std::string word = escape_set('w', false).text();
  switch (letter) {
  case 'b':
    return {fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word), false};
  case 'B':
    return {fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word), false};
  default:
    return {fmt::format("\\{}", letter), false};
  }
}

/// \xHH below 80, \x{...}, \uHHHH.
uint32_t translator::take_hexadecimal() {
  const bool fixed = peek() == 'u';
  const bool braced = !fixed && peek(1) == '{';
  at_ += braced ? 2 : 1;
  const size_t most = fixed ? 4 : braced ? 8 : 2;
  uint32_t code = 0;
  size_t count = 0;
  for (; count < most && std::isxdigit(static_cast<unsigned char>(peek())) != 0; ++count) {
    const char c = static_cast<char>(std::tolower(in_[at_++]));
    code = 16 * code + static_cast<uint32_t>(is_digit(c) ? c - '0' : c - 'a' + 10);
  }
  const bool whole = count > 0 && (!fixed || count == most) && (!braced || take("}"));
  const bool is_character = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  if (!whole || !is_character || (!fixed && !braced && code >= 0x80)) {
    refuse("this number of a character");
  }
  return code;
}

/// At the letter of \p{...} or \P{...}.
char_set translator::take_property(bool negated) {
  const size_t end = in_.find('}', at_);
  std::string_view name = in_.substr(at_ + 2, end == std::string_view::npos ? 0 : end - at_ - 2);
  if (name.starts_with('^')) {
    name.remove_prefix(1);
    negated = !negated;
  }
  const bool plain = std::all_of(name.begin(), name.end(),
                                 [](char c) { return is_letter(c) || is_digit(c) || c == ' ' || c == '-' || c == '_'; });
  if (name.empty() || !plain) {
    refuse("this name of a property");
  }
  if (ignore_case_) {
    refuse_under_ignored_case("a property");
  }
  at_ = end + 1;
  const char_set set = property_set(name);
  return negated ? set.complement() : set;
}

/// After the opening bracket. Source  Oniguruma's doc/RE, section 6: && binds less than all else, ^ takes the whole.
char_set translator::take_class() {
  if (++depth_ > deepest_group) {
    refuse("a class this deep");
  }
  const bool negated = take("^");
  if (negated && ignore_case_) {
    refuse_under_ignored_case("a negated class");
  }
  char_set set = class_operand();
  while (take("&&")) {
    set = intersect(set, class_operand());
  }
  if (!take("]")) {
    refuse("a class without its \"]\"");
  }
  --depth_;
  return negated ? set.complement() : set;
}

/// What is united up to && or the end of the class.
char_set translator::class_operand() {
  std::optional<char_set> united;
  const auto add = [&](const char_set& set) { united = united ? unite(*united, set) : set; };
  const bool bracket_first = peek() == ']' && in_.find(']', at_ + 1) != std::string_view::npos;
  for (bool first = true; first && bracket_first ? true : !at_end() && peek() != ']' && !starts("&&"); first = false) {
    const class_item item = take_class_item();
    if (item.code) {
      add(code_range(*item.code));
      continue;
    }
    add(item.set);
    if (peek() == '-' && peek(1) != ']') {
      refuse("a \"-\" after a set");
    }
  }
  if (!united) {
    refuse("an empty class or operand of &&");
  }
  return *united;
}

/// `first`, or the range that it begins.
char_set translator::code_range(uint32_t first) {
  if (ignore_case_ && first >= 0x80) {
    refuse_under_ignored_case("a character beyond ASCII");
  }
  if (peek() != '-' || peek(1) == ']' || peek(1) == '\0') {
    return char_set::of_items(literal(first));
  }
  ++at_;
  const class_item last = starts("&&") || peek() == '[' ? class_item{} : take_class_item();
  if (!last.code || *last.code < first) {
    refuse("a range without an end above its start");
  }
  if (ignore_case_ && *last.code >= 0x80) {
    refuse_under_ignored_case("a character beyond ASCII");
  }
  std::string items = literal(first) + "-" + literal(*last.code);
  if (peek() == '-' && peek(1) != ']') {
    items += literal('-');  // it ended a range: it can begin none
    ++at_;
  }
  return char_set::of_items(std::move(items));
}

class_item translator::take_class_item() {
  if (auto posix = take_posix_bracket()) {
    return {std::nullopt, *posix};
  }
  if (take("[")) {
    return {std::nullopt, take_class()};
  }
  if (take("\\")) {
    return class_escape();
  }
  return {take_character()};
}

class_item translator::class_escape() {
  if (at_end()) {
    refuse("a \"\\\" at the end");
  }
  const char c = peek();
  if (std::string_view("dDhHsSwW").find(c) != std::string_view::npos) {
    if (ignore_case_ && (c == 'w' || c == 'W' || c == 'D' || c == 'S' || c == 'H')) {
      refuse_under_ignored_case("such a set in a class");
    }
    ++at_;
    return {std::nullopt, escape_set(c, true)};
  }
  if ((c == 'p' || c == 'P') && peek(1) == '{') {
    return {std::nullopt, take_property(c == 'P')};
  }
  if (c == 'x' || c == 'u') {
    return {take_hexadecimal()};
  }
  if (const auto code = c == 'b' ? std::optional<uint32_t>(0x08) : control_escape(c)) {
    ++at_;
    return {code};
  }
  if (is_letter(c) || is_digit(c)) {
    refuse(fmt::format("\"\\{}\" in a class", c));
  }
  return {take_character()};
}

/// [:name:] or [:^name:], where that is what stands here.
std::optional<char_set> translator::take_posix_bracket() {
  const size_t end = starts("[:") ? in_.find(":]", at_ + 2) : std::string_view::npos;
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
  const bool negated = name.starts_with('^');
  name.remove_prefix(negated ? 1 : 0);
  if (!std::all_of(name.begin(), name.end(), is_letter)) {
    return std::nullopt;
  }
  const auto set = posix_set(name);
  if (!set || ignore_case_) {
    refuse(fmt::format("\"[:{}:]\"", name));
  }
  at_ = end + 2;
  return negated ? set->complement() : *set;
}

}  // namespace

std::string pcre2_of_oniguruma(std::string_view expression) { return translator(expression).run(); }

}  // namespace troupe::io
