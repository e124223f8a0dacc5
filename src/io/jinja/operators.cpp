#include "io/jinja/operators.hpp"

#include "io/jinja/print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace troupe::io::jinja {
namespace {

[[noreturn]] void overflow() { fail("an integer is beyond 64 bits"); }

int64_t floor_divide(int64_t a, int64_t b) {
  if (a == std::numeric_limits<int64_t>::min() && b == -1) {
    overflow();
  }
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == -1) {
    return 0;
  }
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) {
    return std::copysign(0.0, b);
  }
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_divide(double a, double b) {
  const double rest = floor_modulo(a, b);
  const double quotient = (a - rest) / b;
  return quotient == 0 ? std::copysign(0.0, a / b) : std::floor(quotient + 0.5);
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1 && __builtin_mul_overflow(result, base, &result)) {
      overflow();
    }
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) {
      overflow();
    }
  }
  return result;
}

value of_integers(operation how, int64_t a, int64_t b) {
  int64_t result = 0;
  bool over = false;
  if (b == 0 && (how == operation::divide || how == operation::divide_whole || how == operation::modulo)) {
    fail("division by zero");
  }
  switch (how) {
  case operation::add:
    over = __builtin_add_overflow(a, b, &result);
    break;
  case operation::subtract:
    over = __builtin_sub_overflow(a, b, &result);
    break;
  case operation::multiply:
    over = __builtin_mul_overflow(a, b, &result);
    break;
  case operation::divide:
    return static_cast<double>(a) / static_cast<double>(b);
  case operation::divide_whole:
    return floor_divide(a, b);
  case operation::modulo:
    return floor_modulo(a, b);
  case operation::power:
    if (b < 0) {
      if (a == 0) {
        fail("0 cannot be raised to a negative power");
      }
      return std::pow(static_cast<double>(a), static_cast<double>(b));
    }
    return integer_power(a, b);
  }
  if (over) {
    overflow();
  }
  return result;
}

value of_numbers(operation how, double a, double b) {
  if (b == 0 && (how == operation::divide || how == operation::divide_whole || how == operation::modulo)) {
    fail("division by zero");
  }
  switch (how) {
  case operation::add:
    return a + b;
  case operation::subtract:
    return a - b;
  case operation::multiply:
    return a * b;
  case operation::divide:
    return a / b;
  case operation::divide_whole:
    return floor_divide(a, b);
  case operation::modulo:
    return floor_modulo(a, b);
  default:
    break;
  }
  const double result = std::pow(a, b);
  if (!std::isfinite(result) && std::isfinite(a) && std::isfinite(b)) {
    fail("a power is no number that can be held");
  }
  return result;
}

value add_texts(machine& m, const string_value& a, const string_value& b) {
  const bool markup = a.markup || b.markup;
  text sum = markup && !a.markup ? html_escaped(a.words) : a.words;
  sum.append(markup && !b.markup ? html_escaped(b.words) : b.words);
  return m.made(std::move(sum), markup);
}

value add_sequences(machine& m, const sequence& a, const sequence& b) {
  m.spend(static_cast<int64_t>(a.items.size() + b.items.size()));
  std::vector<value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return make_sequence(std::move(items), a.what);
}

/// A text or a sequence, repeated.
std::optional<value> repeat(machine& m, const value& what, const value& count) {
  const auto times = count.as_integer();
  const string_value* words = what.as_string();
  const sequence* items = what.as_sequence();
  if (!times || (words == nullptr && (items == nullptr || items->what == sequence::kind::generator))) {
    return std::nullopt;
  }
  const int64_t n = std::max<int64_t>(*times, 0);
  if (words != nullptr) {
    m.expect_bytes(static_cast<double>(words->words.size()) * static_cast<double>(n));
    text out;
    for (int64_t i = 0; i < n && !words->words.empty(); ++i) {
      out.append(words->words);
    }
    return m.made(std::move(out), words->markup);
  }
  std::vector<value> out;
  for (int64_t i = 0; i < n && !items->items.empty(); ++i) {
    m.spend(static_cast<int64_t>(items->items.size()));
    out.insert(out.end(), items->items.begin(), items->items.end());
  }
  return make_sequence(std::move(out), items->what);
}

