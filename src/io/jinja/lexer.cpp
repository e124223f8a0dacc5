#include "io/jinja/lexer.hpp"

#include "base/error.hpp"
#include "io/jinja/text.hpp"
#include "io/tokenizer/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace troupe::io::jinja {
namespace {

using namespace std::string_view_literals;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Letters, digits and _ in any script.
bool is_name_part(uint32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_ND:
    return true;
  default:
    return code == '_';
  }
}

// The end of the white space at `at`.
size_t skip_spaces(std::string_view source, size_t at) {
  while (at < source.size()) {
    const utf8_step step = read_utf8(source.substr(at));
    if (!is_space(step.code)) {
      break;
    }
    at += step.length;
  }
  return at;
}

std::string with_unix_lines(std::string_view source) {
  std::string result;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      result += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      result += '\n';
    }
  }
  return result;
}

/// Unescapes what stands between the quotes of a literal, as Python's unicode-escape does.
class literal_reader {
public:
  literal_reader(std::string_view source, int64_t line) : source_(source), line_(line) {}

  std::string read() {
    std::string out;
    while (at_ < source_.size()) {
      const char c = source_[at_++];
      if (c == '\\') {
        escape(out);
      } else {
        out += c;
      }
    }
    return out;
  }

private:
  void escape(std::string& out) {
    constexpr std::array<std::pair<char, char>, 10> simple{{{'n', '\n'},
                                                            {'t', '\t'},
                                                            {'r', '\r'},
                                                            {'\\', '\\'},
                                                            {'\'', '\''},
                                                            {'"', '"'},
                                                            {'a', '\a'},
                                                            {'b', '\b'},
                                                            {'f', '\f'},
                                                            {'v', '\v'}}};
    const char c = source_[at_++];  // the lexer lets no literal end in a lone backslash
    for (const auto& [written, meant] : simple) {
      if (c == written) {
        out += meant;
        return;
      }
    }
    if (c == 'x' || c == 'u' || c == 'U') {
      append_code(out, digits(c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, true));
    } else if (c >= '0' && c <= '7') {
      --at_;
      append_code(out, digits(3, 8, false));
    } else if (c == 'N') {
      fail_at(line_, "\\N in a text is not supported: write \\u and the code");
    } else if (c != '\n') {  // a backslash at the end of a line takes the line break away
      out += '\\';
      out += c;
    }
  }

  uint32_t digits(size_t most, int base, bool all) {
    const std::string_view part = source_.substr(at_, most);
    uint32_t code = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), code, base);
    const auto used = static_cast<size_t>(read.ptr - part.data());
    if (used == 0 || (all && used != most)) {
      fail_at(line_, "a text has an escape that is cut short");
    }
    at_ += used;
    return code;
  }

  void append_code(std::string& out, uint32_t code) {
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      fail_at(line_, fmt::format("a text has an escape for U+{:04X}, which is no character", code));
    }
    append_utf8(out, code);
  }

  std::string_view source_;
  int64_t line_;
  size_t at_ = 0;
};

class lexer {
public:
  explicit lexer(std::string_view source) : source_(source) {}

  std::vector<token> read() {
    while (at_ < source_.size()) {
      read_text_and_tag();
    }
    add(token::kind::end, {});
    return std::move(out_);
  }

private:
  token& add(token::kind what, std::string words) {
    return out_.emplace_back(token{what, std::move(words), 0, 0, line_});
  }

