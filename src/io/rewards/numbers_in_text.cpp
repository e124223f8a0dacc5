#include "io/rewards/numbers_in_text.hpp"

#include <boost/multiprecision/cpp_int.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::io {

using boost::multiprecision::cpp_int;
using rational = boost::multiprecision::cpp_rational;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// --- spelling

namespace {

struct respelling {
  std::string_view from, to;
};

/// Longer spellings stand before those that they begin with.
constexpr auto respellings = std::to_array<respelling>({
    {"\u2212", "-"},       {"\u2010", "-"},       {"\u2011", "-"},       {"\u2012", "-"},      {"\u2013", "-"},
    {"\uFE63", "-"},       {"\uFF0D", "-"},       {"\uFF0B", "+"},       {"\uFF05", "%"},      {"\uFF0E", "."},
    {"\uFF0C", ","},       {"\u2044", "/"},       {"\u00BD", " 1/2"},    {"\u00BC", " 1/4"},   {"\u00BE", " 3/4"},
    {"\u2153", " 1/3"},    {"\u2154", " 2/3"},    {"\u00D7", "x"},       {"\u00B7", "x"},      {"\u00B0", " "},
    {"\\dfrac", "\\frac"}, {"\\tfrac", "\\frac"}, {"\\cfrac", "\\frac"}, {"\\times", "x"},     {"\\cdot", "x"},
    {"^{\\circ}", " "},    {"^\\circ", " "},      {"\\degree", " "},     {"\\left", ""},       {"\\right", ""},
    {"\\textbf", ""},      {"\\textit", ""},      {"\\textrm", ""},      {"\\text", ""},       {"\\mathrm", ""},
    {"\\mathbf", ""},      {"\\mathit", ""},      {"\\mbox", ""},        {"\\bf", ""},         {"\\,", "\u2009"},
    {"\\!", ""},           {"\\;", " "},          {"\\:", " "},          {"\\ ", " "},         {"\\quad", " "},
    {"{,}", ","},          {"\\$", "$"},          {"\\%", "%"},          {"\\(", " "},         {"\\)", " "},
    {"\\[", " "},          {"\\]", " "},          {"\u00A0", "\u2009"},  {"\u202F", "\u2009"},
});

constexpr std::string_view thin_space = "\u2009";

std::string respelt(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto found = std::find_if(respellings.begin(), respellings.end(),
                                    [&](const respelling& one) { return text.starts_with(one.from); });
    if (found != respellings.end()) {
      out += found->to;
      text.remove_prefix(found->from.size());
    } else {
      out += text.front();
      text.remove_prefix(1);
    }
  }
  return out;
}

/// U+FF10 to U+FF19.
std::string narrow_digits(std::string_view text) {
  constexpr std::string_view head = "\xEF\xBC";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto last = i + 2 < text.size() ? static_cast<unsigned char>(text[i + 2]) : 0;
    if (text.substr(i).starts_with(head) && last >= 0x90 && last <= 0x99) {
      out += static_cast<char>('0' + last - 0x90);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

size_t digits_from(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && is_digit(text[end])) {
    ++end;
  }
  return end - at;
}

/// A thin space within a number is dropped, others become spaces.
std::string join_groups(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (!text.substr(i).starts_with(thin_space)) {
      out += text[i++];
      continue;
    }
    i += thin_space.size();
    const bool within = !out.empty() && is_digit(out.back()) && digits_from(text, i) == 3;
    out += within ? "" : " ";
  }
  return out;
}

}  // namespace

std::string plain_spelling(std::string_view text) { return join_groups(narrow_digits(respelt(text))); }

// --- values

namespace {

constexpr size_t most_digits = 400;

rational power_of_ten(int64_t exponent) {
  const cpp_int power = boost::multiprecision::pow(cpp_int(10), static_cast<unsigned>(std::abs(exponent)));
  return exponent < 0 ? rational(1, power) : rational(power);
}

/// Reads numbers without their signs. Each reader moves `at` behind what it has read, or says that nothing is there and
/// leaves it.
class number_reader {
public:
  explicit number_reader(std::string_view text) : text_(text) {}