std::string_view symbol_of(operation how) {
  constexpr std::array<std::string_view, 7> symbols{"+", "-", "*", "/", "//", "%", "**"};
  return symbols[static_cast<size_t>(how)];
}

bool contains(const value& inside, const value& wanted) {
  if (const text* words = inside.as_text()) {
    if (wanted.as_text() == nullptr) {
      fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(wanted)));
    }
    return words->bytes().find(wanted.as_text()->bytes()) != std::string::npos;
  }
  if (const mapping* entries = inside.as_mapping()) {
    require_hashable(wanted);
    return entries->find(wanted) != nullptr;
  }
  if (inside.as_sequence() == nullptr && !inside.is_undefined()) {
    fail(fmt::format("argument of type '{}' is not iterable", type_name(inside)));
  }
  const std::vector<value> items = items_of(inside);
  return std::any_of(items.begin(), items.end(), [&](const value& item) { return equal(item, wanted); });
}

/// printf as Python has it.
class percent_formatter {
public:
  percent_formatter(machine& m, const text& format, const value& given) : machine_(m), format_(format), named_(given) {
    const sequence* items = given.as_sequence();
    positional_ = items != nullptr && items->what == sequence::kind::tuple ? items->items : std::vector<value>{given};
  }

  text write() {
    const std::string& bytes = format_.bytes();
    for (size_t at = 0; at < bytes.size();) {
      const size_t mark = std::min(bytes.find('%', at), bytes.size());
      out_.append(format_, at, mark - at);
      at = mark < bytes.size() ? convert(mark + 1) : mark;
    }
    if (!by_name_ && used_ < positional_.size() && named_.as_mapping() == nullptr) {
      fail("not all arguments converted during string formatting");
    }
    return std::move(out_);
  }

private:
  struct conversion {
    bool left = false, zero = false, plus = false, space = false, alternative = false;
    int64_t width = 0;
    std::optional<int64_t> precision;
  };

  char peek(size_t at) const {
    if (at >= format_.size()) {
      fail("incomplete format");
    }
    return format_.bytes()[at];
  }

  size_t read_number(size_t at, int64_t& number) {
    if (peek(at) == '*') {
      const auto given = next().as_integer();
      if (!given) {
        fail("* wants int");
      }
      number = *given;
      return at + 1;
    }
    for (; peek(at) >= '0' && peek(at) <= '9'; ++at) {
      number = std::min<int64_t>(number * 10 + (peek(at) - '0'), int64_t{1} << 30);
    }
    return at;
  }

  /// From what follows the % on; returns the position after the conversion.
  size_t convert(size_t at) {
    const value* named = nullptr;
    if (peek(at) == '(') {
      const size_t end = format_.bytes().find(')', at);
      const mapping* entries = named_.as_mapping();
      if (end == std::string::npos || entries == nullptr) {
        fail(entries == nullptr ? "format requires a mapping" : "incomplete format key");
      }
      const std::string key = format_.bytes().substr(at + 1, end - at - 1);
      named = entries->find(std::string_view(key));
      if (named == nullptr) {
        fail(fmt::format("the format's key '{}' is not there", key));
      }
      by_name_ = true;
      at = end + 1;
    }
    conversion how;
    at = read_flags(at, how);
    at = read_number(at, how.width);
    if (how.width < 0) {
      how.left = true;
      how.width = -how.width;
    }
    if (peek(at) == '.') {
      int64_t precision = 0;
      at = read_number(at + 1, precision);
      how.precision = precision;
    }
    while (peek(at) == 'l' || peek(at) == 'h' || peek(at) == 'L') {
      ++at;
    }
    const char kind = peek(at);
    if (kind == '%') {
      out_.append("%");
    } else {
      write_one(kind, named != nullptr ? *named : next(), how);
    }
    return at + 1;
  }

