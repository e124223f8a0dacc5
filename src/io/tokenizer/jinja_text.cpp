#include "io/tokenizer/jinja_text.hpp"

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

namespace troupe::io {
namespace {

struct token {
  bool is_text = false;  // a string literal, unescaped
  std::string value;
};

using token_list = std::vector<token>;

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// A string literal from its opening quote on; empty where it does not end.
std::optional<token> read_string(std::string_view source, size_t& at) {
  const char quote = source[at++];
  token result{true, {}};
  for (; at < source.size() && source[at] != quote; ++at) {
    if (source[at] != '\\' || at + 1 == source.size()) {
      result.value += source[at];
      continue;
    }
    const char next = source[++at];
    result.value += next == 'n' ? '\n' : next == 't' ? '\t' : next == 'r' ? '\r' : next;
  }
  if (at == source.size()) {
    return std::nullopt;
  }
  ++at;
  return result;
}

std::optional<token_list> tokens_of(std::string_view source) {
  token_list result;
  size_t at = 0;
  while (at < source.size()) {
    const char c = source[at];
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++at;
    } else if (c == '\'' || c == '"') {
      const auto text = read_string(source, at);
      if (!text) {
        return std::nullopt;
      }
      result.push_back(*text);
    } else if (is_name_character(c)) {
      const size_t begin = at;
      while (at < source.size() && is_name_character(source[at])) {
        ++at;
      }
      result.push_back({false, std::string(source.substr(begin, at - begin))});
    } else {
      const std::string_view two = source.substr(at, 2);
      const bool pair = two == "==" || two == "!=" || two == "<=" || two == ">=" || two == "//";
      result.push_back({false, std::string(source.substr(at, pair ? 2 : 1))});
      at += pair ? 2 : 1;
    }
  }
  return result;
}

bool is(const token_list& tokens, size_t i, std::string_view value) {
  return i < tokens.size() && !tokens[i].is_text && tokens[i].value == value;
}

// a['b'] as a.b
token_list with_dots(const token_list& tokens) {
  token_list result;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (is(tokens, i, "[") && i > 0 && i + 2 < tokens.size() && tokens[i + 1].is_text && is(tokens, i + 2, "]")) {
      result.push_back({false, "."});
      result.push_back({false, tokens[i + 1].value});
      i += 2;
    } else {
      result.push_back(tokens[i]);
    }
  }
  return result;
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    result += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  }
  return result + '"';
}

std::string joined(const token_list& tokens, size_t begin, size_t end) {
  std::string result;
  for (size_t i = begin; i < end; ++i) {
    result += (i > begin ? " " : "") + (tokens[i].is_text ? quoted(tokens[i].value) : tokens[i].value);
  }
  return result;
}

// The canonical text as it grows: neighbouring literals become one.
class canonical_writer {
public:
  void literal(std::string_view text) { literal_ += text; }

  void statement(const std::string& text) {
    flush();
    result_ += "{%" + text + "%}";
  }

  void output(const token_list& tokens) {
    if (!is_plain_sum(tokens)) {
      expression(joined(tokens, 0, tokens.size()));
      return;
    }
    size_t begin = 0;
    for (size_t i = 0; i <= tokens.size(); ++i) {
      if (i < tokens.size() && !(is(tokens, i, "+") && depth_at(tokens, i) == 0)) {
        continue;
      }
      if (i == begin + 1 && tokens[begin].is_text) {
        literal(tokens[begin].value);
      } else {
        expression(joined(tokens, begin, i));
      }
      begin = i + 1;
    }
  }

  std::string take() {
    flush();
    return result_;
  }

private:
  static int depth_at(const token_list& tokens, size_t end) {
    int depth = 0;
    for (size_t i = 0; i < end; ++i) {
      depth += is(tokens, i, "(") || is(tokens, i, "[") ? 1 : 0;
      depth -= is(tokens, i, ")") || is(tokens, i, "]") ? 1 : 0;
    }
    return depth;
  }