  std::optional<rational> read(size_t& at) const {
    auto value = read_fraction(at);
    if (!value) {
      value = read_quotient(at);
    }
    return value;
  }

private:
  using value_or_none = std::optional<rational>;

  char char_at(size_t at) const { return at < text_.size() ? text_[at] : '\0'; }
  size_t after_spaces(size_t at) const { return std::min(text_.find_first_not_of(' ', at), text_.size()); }

  /// Groups of three digits behind commas: 1,234,567.
  std::string read_whole(size_t& at) const {
    const size_t count = digits_from(text_, at);
    std::string digits(text_.substr(at, count));
    at += count;
    const bool grouped = count > 0 && count <= 3;
    while (grouped && digits.size() <= most_digits && char_at(at) == ',' && digits_from(text_, at + 1) == 3) {
      digits += text_.substr(at + 1, 3);
      at += 4;
    }
    return digits;
  }

  value_or_none read_decimal(size_t& at) const {
    size_t end = at;
    std::string digits = read_whole(end);
    int64_t scale = 0;
    if (char_at(end) == '.' && is_digit(char_at(end + 1))) {
      const size_t count = digits_from(text_, end + 1);
      digits += text_.substr(end + 1, count);
      scale = static_cast<int64_t>(count);
      end += 1 + count;
    }
    if (digits.empty() || digits.size() > most_digits) {
      return std::nullopt;
    }
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));  // else octal
    at = end;
    return rational(cpp_int(digits)) * power_of_ten(-scale);
  }

  /// An exponent: digits with a sign, in braces or not.
  std::optional<int64_t> read_exponent(size_t& at) const {
    size_t end = at;
    const bool braces = char_at(end) == '{';
    end += braces ? 1 : 0;
    const bool negative = char_at(end) == '-';
    end += negative || char_at(end) == '+' ? 1 : 0;
    const size_t count = digits_from(text_, end);
    constexpr size_t longest = 3;
    if (count == 0 || count > longest || (braces && char_at(end + count) != '}')) {
      return std::nullopt;
    }
    const int64_t value = std::stoll(std::string(text_.substr(end, count)));
    at = end + count + (braces ? 1 : 0);
    return std::abs(value) > static_cast<int64_t>(most_digits) ? std::nullopt
                                                               : std::optional<int64_t>(negative ? -value : value);
  }

  /// What follows a decimal and multiplies it: e-3, x 10^3.
  rational read_scale(size_t& at) const {
    size_t end = at;
    if (char_at(end) == 'e' || char_at(end) == 'E') {
      ++end;
    } else {
      end = after_spaces(end);
      if (char_at(end) != 'x' && char_at(end) != '*') {
        return 1;
      }
      end = after_spaces(end + 1);
      if (text_.substr(end, 3) != "10^") {
        return 1;
      }
      end += 3;
    }
    const auto exponent = read_exponent(end);
    if (!exponent) {
      return 1;
    }
    at = end;
    return power_of_ten(*exponent);
  }

  /// 10^3, 2^10.
  value_or_none read_power(const rational& base, size_t& at) const {
    if (char_at(at) != '^') {
      return base;
    }
    size_t end = at + 1;
    const auto exponent = read_exponent(end);
    const bool small = exponent && base <= 1000 && std::abs(*exponent) <= 100;
    if (!small || (base == 0 && *exponent < 0)) {
      return std::nullopt;
    }
    at = end;
    rational value = 1;
    for (int64_t i = 0; i < std::abs(*exponent); ++i) {
      value *= base;
    }
    return *exponent < 0 ? 1 / value : value;
  }

  value_or_none read_scaled(size_t& at) const {
    size_t end = at;
    const value_or_none decimal = read_decimal(end);
    if (!decimal) {
      return std::nullopt;
    }
    const rational scale = read_scale(end);
    const value_or_none value = scale == 1 ? read_power(*decimal, end) : *decimal * scale;
    at = value ? end : at;
    return value;
  }

  /// 5/10 or 5 / 10; not the beginning of 1/2/2024.
  value_or_none read_quotient(size_t& at) const {
    const value_or_none over = read_scaled(at);
    if (!over) {
      return std::nullopt;
    }
    if (denominator(*over) == 1) {
      if (const auto part = read_mixed(at)) {
        return *over + *part;
      }
    }
    const value_or_none under = read_divisor(at);
    return under ? *over / *under : over;
  }

  value_or_none read_divisor(size_t& at) const {
    size_t end = after_spaces(at);
    if (char_at(end) != '/') {
      return std::nullopt;
    }
    end = after_spaces(end + 1);
    const value_or_none under = read_scaled(end);
    if (!under || *under == 0 || (char_at(end) == '/' && is_digit(char_at(end + 1)))) {
      return std::nullopt;
    }
    at = end;
    return under;
  }

  /// The fraction after the whole part of a mixed number: 1 1/2, 1\frac{1}{2}.
  value_or_none read_mixed(size_t& at) const {
    size_t end = after_spaces(at);
    value_or_none part = read_fraction(end);
    if (!part && end > at) {
      const value_or_none over = read_decimal(end);
      const bool follows = over && char_at(end) == '/' && is_digit(char_at(end + 1));
      const value_or_none under = follows ? read_divisor(end) : std::nullopt;
      part = under ? value_or_none(*over / *under) : std::nullopt;
    }
    if (!part || *part >= 1) {
      return std::nullopt;
    }
    at = end;
    return part;
  }

  /// \frac{1}{2}, \frac12, \frac{-1}{2}.
  value_or_none read_fraction(size_t& at) const {
    constexpr std::string_view name = "\\frac";
    if (!text_.substr(std::min(at, text_.size())).starts_with(name)) {
      return std::nullopt;
    }
    size_t end = after_spaces(at + name.size());
    const value_or_none over = read_argument(end);
    end = after_spaces(end);
    const value_or_none under = over ? read_argument(end) : std::nullopt;
    if (!under || *under == 0) {
      return std::nullopt;
    }
    at = end;
    return *over / *under;
  }

  value_or_none read_argument(size_t& at) const {
    if (is_digit(char_at(at))) {
      return rational(char_at(at++) - '0');
    }
    if (char_at(at) != '{') {
      return std::nullopt;
    }
    size_t end = after_spaces(at + 1);
    const bool negative = char_at(end) == '-';
    end = after_spaces(end + (negative ? 1 : 0));
    const value_or_none value = read_scaled(end);
    end = after_spaces(end);
    if (!value || char_at(end) != '}') {
      return std::nullopt;
    }
    at = end + 1;
    return negative ? -*value : *value;
  }

  std::string_view text_;
};