  size_t read_flags(size_t at, conversion& how) const {
    for (;; ++at) {
      switch (peek(at)) {
      case '-':
        how.left = true;
        break;
      case '0':
        how.zero = true;
        break;
      case '+':
        how.plus = true;
        break;
      case ' ':
        how.space = true;
        break;
      case '#':
        how.alternative = true;
        break;
      default:
        return at;
      }
    }
  }

  const value& next() {
    if (used_ >= positional_.size()) {
      fail("not enough arguments for format string");
    }
    return positional_[used_++];
  }

  void write_one(char kind, const value& what, const conversion& how) {
    switch (kind) {
    case 's':
    case 'r':
    case 'a': {
      text words = kind == 's' ? to_text(machine_, what) : to_repr(machine_, what);
      if (how.precision) {
        const std::vector<size_t> bounds = character_bounds(words.bytes());
        words = words.part(
            0, bounds[static_cast<size_t>(std::min<int64_t>(*how.precision, static_cast<int64_t>(bounds.size()) - 1))]);
      }
      pad(words, how);
      return;
    }
    case 'c': {
      pad(what.as_text() != nullptr ? *what.as_text() : to_text(machine_, what), how);
      return;
    }
    case 'd':
    case 'i':
    case 'u':
      write_integer(what, how, 10, false);
      return;
    case 'x':
    case 'X':
      write_integer(what, how, 16, kind == 'X');
      return;
    case 'o':
      write_integer(what, how, 8, false);
      return;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      write_float(kind, what, how);
      return;
    default:
      fail(fmt::format("unsupported format character '{}'", kind));
    }
  }

  static std::string sign_of(bool negative, const conversion& how) {
    return negative ? "-" : how.plus ? "+" : how.space ? " " : "";
  }

  void write_integer(const value& what, const conversion& how, int base, bool upper) {
    const auto number = what.as_number();
    if (!number) {
      fail(fmt::format("%d format: a number is required, not {}", type_name(what)));
    }
    const int64_t whole = what.as_integer() ? *what.as_integer() : static_cast<int64_t>(checked_whole(*number));
    const uint64_t size = whole < 0 ? 0 - static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole);
    std::string digits = base == 10  ? fmt::format("{}", size)
                         : base == 8 ? fmt::format("{:o}", size)
                         : upper     ? fmt::format("{:X}", size)
                                     : fmt::format("{:x}", size);
    if (how.precision && *how.precision > static_cast<int64_t>(digits.size())) {
      machine_.expect_bytes(static_cast<double>(*how.precision));
      digits.insert(0, static_cast<size_t>(*how.precision) - digits.size(), '0');
    }
    const std::string prefix = !how.alternative || base == 10 ? "" : base == 8 ? "0o" : upper ? "0X" : "0x";
    write_number(sign_of(whole < 0, how) + prefix, digits, how);
  }

  static double checked_whole(double number) {
    if (!(std::abs(number) < 9.2e18)) {
      overflow();
    }
    return std::trunc(number);
  }

  void write_float(char kind, const value& what, const conversion& how) {
    const auto number = what.as_number();
    if (!number) {
      fail(fmt::format("must be real number, not {}", type_name(what)));
    }
    const double size = std::abs(*number);
    const auto precision = static_cast<int>(std::min<int64_t>(how.precision.value_or(6), 1000));
    std::string digits;
    switch (kind) {
    case 'e':
      digits = fmt::format("{:.{}e}", size, precision);
      break;
    case 'E':
      digits = fmt::format("{:.{}E}", size, precision);
      break;
    case 'g':
      digits = fmt::format("{:.{}g}", size, precision);
      break;
    case 'G':
      digits = fmt::format("{:.{}G}", size, precision);
      break;
    default:
      digits = fmt::format("{:.{}f}", size, precision);
      break;
    }
    write_number(sign_of(std::signbit(*number), how), digits, how);
  }

  void write_number(const std::string& prefix, std::string digits, const conversion& how) {
    const auto size = static_cast<int64_t>(prefix.size() + digits.size());
    if (how.zero && !how.left && size < how.width) {
      machine_.expect_bytes(static_cast<double>(how.width));
      digits.insert(0, static_cast<size_t>(how.width - size), '0');
    }
    pad(text(prefix + digits), how);
  }

  void pad(const text& words, const conversion& how) {
    const auto size = static_cast<int64_t>(character_bounds(words.bytes()).size()) - 1;
    const int64_t missing = std::max<int64_t>(how.width - size, 0);
    machine_.expect_bytes(static_cast<double>(out_.size() + words.size()) + static_cast<double>(missing));
    const std::string blanks(static_cast<size_t>(missing), ' ');
    out_.append(how.left ? "" : blanks);
    out_.append(words);
    out_.append(how.left ? blanks : "");
  }

  machine& machine_;
  const text& format_;
  const value& named_;
  std::vector<value> positional_;
  size_t used_ = 0;
  bool by_name_ = false;
  text out_;
};

}  // namespace