  void advance_to(size_t end) {
    line_ += std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                        source_.begin() + static_cast<std::ptrdiff_t>(end), '\n');
    at_ = end;
    if (end > 0) {
      line_starts_ = source_[end - 1] == '\n';
    }
  }

  size_t find_tag(size_t from) const {
    for (size_t at = source_.find('{', from); at != std::string_view::npos; at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() && "{%#"sv.find(source_[at + 1]) != std::string_view::npos) {
        return at;
      }
    }
    return std::string_view::npos;
  }

  /// The text before a tag, as the tag's sign and lstrip_blocks leave it.
  std::string_view before_tag(std::string_view words, char sign, bool is_variable) const {
    if (sign == '-') {
      const text stripped = strip(text(words), nullptr, false, true);
      return words.substr(0, stripped.size());
    }
    if (sign == '+' || is_variable) {
      return words;
    }
    const size_t line_start = words.rfind('\n') + 1;  // npos + 1 is 0
    if ((line_start > 0 || line_starts_) && skip_spaces(words, line_start) == words.size()) {
      return words.substr(0, line_start);
    }
    return words;
  }

  void add_text(std::string_view words) {
    if (!words.empty()) {
      add(token::kind::text, std::string(words));
    }
  }

  void read_text_and_tag() {
    const size_t begin = find_tag(at_);
    if (begin == std::string_view::npos) {
      add_text(source_.substr(at_));
      advance_to(source_.size());
      return;
    }
    const char kind = source_[begin + 1];
    const char next = begin + 2 < source_.size() ? source_[begin + 2] : '\0';
    const char sign = next == '-' || next == '+' ? next : '\0';
    add_text(before_tag(source_.substr(at_, begin - at_), sign, kind == '{'));
    advance_to(begin + (sign != '\0' ? 3 : 2));
    if (kind == '#') {
      skip_comment();
    } else if (kind == '%' && read_raw()) {
      return;
    } else {
      read_tag(kind == '{');
    }
  }

  void skip_comment() {
    const size_t close = source_.find("#}", at_);
    if (close == std::string_view::npos) {
      fail_at(line_, "a comment is not closed: #} is missing");
    }
    const char sign = close > at_ ? source_[close - 1] : '\0';
    advance_to(after_close(close + 2, sign == '-' ? '-' : '\0', sign != '+'));
  }

  /// Past what a closing mark takes along: all white space after a minus; else, where it trims, one line break.
  size_t after_close(size_t end, char sign, bool trims) const {
    if (sign == '-') {
      return skip_spaces(source_, end);
    }
    return trims && end < source_.size() && source_[end] == '\n' ? end + 1 : end;
  }

  /// The end of a tag "NAME %}" that begins at `at`, white space it takes along included.
  std::optional<size_t> word_tag_end(size_t at, std::string_view name, bool trims) const {
    at = skip_spaces(source_, at);
    if (!source_.substr(at).starts_with(name)) {
      return std::nullopt;
    }
    at = skip_spaces(source_, at + name.size());
    const char sign = at < source_.size() && (source_[at] == '-' || (trims && source_[at] == '+')) ? source_[at] : '\0';
    at += sign != '\0' ? 1 : 0;
    if (!source_.substr(at).starts_with("%}")) {
      return std::nullopt;
    }
    return after_close(at + 2, sign, trims && sign != '+');
  }

  /// {% raw %}: everything up to {% endraw %} is text.
  bool read_raw() {
    const auto inside = word_tag_end(at_, "raw", false);
    if (!inside) {
      return false;
    }
    const int64_t line = line_;
    advance_to(*inside);
    for (size_t at = source_.find("{%", at_); at != std::string_view::npos; at = source_.find("{%", at + 2)) {
      const char next = at + 2 < source_.size() ? source_[at + 2] : '\0';
      const char sign = next == '-' || next == '+' ? next : '\0';
      if (const auto end = word_tag_end(at + (sign != '\0' ? 3 : 2), "endraw", true)) {
        add_text(before_tag(source_.substr(at_, at - at_), sign, false));
        advance_to(*end);
        return true;
      }
    }
    fail_at(line, "{% raw %} is not closed: {% endraw %} is missing");
  }

  void read_tag(bool is_variable) {
    const int64_t line = line_;
    add(is_variable ? token::kind::variable_begin : token::kind::block_begin, is_variable ? "{{" : "{%");
    std::string open;  // brackets
    for (;;) {
      advance_to(skip_spaces(source_, at_));
      if (at_ == source_.size()) {
        fail_at(line, fmt::format("a tag is not closed: {} is missing", is_variable ? "}}" : "%}"));
      }
      if (open.empty() && read_tag_end(is_variable)) {
        return;
      }
      read_word(open);
    }
  }

  bool read_tag_end(bool is_variable) {
    const char sign = source_[at_] == '-' || (source_[at_] == '+' && !is_variable) ? source_[at_] : '\0';
    const size_t close = at_ + (sign != '\0' ? 1 : 0);
    if (!source_.substr(close).starts_with(is_variable ? "}}" : "%}")) {
      return false;
    }
    add(is_variable ? token::kind::variable_end : token::kind::block_end, is_variable ? "}}" : "%}");
    advance_to(after_close(close + 2, sign, !is_variable && sign != '+'));
    return true;
  }

  void read_word(std::string& open) {
    const char c = source_[at_];
    if (c == '\'' || c == '"') {
      read_string(c);
    } else if (is_digit(c)) {
      read_number();
    } else if (is_name_part(read_utf8(source_.substr(at_)).code)) {
      read_name();
    } else {
      read_symbol(open);
    }
  }

  void read_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) {
      end += source_[end] == '\\' ? 2 : 1;
    }
    if (end >= source_.size()) {
      fail_at(line_, "a text is not closed: its quote is missing");
    }
    add(token::kind::string, literal_reader(source_.substr(at_ + 1, end - at_ - 1), line_).read());
    advance_to(end + 1);
  }

  void read_name() {
    size_t end = at_;
    while (end < source_.size()) {
      const utf8_step step = read_utf8(source_.substr(end));
      if (!is_name_part(step.code)) {
        break;
      }
      end += step.length;
    }
    add(token::kind::name, std::string(source_.substr(at_, end - at_)));
    advance_to(end);
  }

  /// The end of digits with single underscores between them.
  template <class IsDigit> size_t digits_end(size_t at, const IsDigit& is_one) const {
    while (at < source_.size() && (is_one(source_[at]) || (source_[at] == '_' && at > 0 && is_one(source_[at - 1]) &&
                                                           at + 1 < source_.size() && is_one(source_[at + 1])))) {
      ++at;
    }
    return at;
  }

  static std::string without_underscores(std::string_view digits) {
    std::string plain(digits);
    plain.erase(std::remove(plain.begin(), plain.end(), '_'), plain.end());
    return plain;
  }

  void add_integer(std::string_view digits, int base, size_t end) {
    const std::string plain = without_underscores(digits);
    token& made = add(token::kind::integer, plain);
    const auto read = std::from_chars(plain.data(), plain.data() + plain.size(), made.integer, base);
    if (read.ec != std::errc() || read.ptr != plain.data() + plain.size()) {
      fail_at(line_, fmt::format("the number {} is not known or too large", plain));
    }
    advance_to(end);
  }

  void read_number() {
    const char kind = source_[at_] == '0' && at_ + 1 < source_.size() ? source_[at_ + 1] : '\0';
    if ("xXoObB"sv.find(kind) != std::string_view::npos && kind != '\0') {
      const int base = kind == 'x' || kind == 'X' ? 16 : kind == 'o' || kind == 'O' ? 8 : 2;
      const size_t end = digits_end(at_ + 2, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
      add_integer(source_.substr(at_ + 2, end - at_ - 2), base, end);
      return;
    }
    const size_t whole = digits_end(at_, is_digit);
    size_t end = whole;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1]) && !follows_dot()) {
      end = digits_end(end + 1, is_digit);
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E') && !follows_dot()) {
      const size_t sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
      if (end + 1 + sign < source_.size() && is_digit(source_[end + 1 + sign])) {
        end = digits_end(end + 1 + sign, is_digit);
      }
    }
    if (end == whole) {
      add_integer(source_.substr(at_, end - at_), 10, end);
      return;
    }
    const std::string plain = without_underscores(source_.substr(at_, end - at_));
    token& made = add(token::kind::floating, plain);
    std::from_chars(plain.data(), plain.data() + plain.size(), made.floating);
    advance_to(end);
  }

  bool follows_dot() const { return at_ > 0 && source_[at_ - 1] == '.'; }

  void read_symbol(std::string& open) {
    constexpr std::array symbols{"//"sv, "**"sv, "=="sv, "!="sv, ">="sv, "<="sv, "+"sv, "-"sv, "/"sv,
                                 "*"sv,  "%"sv,  "~"sv,  "["sv,  "]"sv,  "("sv,  ")"sv, "{"sv, "}"sv,
                                 ">"sv,  "<"sv,  "="sv,  "."sv,  ":"sv,  "|"sv,  ","sv};
    for (const std::string_view symbol : symbols) {
      if (source_.substr(at_).starts_with(symbol)) {
        balance(symbol.front(), open);
        add(token::kind::symbol, std::string(symbol));
        advance_to(at_ + symbol.size());
        return;
      }
    }
    const size_t length = read_utf8(source_.substr(at_)).length;
    fail_at(line_, fmt::format("\"{}\" has no meaning here", source_.substr(at_, length)));
  }

  void balance(char c, std::string& open) const {
    constexpr std::string_view opening = "([{";
    constexpr std::string_view closing = ")]}";
    if (opening.find(c) != std::string_view::npos) {
      open += c;
    } else if (const size_t which = closing.find(c); which != std::string_view::npos) {
      if (open.empty() || open.back() != opening[which]) {
        fail_at(line_, fmt::format("\"{}\" closes nothing", c));
      }
      open.pop_back();
    }
  }

  std::string_view source_;
  size_t at_ = 0;
  int64_t line_ = 1;
  bool line_starts_ = true;  // the last thing read ended a line
  std::vector<token> out_;
};

}  // namespace

std::string describe(const token& of) {
  switch (of.what) {
  case token::kind::end:
    return "the end of the template";
  case token::kind::text:
    return "text";
  case token::kind::string:
    return fmt::format("the text \"{}\"", of.words.substr(0, 40));
  default:
    return fmt::format("\"{}\"", of.words);
  }
}

void fail_at(int64_t line, const std::string& what) { throw error(errc::bad_file, "line {}: {}", line, what); }

std::vector<token> read_tokens(std::string_view source) {
  if (const auto at = find_invalid_utf8(source)) {
    throw error(errc::bad_file, "it is not UTF-8: byte {} of {}", *at, source.size());
  }
  std::string lines = with_unix_lines(source);
  if (lines.ends_with('\n')) {
    lines.pop_back();
  }
  return lexer(lines).read();
}

}  // namespace troupe::io::jinja