// --- where numbers stand

constexpr auto currencies = std::to_array<std::string_view>({"$", "\u20AC", "\u00A3", "\u00A5", "\u20B9"});

/// Finds numbers with their signs.
class number_finder {
public:
  explicit number_finder(std::string_view text) : text_(text), reader_(text) {}

  std::vector<text_number> all() const {
    std::vector<text_number> found;
    for (size_t at = 0; at < text_.size();) {
      auto one = number_at(at);
      if (one) {
        at = one->end;
        found.push_back(std::move(*one));
      } else {
        at = passed(at);
      }
    }
    return found;
  }

private:
  char before(size_t at) const { return at > 0 ? text_[at - 1] : ' '; }

  /// Digits that are no number are passed as a whole.
  size_t passed(size_t at) const {
    return is_digit(text_[at]) ? at + std::max<size_t>(1, digits_from(text_, at)) : at + 1;
  }

  /// x^2, x^{2}, x_2, x_{2}; but _2_ is emphasis.
  bool raised_or_lowered(size_t at) const {
    const size_t mark = at - (before(at) == '{' ? 1 : 0);
    const char base = mark > 0 ? before(mark - 1) : ' ';
    return before(mark) == '^' || (before(mark) == '_' && (is_letter(base) || is_digit(base) || base == '}'));
  }

  /// A sign joins two things, or belongs to the number behind it.
  bool joins(size_t at) const {
    const char last = before(at);
    return is_digit(last) || is_letter(last) || last == ')' || last == ']' || last == '}' || last == '%' || last == '-';
  }