value apply(machine& m, operation how, const value& a, const value& b) {
  const auto whole_a = a.as_integer();
  const auto whole_b = b.as_integer();
  if (whole_a && whole_b) {
    return of_integers(how, *whole_a, *whole_b);
  }
  if (a.as_number() && b.as_number()) {
    return of_numbers(how, *a.as_number(), *b.as_number());
  }
  if (how == operation::add && a.as_string() != nullptr && b.as_string() != nullptr) {
    return add_texts(m, *a.as_string(), *b.as_string());
  }
  if (how == operation::add && a.as_sequence() != nullptr && b.as_sequence() != nullptr &&
      a.as_sequence()->what == b.as_sequence()->what && a.as_sequence()->what != sequence::kind::generator) {
    return add_sequences(m, *a.as_sequence(), *b.as_sequence());
  }
  if (how == operation::multiply) {
    auto repeated = repeat(m, a, b);
    repeated = repeated ? repeated : repeat(m, b, a);
    if (repeated) {
      return std::move(*repeated);
    }
  }
  if (how == operation::modulo && a.as_text() != nullptr) {
    return m.made(percent_format(m, *a.as_text(), b));
  }
  require_defined(a);
  require_defined(b);
  fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol_of(how), type_name(a), type_name(b)));
}

value minus(const value& a) {
  if (const auto number = a.as_integer()) {
    return of_integers(operation::subtract, 0, *number);
  }
  if (const auto* number = a.get<double>()) {
    return -*number;
  }
  require_defined(a);
  fail(fmt::format("bad operand type for unary -: '{}'", type_name(a)));
}

value plus(const value& a) {
  if (const auto number = a.as_integer()) {
    return *number;
  }
  if (a.as_number()) {
    return a;
  }
  require_defined(a);
  fail(fmt::format("bad operand type for unary +: '{}'", type_name(a)));
}

bool holds(machine& m, relation how, const value& a, const value& b) {
  const bool searches = how == relation::in || how == relation::not_in;
  m.spend(1 + (searches ? weight_of(b) : std::min(weight_of(a), weight_of(b))) / 16);
  switch (how) {
  case relation::equal:
    return equal(a, b);
  case relation::unequal:
    return !equal(a, b);
  case relation::less:
    return less(a, b);
  case relation::less_equal:
    return a.as_number() && b.as_number() ? *a.as_number() <= *b.as_number() : !less(b, a);
  case relation::greater:
    return less(b, a);
  case relation::greater_equal:
    return a.as_number() && b.as_number() ? *a.as_number() >= *b.as_number() : !less(a, b);
  case relation::in:
    return contains(b, a);
  case relation::not_in:
    return !contains(b, a);
  }
  return false;
}

text percent_format(machine& m, const text& format, const value& given) {
  return percent_formatter(m, format, given).write();
}

text html_escaped(const text& from) {
  constexpr std::array<std::pair<char, std::string_view>, 5> escapes{
      {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}}};
  text out;
  for (size_t i = 0; i < from.size(); ++i) {
    const char c = from.bytes()[i];
    const auto* found = std::find_if(escapes.begin(), escapes.end(), [&](const auto& e) { return e.first == c; });
    out.append(found == escapes.end() ? std::string_view(&c, 1) : found->second, from.marks()[i]);
  }
  return out;
}

}  // namespace troupe::io::jinja
