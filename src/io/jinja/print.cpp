#include "io/jinja/print.hpp"

#include "io/tokenizer/utf8.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace troupe::io::jinja {
namespace {

// str.isprintable of one character.
bool is_printable(uint32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
  case UTF8PROC_CATEGORY_CC:
  case UTF8PROC_CATEGORY_CF:
  case UTF8PROC_CATEGORY_CS:
  case UTF8PROC_CATEGORY_CO:
  case UTF8PROC_CATEGORY_CN:
  case UTF8PROC_CATEGORY_ZL:
  case UTF8PROC_CATEGORY_ZP:
    return false;
  case UTF8PROC_CATEGORY_ZS:
    return code == ' ';
  default:
    return true;
  }
}

std::string hex_escape(uint32_t code) {
  return code < 0x100     ? fmt::format("\\x{:02x}", code)
         : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                          : fmt::format("\\U{:08x}", code);
}

std::string escaped_for_repr(std::string_view character, uint32_t code, char quote) {
  switch (code) {
  case '\n':
    return "\\n";
  case '\r':
    return "\\r";
  case '\t':
    return "\\t";
  case '\\':
    return "\\\\";
  default:
    break;
  }
  if (code == static_cast<uint32_t>(quote)) {
    return {'\\', quote};
  }
  return is_printable(code) ? std::string(character) : hex_escape(code);
}

std::string escaped_for_json(std::string_view character, uint32_t code, bool ascii_only) {
  constexpr std::array<std::pair<char, const char*>, 7> short_forms{
      {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\r', "\\r"}, {'\t', "\\t"}, {'\b', "\\b"}, {'\f', "\\f"}}};
  for (const auto& [plain, written] : short_forms) {
    if (code == static_cast<uint32_t>(plain)) {
      return written;
    }
  }
  if (code >= 0x20 && (code < 0x80 || !ascii_only)) {
    return std::string(character);
  }
  if (code < 0x10000) {
    return fmt::format("\\u{:04x}", code);
  }
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF));
}

/// Each character of `words` as `escape(character, code)`, with that character's marks.
template <class Escape> void append_escaped(text& out, const text& words, const Escape& escape) {
  const std::string_view bytes = words.bytes();
  for (size_t at = 0; at < bytes.size();) {
    const utf8_step step = read_utf8(bytes.substr(at));
    out.append(escape(bytes.substr(at, step.length), step.code), words.marks()[at]);
    at += step.length;
  }
}

text repr_of_text(const text& words) {
  const bool has_single = words.bytes().find('\'') != std::string::npos;
  const bool has_double = words.bytes().find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  text out(std::string_view(&quote, 1));
  append_escaped(out, words,
                 [&](std::string_view character, uint32_t code) { return escaped_for_repr(character, code, quote); });
  out.append(std::string_view(&quote, 1));
  return out;
}

text repr_of_sequence(machine& m, const sequence& from) {
  if (from.what == sequence::kind::generator) {
    return text("<generator object>");
  }
  const bool is_tuple = from.what == sequence::kind::tuple;
  text out(is_tuple ? "(" : "[");
  for (size_t i = 0; i < from.items.size(); ++i) {
    out.append(i > 0 ? ", " : "");
    out.append(to_repr(m, from.items[i]));
    m.expect_bytes(static_cast<double>(out.size()));
  }
  out.append(is_tuple ? from.items.size() == 1 ? ",)" : ")" : "]");
  return out;
}

text repr_of_mapping(machine& m, const mapping& from) {
  text out("{");
  for (const auto& [key, item] : from.entries) {
    out.append(out.size() > 1 ? ", " : "");
    out.append(to_repr(m, key));
    out.append(": ");
    out.append(to_repr(m, item));
    m.expect_bytes(static_cast<double>(out.size()));
  }
  out.append("}");
  return out;
}

/// JSON, written piece by piece.
class json_writer {
public:
  json_writer(machine& m, const json_style& style) : machine_(m), style_(style) {}

  void write(const value& of) {
    machine_.spend(1);
    machine_.expect_bytes(static_cast<double>(out_.size()));
    if (const text* words = of.as_text()) {
      write_text(*words);
    } else if (const sequence* items = of.as_sequence(); items != nullptr && items->what != sequence::kind::generator) {
      write_items(items->items);
    } else if (const mapping* entries = of.as_mapping()) {
      write_entries(*entries);
    } else {
      out_.append(scalar(of));
    }
  }