  /// A sign that a space parts from its number belongs to it after these only, or where nothing stands before.
  bool may_stand_apart(size_t at) const {
    const size_t last = text_.substr(0, at).find_last_not_of(' ');
    return last == std::string_view::npos || std::string_view("={(:*$#").find(text_[last]) != std::string_view::npos;
  }

  size_t after_decoration(size_t at) const {
    for (bool more = true; more && at < text_.size();) {
      const auto currency = std::find_if(currencies.begin(), currencies.end(),
                                         [&](std::string_view one) { return text_.substr(at).starts_with(one); });
      const bool mark = text_[at] == '*' || text_[at] == '{' || text_[at] == '(';
      more = mark || currency != currencies.end();
      at += currency != currencies.end() ? currency->size() : mark ? 1 : 0;
    }
    return at;
  }

  bool begins_number(size_t at) const {
    const auto digit = [&](size_t i) { return i < text_.size() && is_digit(text_[i]); };
    const bool fraction = text_.substr(std::min(at, text_.size())).starts_with("\\frac");
    const bool point = at < text_.size() && text_[at] == '.' && digit(at + 1) && !is_letter(before(at));
    return digit(at) || fraction || point;
  }

  /// Where the number of a sign at `at` begins; nothing where the sign is none.
  std::optional<size_t> number_of_sign(size_t at) const {
    if (joins(at)) {
      return std::nullopt;
    }
    size_t begin = after_decoration(at + 1);
    if (begin < text_.size() && text_[begin] == ' ' && may_stand_apart(at)) {
      begin = after_decoration(begin + 1);
    }
    return begins_number(begin) ? std::optional(begin) : std::nullopt;
  }

  std::optional<text_number> number_at(size_t at) const {
    if (text_[at] == '-' || text_[at] == '+') {
      const auto begin = number_of_sign(at);
      return begin ? read(*begin, at, text_[at] == '-') : std::nullopt;
    }
    return begins_number(at) && !raised_or_lowered(at) ? read(at, at, false) : std::nullopt;
  }

  std::optional<text_number> read(size_t digits, size_t begin, bool negative) const {
    size_t end = digits;
    const std::optional<rational> size = reader_.read(end);
    if (!size) {
      return std::nullopt;
    }
    const rational value = negative ? -*size : *size;
    text_number out{
        .value = value.str(), .hundredth = rational(value / 100).str(), .percent = false, .begin = begin, .end = end};
    const size_t word = std::min(text_.find_first_not_of(" }*", end), text_.size());
    for (const std::string_view sign : {"%", "percent", "per cent"}) {
      if (text_.substr(word).starts_with(sign)) {
        out.percent = true;
        out.end = word + sign.size();
      }
    }
    return out;
  }

  std::string_view text_;
  number_reader reader_;
};

}  // namespace

std::vector<text_number> numbers_in(std::string_view text) { return number_finder(text).all(); }

/// Does what stands before and behind a number make another of it? LaTeX's commands, roots, pi, operators.
static bool changed_by(std::string_view front, std::string_view back) {
  const size_t last = front.find_last_not_of(' ');
  const size_t next = back.find_first_not_of(' ');
  const auto holds = [&](std::string_view what) {
    return front.find(what) != std::string_view::npos || back.find(what) != std::string_view::npos;
  };
  const bool joined =
      (last != std::string_view::npos && std::string_view("+-/^").find(front[last]) != std::string_view::npos) ||
      (next != std::string_view::npos && std::string_view("+-/^!").find(back[next]) != std::string_view::npos);
  return joined || holds("\\") || holds("\u221A") || holds("\u03C0");
}

std::optional<text_number> only_number(std::string_view text) {
  const size_t equals = text.rfind('=');
  text.remove_prefix(equals == std::string_view::npos ? 0 : equals + 1);
  std::vector<text_number> found = numbers_in(text);
  if (found.size() != 1) {
    return std::nullopt;
  }
  const std::string_view front = text.substr(0, found[0].begin);
  const std::string_view back = text.substr(found[0].end);
  return changed_by(front, back) ? std::nullopt : std::optional(std::move(found[0]));
}

}  // namespace troupe::io