  // Only sums of strings may be taken apart: a condition or another operator keeps its whole
  // expression.
  static bool is_plain_sum(const token_list& tokens) {
    bool has_text = false;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const bool harmless = tokens[i].is_text || is(tokens, i, "+") || is(tokens, i, ".") || is(tokens, i, "|") ||
                            is(tokens, i, "(") || is(tokens, i, ")") ||
                            (is_name_character(tokens[i].value.front()) && !is(tokens, i, "if") &&
                             !is(tokens, i, "else") && !is(tokens, i, "and") && !is(tokens, i, "or") &&
                             !is(tokens, i, "not") && !is(tokens, i, "in") && !is(tokens, i, "is"));
      if (!harmless) {
        return false;
      }
      has_text = has_text || tokens[i].is_text;
    }
    return has_text;
  }

  void expression(const std::string& text) {
    flush();
    result_ += "{{" + text + "}}";
  }

  void flush() {
    if (!literal_.empty()) {
      result_ += quoted(literal_);
      literal_.clear();
    }
  }

  std::string result_;
  std::string literal_;
};

struct tag {
  char kind = '%';  // %, { or #
  size_t begin = 0;
  size_t end = 0;
  std::string_view inside;
  bool strip_before = false;
  bool strip_after = false;
};

// The end of a tag's inside: the closing mark outside of string literals.
std::optional<size_t> find_close(std::string_view source, size_t at, std::string_view close) {
  while (at < source.size()) {
    if (source.substr(at).starts_with(close)) {
      return at;
    }
    if (close != "#}" && (source[at] == '\'' || source[at] == '"')) {
      if (!read_string(source, at)) {
        return std::nullopt;
      }
    } else {
      ++at;
    }
  }
  return std::nullopt;
}

// The first tag at or after `from`; a tag with end = 0 is one that does not close.
std::optional<tag> find_tag(std::string_view source, size_t from) {
  size_t at = from;
  while (at + 1 < source.size() &&
         !(source[at] == '{' && (source[at + 1] == '{' || source[at + 1] == '%' || source[at + 1] == '#'))) {
    ++at;
  }
  if (at + 1 >= source.size()) {
    return std::nullopt;
  }
  tag result{source[at + 1], at, 0, {}, false, false};
  const std::string close{result.kind == '{' ? '}' : result.kind, '}'};
  const auto end = find_close(source, at + 2, close);
  if (!end) {
    return result;
  }
  result.inside = source.substr(at + 2, *end - at - 2);
  result.end = *end + 2;
  if (result.inside.starts_with('-') || result.inside.starts_with('+')) {
    result.strip_before = result.inside.front() == '-';
    result.inside.remove_prefix(1);
  }
  if (result.inside.ends_with('-')) {
    result.strip_after = true;
    result.inside.remove_suffix(1);
  }
  return result;
}

constexpr std::string_view spaces = " \t\r\n\f\v";

// The text between two tags, as trim_blocks, lstrip_blocks and the marks of both leave it.
std::string_view between(std::string_view text, const tag* before, const tag* after) {
  if (before != nullptr && before->strip_after) {
    text.remove_prefix(std::min(text.find_first_not_of(spaces), text.size()));
  } else if (before != nullptr && before->kind != '{' && text.starts_with('\n')) {
    text.remove_prefix(1);
  }
  if (after != nullptr && after->strip_before) {
    text = text.substr(0, text.find_last_not_of(spaces) + 1);
  } else if (after != nullptr && after->kind != '{') {
    const size_t end = text.find_last_not_of(" \t") + 1;
    const bool at_line_start = end == 0 ? before == nullptr || before->kind != '{' : text[end - 1] == '\n';
    text = at_line_start ? text.substr(0, end) : text;
  }
  return text;
}

}  // namespace

std::string canonical_jinja(std::string_view source) {
  constexpr std::string_view no_op = "{%if not add_generation_prompt is defined%}"
                                     "{%set add_generation_prompt = false%}{%endif%}";
  canonical_writer writer;
  std::optional<tag> before;
  size_t at = 0;
  while (const auto next = find_tag(source, at)) {
    const auto tokens = next->kind == '#' ? token_list() : tokens_of(next->inside);
    if (next->end == 0 || !tokens) {
      return std::string(source);
    }
    writer.literal(between(source.substr(at, next->begin - at), before ? &*before : nullptr, &*next));
    const token_list dotted = with_dots(*tokens);
    if (next->kind == '%') {
      writer.statement(joined(dotted, 0, dotted.size()));
    } else if (next->kind == '{') {
      writer.output(dotted);
    }
    before = next;
    at = next->end;
  }
  writer.literal(between(source.substr(at), before ? &*before : nullptr, nullptr));
  std::string result = writer.take();
  return result.starts_with(no_op) ? result.substr(no_op.size()) : result;
}

}  // namespace troupe::io
