#include "io/jinja/methods.hpp"

#include "io/jinja/functions.hpp"
#include "io/jinja/print.hpp"
#include "io/tokenizer/utf8.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <functional>

namespace troupe::io::jinja {
namespace {

using namespace std::string_view_literals;

uint32_t code_at(const text& from, size_t at) { return read_utf8(std::string_view(from.bytes()).substr(at)).code; }

uint32_t to_upper(uint32_t code) {
  return static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code)));
}
uint32_t to_lower(uint32_t code) {
  return static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}
uint32_t to_title(uint32_t code) {
  return static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code)));
}

bool is_cased(uint32_t code) { return to_upper(code) != code || to_lower(code) != code; }

/// Each character as `change(code)`, with its marks.
template <class Change> text mapped(const text& from, const Change& change) {
  text out;
  for (size_t at = 0; at < from.size();) {
    const utf8_step step = read_utf8(std::string_view(from.bytes()).substr(at));
    std::string changed;
    append_utf8(changed, change(step.code));
    out.append(changed, from.marks()[at]);
    at += step.length;
  }
  return out;
}

bool is_letter(uint32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
    return true;
  default:
    return false;
  }
}

bool is_decimal(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_ND;
}

/// True where the text has characters and all of them pass.
bool all_characters(const text& from, const std::function<bool(uint32_t)>& passes) {
  for (size_t at = 0; at < from.size();) {
    const utf8_step step = read_utf8(std::string_view(from.bytes()).substr(at));
    if (!passes(step.code)) {
      return false;
    }
    at += step.length;
  }
  return !from.empty();
}

/// Whether there is a cased character, and all of them have the case that `change` leaves alone.
bool all_cased(const text& from, uint32_t (*change)(uint32_t)) {
  bool any = false;
  const bool all = all_characters(from, [&](uint32_t code) {
    any = any || is_cased(code);
    return change(code) == code;
  });
  return any && all;
}

std::vector<value> split_at_spaces(const string_value& from, int64_t limit) {
  std::vector<value> parts;
  const text& words = from.words;
  size_t at = 0;
  for (;;) {
    while (at < words.size() && is_space(code_at(words, at))) {
      at += read_utf8(std::string_view(words.bytes()).substr(at)).length;
    }
    if (at == words.size()) {
      return parts;
    }
    const size_t begin = at;
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.emplace_back(strip(words.part(begin), nullptr, false, true), from.markup);
      return parts;
    }
    while (at < words.size() && !is_space(code_at(words, at))) {
      at += read_utf8(std::string_view(words.bytes()).substr(at)).length;
    }
    parts.emplace_back(words.part(begin, at - begin), from.markup);
  }
}

/// rsplit with white space: as split, counted from the end.
std::vector<value> split_at_spaces_from_end(const string_value& from, int64_t limit) {
  std::vector<value> parts;
  text rest = strip(from.words, nullptr, false, true);
  while (!rest.empty()) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.emplace_back(strip(rest, nullptr, true, true), from.markup);
      break;
    }
    const std::vector<size_t> bounds = character_bounds(rest.bytes());
    size_t first = bounds.size() - 1;
    while (first > 0 && !is_space(code_at(rest, bounds[first - 1]))) {
      --first;
    }
    parts.emplace_back(rest.part(bounds[first]), from.markup);
    rest = strip(rest.part(0, bounds[first]), nullptr, false, true);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<value> split_from_end(const string_value& from, const text* separator, int64_t limit) {
  if (separator == nullptr) {
    return split_at_spaces_from_end(from, limit);
  }
  if (separator->empty()) {
    fail("empty separator");
  }
  std::vector<value> parts;
  size_t end = from.words.size();
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = end < separator->size() ? std::string::npos
                                              : from.words.bytes().rfind(separator->bytes(), end - separator->size());
    if (at == std::string::npos) {
      break;
    }
    parts.emplace_back(from.words.part(at + separator->size(), end - at - separator->size()), from.markup);
    end = at;
  }
  parts.emplace_back(from.words.part(0, end), from.markup);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