  text take() { return std::move(out_); }

private:
  static std::string scalar(const value& of) {
    if (of.is_none()) {
      return "null";
    }
    if (const auto* truth = of.get<bool>()) {
      return *truth ? "true" : "false";
    }
    if (const auto* number = of.get<double>()) {
      return std::isnan(*number)   ? "NaN"
             : std::isinf(*number) ? *number > 0 ? "Infinity" : "-Infinity"
                                   : float_repr(*number);
    }
    if (const auto* number = of.get<int64_t>()) {
      return fmt::to_string(*number);
    }
    fail(fmt::format("Object of type {} is not JSON serializable", type_name(of)));
  }

  void write_text(const text& words) {
    out_.append("\"");
    append_escaped(out_, words, [&](std::string_view character, uint32_t code) {
      return escaped_for_json(character, code, style_.ascii_only);
    });
    out_.append("\"");
  }

  void break_line() {
    if (style_.indent) {
      machine_.expect_bytes(static_cast<double>(out_.size()) +
                            static_cast<double>(style_.indent->size()) * static_cast<double>(level_));
      out_.append("\n");
      for (int i = 0; i < level_; ++i) {
        out_.append(*style_.indent);
      }
    }
  }

  /// `write_one(i)` for each of `count` things between the brackets.
  template <class WriteOne> void write_list(std::string_view brackets, size_t count, const WriteOne& write_one) {
    out_.append(brackets.substr(0, 1));
    ++level_;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) {
        out_.append(style_.between_items);
      }
      break_line();
      write_one(i);
    }
    --level_;
    if (count > 0) {
      break_line();
    }
    out_.append(brackets.substr(1));
  }

  void write_items(const std::vector<value>& items) {
    write_list("[]", items.size(), [&](size_t i) { write(items[i]); });
  }

  void write_entries(const mapping& of) {
    std::vector<const std::pair<value, value>*> entries;
    for (const auto& entry : of.entries) {
      entries.push_back(&entry);
    }
    if (style_.sorted_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto* a, const auto* b) { return less(a->first, b->first); });
    }
    write_list("{}", entries.size(), [&](size_t i) {
      const value& key = entries[i]->first;
      write_text(key.as_text() != nullptr ? *key.as_text() : text(scalar(key)));
      out_.append(style_.after_key);
      write(entries[i]->second);
    });
  }

  machine& machine_;
  const json_style& style_;
  text out_;
  int level_ = 0;
};

}  // namespace

std::string float_repr(double number) {
  if (std::isnan(number)) {
    return "nan";
  }
  if (std::isinf(number)) {
    return number > 0 ? "inf" : "-inf";
  }
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::scientific);
  const std::string_view written(buffer.data(), static_cast<size_t>(end.ptr - buffer.data()));
  const size_t mark = written.find('e');
  int exponent = 0;
  std::from_chars(written.data() + mark + (written[mark + 1] == '+' ? 2 : 1), written.data() + written.size(),
                  exponent);
  if (exponent < -4 || exponent >= 16) {
    return std::string(written);  // to_chars and Python agree here: at least two digits of exponent
  }
  const auto plain = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::fixed);
  std::string result(buffer.data(), plain.ptr);
  return result.find('.') == std::string::npos ? result + ".0" : result;
}

text to_repr(machine& m, const value& of) {
  m.spend(1);
  if (const string_value* words = of.as_string()) {
    if (!words->markup) {
      return repr_of_text(words->words);
    }
    text out("Markup(");
    out.append(repr_of_text(words->words));
    out.append(")");
    return out;
  }
  if (const sequence* items = of.as_sequence()) {
    return repr_of_sequence(m, *items);
  }
  if (const mapping* entries = of.as_mapping()) {
    return repr_of_mapping(m, *entries);
  }
  return of.is_undefined() ? text("Undefined") : to_text(m, of);
}

text to_text(machine& m, const value& of) {
  if (const text* words = of.as_text()) {
    return *words;
  }
  if (of.is_undefined()) {
    return {};
  }
  if (of.is_none()) {
    return text("None");
  }
  if (const auto* truth = of.get<bool>()) {
    return text(*truth ? "True" : "False");
  }
  if (const auto* number = of.get<int64_t>()) {
    return text(fmt::to_string(*number));
  }
  if (const auto* number = of.get<double>()) {
    return text(float_repr(*number));
  }
  if (const object* thing = of.as_object()) {
    return text(fmt::format("<{}>", thing->type_name()));
  }
  return to_repr(m, of);
}

text to_json(machine& m, const value& of, const json_style& style) {
  json_writer writer(m, style);
  writer.write(of);
  return writer.take();
}

}  // namespace troupe::io::jinja