bool ends_line(uint32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

std::vector<value> split_lines(const string_value& from, bool keep_ends) {
  std::vector<value> lines;
  const text& words = from.words;
  size_t begin = 0;
  for (size_t at = 0; at < words.size();) {
    const utf8_step step = read_utf8(std::string_view(words.bytes()).substr(at));
    size_t after = at + step.length;
    if (ends_line(step.code)) {
      after += step.code == '\r' && after < words.size() && words.bytes()[after] == '\n' ? 1 : 0;
      lines.emplace_back(words.part(begin, (keep_ends ? after : at) - begin), from.markup);
      begin = after;
    }
    at = after;
  }
  if (begin < words.size()) {
    lines.emplace_back(words.part(begin), from.markup);
  }
  return lines;
}

/// Any of a tuple of texts, or the one text.
bool matches_any(const value& wanted, const std::function<bool(std::string_view)>& matches) {
  if (const text* words = wanted.as_text()) {
    return matches(words->bytes());
  }
  const sequence* several = wanted.as_sequence();
  if (several == nullptr || several->what != sequence::kind::tuple) {
    fail(fmt::format("a text or a tuple of texts is needed, not {}", type_name(wanted)));
  }
  return std::any_of(several->items.begin(), several->items.end(),
                     [&](const value& item) { return item.as_text() != nullptr && matches(item.as_text()->bytes()); });
}

text without_affix(const text& from, const text& affix, bool at_start) {
  const std::string& bytes = from.bytes();
  if (affix.empty() || !(at_start ? bytes.starts_with(affix.bytes()) : bytes.ends_with(affix.bytes()))) {
    return from;
  }
  return at_start ? from.part(affix.size()) : from.part(0, from.size() - affix.size());
}

/// Filled up to `width` characters: `share` of what is missing goes before the text.
text padded(machine& m, const text& from, int64_t width, const text& fill, double share) {
  const auto size = static_cast<int64_t>(character_bounds(from.bytes()).size()) - 1;
  const int64_t missing = std::max<int64_t>(width - size, 0);
  m.expect_bytes(static_cast<double>(missing) * static_cast<double>(fill.size()) + static_cast<double>(from.size()));
  // Python's center puts the odd blank first where the width is odd.
  const int64_t before = share == 0.5 ? missing / 2 + (missing & width & 1) : share == 1 ? missing : 0;
  text out;
  for (int64_t i = 0; i < missing + 1; ++i) {
    if (i == before) {
      out.append(from);
    }
    if (i < missing) {
      out.append(fill);
    }
  }
  return out;
}

int64_t count_of(const std::string& inside, const std::string& wanted) {
  if (wanted.empty()) {
    return static_cast<int64_t>(character_bounds(inside).size());
  }
  int64_t count = 0;
  for (size_t at = inside.find(wanted); at != std::string::npos; at = inside.find(wanted, at + wanted.size())) {
    ++count;
  }
  return count;
}

/// In characters; -1 where it is not there.
int64_t position_of(const std::string& inside, const std::string& wanted, bool last) {
  const size_t at = last ? inside.rfind(wanted) : inside.find(wanted);
  return at == std::string::npos
             ? -1
             : static_cast<int64_t>(character_bounds(std::string_view(inside).substr(0, at)).size()) - 1;
}

value partition(const string_value& from, const text& separator, bool last) {
  if (separator.empty()) {
    fail("empty separator");
  }
  const size_t at = last ? from.words.bytes().rfind(separator.bytes()) : from.words.bytes().find(separator.bytes());
  std::vector<value> parts;
  if (at == std::string::npos) {
    parts = {value(from.words), make_text(""), make_text("")};
    if (last) {
      std::reverse(parts.begin(), parts.end());
    }
  } else {
    parts = {value(from.words.part(0, at)), value(from.words.part(at, separator.size())),
             value(from.words.part(at + separator.size()))};
  }
  return make_sequence(std::move(parts), sequence::kind::tuple);
}

/// str.format with {}, {0} and {name}; doubled braces stand for one.
text brace_format(machine& m, const text& format, const arguments& given) {
  text out;
  size_t used = 0;
  const std::string& bytes = format.bytes();
  for (size_t at = 0; at < bytes.size();) {
    const char c = bytes[at];
    if (c != '{' && c != '}') {
      out.append(format, at++, 1);
    } else if (at + 1 < bytes.size() && bytes[at + 1] == c) {
      out.append(format, at, 1);
      at += 2;
    } else {
      const size_t end = c == '{' ? bytes.find('}', at) : std::string::npos;
      if (end == std::string::npos) {
        fail(fmt::format("single '{}' in a format", c));
      }
      const std::string field = bytes.substr(at + 1, end - at - 1);
      const bool is_index = field.find_first_not_of("0123456789") == std::string::npos && field.size() < 6;
      const auto named =
          std::find_if(given.named.begin(), given.named.end(), [&](const auto& n) { return n.first == field; });
      const size_t index = field.empty() ? used++ : is_index ? std::stoul(field) : given.positional.size();
      if (!is_index && named == given.named.end()) {
        fail(fmt::format("the format's field {{{}}} is not given, or more than a name", field));
      }
      if (is_index && index >= given.positional.size()) {
        fail("replacement index out of range");
      }
      out.append(to_text(m, is_index ? given.positional[index] : named->second));
      at = end + 1;
    }
    m.expect_bytes(static_cast<double>(out.size()));
  }
  return out;
}

// --- the tables

struct text_method {
  std::string_view name;
  value (*run)(machine& m, const string_value& self, arguments given);
};

value keep(const string_value& self, text words) { return {std::move(words), self.markup}; }

template <bool at_start, bool at_end> value strip_method(machine&, const string_value& self, arguments given) {
  const bound_arguments args("strip", std::move(given), {"chars"});
  const std::string chars = args.words_or(0, "").bytes();
  const bool has_chars = args.has(0) && !args.at(0).is_none();
  return keep(self, strip(self.words, has_chars ? &chars : nullptr, at_start, at_end));
}

template <bool from_end> value split_method(machine& m, const string_value& self, arguments given) {
  const bound_arguments args("split", std::move(given), {"sep", "maxsplit"});
  const text* separator = args.has(0) && !args.at(0).is_none() ? &args.words(0) : nullptr;
  const int64_t limit = args.integer_or(1, -1);
  auto parts = from_end ? split_from_end(self, separator, limit) : split(self, separator, limit);
  m.spend(static_cast<int64_t>(parts.size()));
  return make_sequence(std::move(parts));
}

template <bool at_start> value affix_method(machine&, const string_value& self, arguments given) {
  const bound_arguments args(at_start ? "startswith" : "endswith", std::move(given), {"affix"});
  return matches_any(args.required(0), [&](std::string_view affix) {
    return at_start ? self.words.bytes().starts_with(affix) : self.words.bytes().ends_with(affix);
  });
}

template <bool at_start> value remove_affix_method(machine&, const string_value& self, arguments given) {
  const bound_arguments args(at_start ? "removeprefix" : "removesuffix", std::move(given), {"affix"});
  return keep(self, without_affix(self.words, args.words(0), at_start));
}

template <text (*change)(const text&)> value case_method(machine&, const string_value& self, arguments given) {
  const bound_arguments none_taken("a change of case", std::move(given), {});
  return keep(self, change(self.words));
}

value replace_method(machine& m, const string_value& self, arguments given) {
  const bound_arguments args("replace", std::move(given), {"old", "new", "count"});
  const double places = static_cast<double>(count_of(self.words.bytes(), args.words(0).bytes()));
  m.expect_bytes(static_cast<double>(self.words.size()) + places * static_cast<double>(args.words(1).size()));
  return m.made(replace(self.words, args.words(0), args.words(1), args.integer_or(2, -1)), self.markup);
}

value join_method(machine& m, const string_value& self, arguments given) {
  const bound_arguments args("join", std::move(given), {"iterable"});
  text out;
  bool first = true;
  for (const value& item : items_of(args.required(0))) {
    if (item.as_text() == nullptr) {
      fail(fmt::format("join: a part is of type {}, not str", type_name(item)));
    }
    m.spend(1);
    if (!std::exchange(first, false)) {
      out.append(self.words);
    }
    out.append(*item.as_text());
    m.expect_bytes(static_cast<double>(out.size()));
  }
  return m.made(std::move(out));
}

template <bool last, bool must> value find_method_of_text(machine&, const string_value& self, arguments given) {
  const bound_arguments args(must ? "index" : "find", std::move(given), {"sub"});
  const int64_t at = position_of(self.words.bytes(), args.words(0).bytes(), last);
  if (must && at < 0) {
    fail("substring not found");
  }
  return at;
}

value count_method(machine&, const string_value& self, arguments given) {
  const bound_arguments args("count", std::move(given), {"sub"});
  return count_of(self.words.bytes(), args.words(0).bytes());
}

value lines_method(machine& m, const string_value& self, arguments given) {
  const bound_arguments args("splitlines", std::move(given), {"keepends"});
  auto lines = split_lines(self, args.truth_or(0, false));
  m.spend(static_cast<int64_t>(lines.size()));
  return make_sequence(std::move(lines));
}

template <bool last> value partition_method(machine&, const string_value& self, arguments given) {
  const bound_arguments args("partition", std::move(given), {"sep"});
  return partition(self, args.words(0), last);
}

template <int halves> value pad_method(machine& m, const string_value& self, arguments given) {
  const bound_arguments args("padding", std::move(given), {"width", "fillchar"});
  return m.made(padded(m, self.words, args.integer(0), args.words_or(1, " "), halves / 2.0), self.markup);
}

value zero_fill_method(machine& m, const string_value& self, arguments given) {
  const bound_arguments args("zfill", std::move(given), {"width"});
  const bool has_sign = self.words.bytes().starts_with('-') || self.words.bytes().starts_with('+');
  text out = self.words.part(0, has_sign ? 1 : 0);
  out.append(padded(m, self.words.part(has_sign ? 1 : 0), args.integer(0) - (has_sign ? 1 : 0), text("0"), 1));
  return m.made(std::move(out), self.markup);
}

value format_method(machine& m, const string_value& self, arguments given) {
  return m.made(brace_format(m, self.words, given), self.markup);
}

template <bool (*passes)(uint32_t)> value class_method(machine&, const string_value& self, arguments given) {
  const bound_arguments none_taken("a test of characters", std::move(given), {});
  return all_characters(self.words, passes);
}

bool is_alphanumeric(uint32_t code) { return is_letter(code) || is_decimal(code); }

value is_upper_method(machine&, const string_value& self, arguments) { return all_cased(self.words, to_upper); }
value is_lower_method(machine&, const string_value& self, arguments) { return all_cased(self.words, to_lower); }

/// A word begins after every character without case: Python's str.title.
text title_of_method(const text& from) {
  bool inside = false;
  return mapped(from, [&](uint32_t code) {
    const bool was_inside = std::exchange(inside, is_cased(code));
    return was_inside ? to_lower(code) : to_title(code);
  });
}

text swap_case(const text& from) {
  return mapped(from, [](uint32_t code) { return to_upper(code) != code ? to_upper(code) : to_lower(code); });
}

constexpr std::array text_methods{
    text_method{"strip", strip_method<true, true>},
    text_method{"lstrip", strip_method<true, false>},
    text_method{"rstrip", strip_method<false, true>},
    text_method{"split", split_method<false>},
    text_method{"rsplit", split_method<true>},
    text_method{"splitlines", lines_method},
    text_method{"startswith", affix_method<true>},
    text_method{"endswith", affix_method<false>},
    text_method{"removeprefix", remove_affix_method<true>},
    text_method{"removesuffix", remove_affix_method<false>},
    text_method{"upper", case_method<upper>},
    text_method{"lower", case_method<lower>},
    text_method{"casefold", case_method<lower>},
    text_method{"capitalize", case_method<capitalize>},
    text_method{"title", case_method<title_of_method>},
    text_method{"swapcase", case_method<swap_case>},
    text_method{"replace", replace_method},
    text_method{"join", join_method},
    text_method{"find", find_method_of_text<false, false>},
    text_method{"rfind", find_method_of_text<true, false>},
    text_method{"index", find_method_of_text<false, true>},
    text_method{"rindex", find_method_of_text<true, true>},
    text_method{"count", count_method},
    text_method{"partition", partition_method<false>},
    text_method{"rpartition", partition_method<true>},
    text_method{"ljust", pad_method<0>},
    text_method{"center", pad_method<1>},
    text_method{"rjust", pad_method<2>},
    text_method{"zfill", zero_fill_method},
    text_method{"format", format_method},
    text_method{"isspace", class_method<is_space>},
    text_method{"isalpha", class_method<is_letter>},
    text_method{"isdigit", class_method<is_decimal>},
    text_method{"isdecimal", class_method<is_decimal>},
    text_method{"isnumeric", class_method<is_decimal>},
    text_method{"isalnum", class_method<is_alphanumeric>},
    text_method{"isupper", is_upper_method},
    text_method{"islower", is_lower_method},
};

struct mapping_method {
  std::string_view name;
  value (*run)(const mapping& self, arguments given);
};

template <bool keys, bool values> value entries_method(const mapping& self, arguments given) {
  const bound_arguments none_taken("items, keys or values", std::move(given), {});
  std::vector<value> out;
  for (const auto& [key, item] : self.entries) {
    out.push_back(keys && values ? make_sequence({key, item}, sequence::kind::tuple) : keys ? key : item);
  }
  return make_sequence(std::move(out));
}

value get_method(const mapping& self, arguments given) {
  const bound_arguments args("get", std::move(given), {"key", "default"});
  const value* found = self.find(args.required(0));
  return found != nullptr ? *found : args.has(1) ? args.at(1) : value(none{});
}

value copy_method(const mapping& self, arguments) { return make_mapping(self.entries); }

constexpr std::array mapping_methods{
    mapping_method{"items", entries_method<true, true>},
    mapping_method{"keys", entries_method<true, false>},
    mapping_method{"values", entries_method<false, true>},
    mapping_method{"get", get_method},
    mapping_method{"copy", copy_method},
};

struct sequence_method {
  std::string_view name;
  value (*run)(const sequence& self, arguments given);
};

value index_of_item(const sequence& self, arguments given) {
  const bound_arguments args("index", std::move(given), {"value"});
  const auto found = std::find_if(self.items.begin(), self.items.end(),
                                  [&](const value& item) { return equal(item, args.required(0)); });
  if (found == self.items.end()) {
    fail("index: the value is not in the list");
  }
  return static_cast<int64_t>(found - self.items.begin());
}

value count_of_item(const sequence& self, arguments given) {
  const bound_arguments args("count", std::move(given), {"value"});
  return static_cast<int64_t>(std::count_if(self.items.begin(), self.items.end(),
                                            [&](const value& item) { return equal(item, args.required(0)); }));
}

value copy_of_list(const sequence& self, arguments) { return make_sequence(self.items, self.what); }

constexpr std::array sequence_methods{
    sequence_method{"index", index_of_item},
    sequence_method{"count", count_of_item},
    sequence_method{"copy", copy_of_list},
};

constexpr std::array list_changes{"append"sv, "clear"sv,  "extend"sv,  "insert"sv,
                                  "pop"sv,    "remove"sv, "reverse"sv, "sort"sv};
constexpr std::array mapping_changes{"clear"sv, "pop"sv, "popitem"sv, "setdefault"sv, "update"sv};

template <class Table> const typename Table::value_type* find_named(const Table& table, std::string_view name) {
  const auto* found = std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : found;
}

using method_body = std::function<value(machine&, const value& self, arguments)>;

value bind(const value& self, method_body run) {
  return make_function(
      [self, run = std::move(run)](machine& m, arguments given) {
        m.spend(1 + weight_of(self) / 16);
        return run(m, self, std::move(given));
      },
      self.depth());
}

template <class Changes>
std::optional<value> bind_change(const value& self, const Changes& changes, std::string_view name) {
  if (std::find(changes.begin(), changes.end(), name) == changes.end()) {
    return std::nullopt;
  }
  return bind(self, [name = std::string(name)](machine&, const value& of, arguments) -> value {
    fail(fmt::format("access to attribute '{}' of '{}' object is unsafe: values cannot be changed", name,
                     type_name(of)));
  });
}

}  // namespace

text upper(const text& from) { return mapped(from, to_upper); }
text lower(const text& from) { return mapped(from, to_lower); }

text capitalize(const text& from) {
  bool first = true;
  return mapped(from, [&](uint32_t code) { return std::exchange(first, false) ? to_title(code) : to_lower(code); });
}

text title(const text& from) {
  constexpr std::string_view breaks = "-({[<";
  bool first = true;
  return mapped(from, [&](uint32_t code) {
    const bool is_break = is_space(code) || (code < 0x80 && breaks.find(static_cast<char>(code)) != breaks.npos);
    const bool starts = std::exchange(first, is_break);
    return is_break ? code : starts ? to_upper(code) : to_lower(code);
  });
}

std::vector<value> split(const string_value& from, const text* separator, int64_t limit) {
  if (separator == nullptr) {
    return split_at_spaces(from, limit);
  }
  if (separator->empty()) {
    fail("empty separator");
  }
  std::vector<value> parts;
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = from.words.bytes().find(separator->bytes(), begin);
    if (at == std::string::npos) {
      break;
    }
    parts.emplace_back(from.words.part(begin, at - begin), from.markup);
    begin = at + separator->size();
  }
  parts.emplace_back(from.words.part(begin), from.markup);
  return parts;
}

std::optional<value> find_method(const value& of, std::string_view name) {
  if (of.as_string() != nullptr) {
    const text_method* found = find_named(text_methods, name);
    return found == nullptr
               ? std::nullopt
               : std::optional(bind(of, [run = found->run](machine& m, const value& self, arguments given) {
                   return run(m, *self.as_string(), std::move(given));
                 }));
  }
  if (of.as_mapping() != nullptr) {
    const mapping_method* found = find_named(mapping_methods, name);
    return found == nullptr ? bind_change(of, mapping_changes, name)
                            : bind(of, [run = found->run](machine&, const value& self, arguments given) {
                                return run(*self.as_mapping(), std::move(given));
                              });
  }
  const sequence* items = of.as_sequence();
  if (items == nullptr || items->what == sequence::kind::generator) {
    return std::nullopt;
  }
  const sequence_method* found = find_named(sequence_methods, name);
  return found == nullptr ? bind_change(of, list_changes, name)
                          : bind(of, [run = found->run](machine&, const value& self, arguments given) {
                              return run(*self.as_sequence(), std::move(given));
                            });
}

}  // namespace troupe::io::jinja
