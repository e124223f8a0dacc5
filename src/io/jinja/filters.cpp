#include "io/jinja/filters.hpp"

#include "io/jinja/lexer.hpp"
#include "io/jinja/methods.hpp"
#include "io/jinja/operators.hpp"
#include "io/jinja/print.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace troupe::io::jinja {
namespace {

// --- attributes by name, as map, select, sort and their kin take them

struct attribute_path {
  std::vector<value> keys;  // names, and integers where a part of the name is one
};

attribute_path path_of(const value& named) {
  if (named.as_text() == nullptr) {
    return {{named}};
  }
  attribute_path path;
  const text dot(".");
  for (value& part : split(*named.as_string(), &dot, -1)) {
    const std::string& name = part.as_text()->bytes();
    int64_t index = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool is_index = !name.empty() && read.ec == std::errc() && read.ptr == name.data() + name.size();
    path.keys.push_back(is_index ? value(index) : std::move(part));
  }
  return path;
}

value follow(const attribute_path& path, value from) {
  for (const value& key : path.keys) {
    from = item_of(from, key);
  }
  return from;
}

value without_case(const value& of) { return of.as_text() != nullptr ? value(lower(*of.as_text())) : of; }

value generator_of(std::vector<value> items) { return make_sequence(std::move(items), sequence::kind::generator); }

std::vector<value> counted_items(machine& m, const value& of) {
  std::vector<value> items = items_of(of);
  m.spend(static_cast<int64_t>(items.size()));
  return items;
}

/// What sort, unique, min and max compare: an attribute, without case unless asked for.
class sort_key {
public:
  sort_key(const bound_arguments& args, size_t case_sensitive, size_t attribute)
      : ignore_case_(!args.truth_or(case_sensitive, false)) {
    if (args.has(attribute) && !args.at(attribute).is_none()) {
      path_ = path_of(args.at(attribute));
    }
  }

  value operator()(const value& item) const {
    const value key = follow(path_, item);
    return ignore_case_ ? without_case(key) : key;
  }

private:
  bool ignore_case_;
  attribute_path path_;
};

// --- texts

value capitalize_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("capitalize", std::move(given), {});
  return m.made(capitalize(to_text(m, input)));
}
value upper_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("upper", std::move(given), {});
  return m.made(upper(to_text(m, input)));
}
value lower_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("lower", std::move(given), {});
  return m.made(lower(to_text(m, input)));
}
value title_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("title", std::move(given), {});
  return m.made(title(to_text(m, input)));
}

value trim_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("trim", std::move(given), {"chars"});
  const bool has_chars = args.has(0) && !args.at(0).is_none();
  const std::string chars = args.words_or(0, "").bytes();
  const bool markup = input.as_string() != nullptr && input.as_string()->markup;
  return m.made(strip(to_text(m, input), has_chars ? &chars : nullptr, true, true), markup);
}

value string_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("string", std::move(given), {});
  return input.as_text() != nullptr ? input : m.made(to_text(m, input));
}

value safe_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("safe", std::move(given), {});
  return m.made(to_text(m, input), true);
}

value escape_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("escape", std::move(given), {});
  const bool markup = input.as_string() != nullptr && input.as_string()->markup;
  return markup ? input : m.made(html_escaped(to_text(m, input)), true);
}

value replace_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("replace", std::move(given), {"old", "new", "count"});
  arguments passed;
  passed.positional = {to_text(m, args.required(0)), to_text(m, args.required(1))};
  if (args.has(2) && !args.at(2).is_none()) {
    passed.positional.push_back(args.at(2));
  }
  return m.invoke(attribute_of(to_text(m, input), "replace"), std::move(passed));
}

value center_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("center", std::move(given), {"width"});
  arguments passed;
  passed.positional = {args.integer_or(0, 80)};
  return m.invoke(attribute_of(to_text(m, input), "center"), std::move(passed));
}

value format_filter(machine& m, const value& input, arguments given) {
  if (!given.named.empty() && !given.positional.empty()) {
    fail("format takes positional or named arguments, not both");
  }
  value values = make_sequence(std::move(given.positional), sequence::kind::tuple);
  if (!given.named.empty()) {
    std::vector<std::pair<value, value>> entries;
    for (auto& [name, item] : given.named) {
      entries.emplace_back(make_text(name), std::move(item));
    }
    values = make_mapping(std::move(entries));
  }
  return m.made(percent_format(m, to_text(m, input), values));
}

value indent_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("indent", std::move(given), {"width", "first", "blank"});
  if (input.as_text() == nullptr) {
    fail(fmt::format("indent: the value is of type {}, not a text", type_name(input)));
  }
  const bool wide = args.has(0) && args.at(0).as_text() != nullptr;
  const int64_t width = wide ? 0 : args.integer_or(0, 4);
  m.expect_bytes(static_cast<double>(width));
  const text indention =
      wide ? args.words(0) : text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '));
  text lined = *input.as_text();
  lined.append("\n");  // as Jinja2 does, so that a line break at the end is kept
  const value lines = m.invoke(attribute_of(std::move(lined), "splitlines"), {});
  text out;
  bool is_first = true;
  for (const value& line : lines.as_sequence()->items) {
    const text& words = *line.as_text();
    out.append(is_first ? "" : "\n");
    if (is_first ? args.truth_or(1, false) : args.truth_or(2, false) || !words.empty()) {
      out.append(indention);
    }
    out.append(words);
    m.expect_bytes(static_cast<double>(out.size()));
    is_first = false;
  }
  return m.made(std::move(out), input.as_string()->markup);
}

value word_count_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("wordcount", std::move(given), {});
  const text words = to_text(m, input);
  int64_t count = 0;
  bool inside = false;
  for (const value& character : counted_items(m, words)) {
    const std::string& c = character.as_text()->bytes();
    const value passes = m.invoke(attribute_of(character, "isalnum"), {});
    const bool is_word = c == "_" || is_true(passes);
    count += is_word && !inside ? 1 : 0;
    inside = is_word;
  }
  return count;
}

// --- numbers

value abs_filter(machine&, const value& input, arguments given) {
  const bound_arguments args("abs", std::move(given), {});
  if (!input.as_number()) {
    fail(fmt::format("bad operand type for abs(): '{}'", type_name(input)));
  }
  return *input.as_number() < 0 ? minus(input) : plus(input);
}

std::optional<double> number_in(const text& words) {
  const text inner = strip(words, nullptr, true, true);
  std::string plain = inner.bytes();
  plain.erase(0, plain.starts_with('+') ? 1 : 0);
  double number = 0;
  const auto read = std::from_chars(plain.data(), plain.data() + plain.size(), number);
  const bool whole = read.ec == std::errc() && read.ptr == plain.data() + plain.size() && !plain.empty();
  return whole ? std::optional(number) : std::nullopt;
}

std::optional<int64_t> integer_in(const text& words, int base) {
  std::string plain = strip(words, nullptr, true, true).bytes();
  plain.erase(0, plain.starts_with('+') ? 1 : 0);
  int64_t number = 0;
  const auto read = std::from_chars(plain.data(), plain.data() + plain.size(), number, base);
  const bool whole = read.ec == std::errc() && read.ptr == plain.data() + plain.size() && !plain.empty();
  return whole ? std::optional(number) : std::nullopt;
}

std::optional<int64_t> truncated(double number) {
  return std::abs(number) < 9.2e18 ? std::optional(static_cast<int64_t>(number)) : std::nullopt;
}

value int_filter(machine&, const value& input, arguments given) {
  const bound_arguments args("int", std::move(given), {"default", "base"});
  const value otherwise = args.has(0) ? args.at(0) : value(int64_t{0});
  require_defined(input);
  const int64_t base = args.integer_or(1, 10);
  if (base < 2 || base > 36) {
    fail("int: the base must lie between 2 and 36");
  }
  std::optional<int64_t> number = input.as_integer();
  if (const text* words = input.as_text()) {
    number = integer_in(*words, static_cast<int>(base));
    const auto real = number ? std::nullopt : number_in(*words);
    number = real ? truncated(*real) : number;
  } else if (const auto* real = input.get<double>()) {
    number = truncated(*real);
  }
  return number ? value(*number) : otherwise;
}

value float_filter(machine&, const value& input, arguments given) {
  const bound_arguments args("float", std::move(given), {"default"});
  require_defined(input);
  const auto number = input.as_text() != nullptr ? number_in(*input.as_text()) : input.as_number();
  return number ? value(*number) : args.has(0) ? args.at(0) : value(0.0);
}

value round_filter(machine&, const value& input, arguments given) {
  const bound_arguments args("round", std::move(given), {"precision", "method"});
  const int64_t precision = args.integer_or(0, 0);
  const std::string method = args.words_or(1, "common").bytes();
  const auto number = input.as_number();
  if (!number || precision < -300 || precision > 300) {
    fail("round: a number, and a precision between -300 and 300, are needed");
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil" || method == "floor") {
    return (method == "ceil" ? std::ceil(*number * scale) : std::floor(*number * scale)) / scale;
  }
  if (method != "common") {
    fail("round: the method must be common, ceil or floor");
  }
  if (input.as_integer() && precision >= 0) {
    return *input.as_integer();
  }
  if (precision < 0 || !std::isfinite(*number)) {
    return std::nearbyint(*number * scale) / scale;
  }
  const std::string digits = fmt::format("{:.{}f}", *number, precision);
  double rounded = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), rounded);
  return rounded;
}

// --- sequences and dictionaries

value length_filter(machine&, const value& input, arguments given) {
  const bound_arguments args("length", std::move(given), {});
  if (const text* words = input.as_text()) {
    return static_cast<int64_t>(character_bounds(words->bytes()).size()) - 1;
  }
  if (const mapping* entries = input.as_mapping()) {
    return static_cast<int64_t>(entries->entries.size());
  }
  const sequence* items = input.as_sequence();
  if (items != nullptr && items->what != sequence::kind::generator) {
    return static_cast<int64_t>(items->items.size());
  }
  if (input.is_undefined()) {
    return int64_t{0};
  }
  fail(fmt::format("object of type '{}' has no len()", type_name(input)));
}

value list_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("list", std::move(given), {});
  return make_sequence(counted_items(m, input));
}

value first_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("first", std::move(given), {});
  const std::vector<value> items = counted_items(m, input);
  return items.empty() ? make_undefined("No first item, sequence was empty.") : items.front();
}

value last_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("last", std::move(given), {});
  if (input.as_sequence() != nullptr && input.as_sequence()->what == sequence::kind::generator) {
    fail("'generator' object is not reversible");
  }
  const std::vector<value> items = counted_items(m, input);
  return items.empty() ? make_undefined("No last item, sequence was empty.") : items.back();
}

value reverse_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("reverse", std::move(given), {});
  std::vector<value> items = counted_items(m, input);
  std::reverse(items.begin(), items.end());
  if (input.as_text() == nullptr) {
    return generator_of(std::move(items));
  }
  text out;
  for (const value& character : items) {
    out.append(*character.as_text());
  }
  return m.made(std::move(out));
}

value join_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("join", std::move(given), {"d", "attribute"});
  const bool by_attribute = args.has(1) && !args.at(1).is_none();
  const attribute_path path = by_attribute ? path_of(args.at(1)) : attribute_path();
  const text glue = args.has(0) ? to_text(m, args.at(0)) : text();
  text out;
  bool first = true;
  for (const value& item : counted_items(m, input)) {
    if (!std::exchange(first, false)) {
      out.append(glue);
    }
    out.append(to_text(m, follow(path, item)));
    m.expect_bytes(static_cast<double>(out.size()));
  }
  return m.made(std::move(out));
}

value default_filter(machine&, const value& input, arguments given) {
  const bound_arguments args("default", std::move(given), {"default_value", "boolean"});
  const bool lacks = input.is_undefined() || (args.truth_or(1, false) && !is_true(input));
  return !lacks ? input : args.has(0) ? args.at(0) : make_text("");
}

value items_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("items", std::move(given), {});
  if (input.is_undefined()) {
    return generator_of({});
  }
  if (input.as_mapping() == nullptr) {
    fail("Can only get item pairs from a mapping.");
  }
  const value pairs = m.invoke(attribute_of(input, "items"), {});
  return generator_of(counted_items(m, pairs));
}

value dictsort_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("dictsort", std::move(given), {"case_sensitive", "by", "reverse"});
  const std::string by = args.words_or(1, "key").bytes();
  if (input.as_mapping() == nullptr || (by != "key" && by != "value")) {
    fail("dictsort: a dictionary is needed, sorted by 'key' or 'value'");
  }
  const bool by_case = args.truth_or(0, false);
  const int64_t place = by == "key" ? 0 : 1;
  std::vector<value> items = counted_items(m, m.invoke(attribute_of(input, "items"), {}));
  const auto key = [&](const value& entry) {
    const value part = item_of(entry, place);
    return by_case ? part : without_case(part);
  };
  std::stable_sort(items.begin(), items.end(), [&](const value& a, const value& b) {
    m.spend(1);
    return args.truth_or(2, false) ? less(key(b), key(a)) : less(key(a), key(b));
  });
  return make_sequence(std::move(items));
}

value sort_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("sort", std::move(given), {"reverse", "case_sensitive", "attribute"});
  const sort_key key(args, 1, 2);
  const bool reversed = args.truth_or(0, false);
  std::vector<value> items = counted_items(m, input);
  std::stable_sort(items.begin(), items.end(), [&](const value& a, const value& b) {
    m.spend(1 + std::min(weight_of(a), weight_of(b)) / 16);
    return reversed ? less(key(b), key(a)) : less(key(a), key(b));
  });
  return make_sequence(std::move(items));
}

value unique_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("unique", std::move(given), {"case_sensitive", "attribute"});
  const sort_key key(args, 0, 1);
  std::vector<value> seen;
  std::vector<value> out;
  for (const value& item : counted_items(m, input)) {
    const value one = key(item);
    m.spend(static_cast<int64_t>(seen.size()) / 16 + weight_of(one) / 16);
    if (std::none_of(seen.begin(), seen.end(), [&](const value& other) { return equal(one, other); })) {
      seen.push_back(one);
      out.push_back(item);
    }
  }
  return generator_of(std::move(out));
}

template <bool most> value extreme_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args(most ? "max" : "min", std::move(given), {"case_sensitive", "attribute"});
  const sort_key key(args, 0, 1);
  const std::vector<value> items = counted_items(m, input);
  if (items.empty()) {
    return make_undefined("No aggregated item, sequence was empty.");
  }
  const auto before = [&](const value& a, const value& b) { return less(key(a), key(b)); };
  // The first of equals, as in Python.
  const auto found = most ? std::max_element(items.begin(), items.end(), before)
                          : std::min_element(items.begin(), items.end(), before);
  return *found;
}

value sum_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("sum", std::move(given), {"attribute", "start"});
  const bool by_attribute = args.has(0) && !args.at(0).is_none();
  const attribute_path path = by_attribute ? path_of(args.at(0)) : attribute_path();
  value total = args.has(1) ? args.at(1) : value(int64_t{0});
  for (const value& item : counted_items(m, input)) {
    total = apply(m, operation::add, total, follow(path, item));
  }
  return total;
}

value batch_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("batch", std::move(given), {"linecount", "fill_with"});
  const int64_t size = args.integer(0);
  std::vector<value> out;
  std::vector<value> line;
  for (value& item : counted_items(m, input)) {
    if (static_cast<int64_t>(line.size()) == size) {
      out.push_back(make_sequence(std::exchange(line, {})));
    }
    line.push_back(std::move(item));
  }
  if (!line.empty()) {
    while (args.has(1) && !args.at(1).is_none() && static_cast<int64_t>(line.size()) < size) {
      m.spend(1);
      line.push_back(args.at(1));
    }
    out.push_back(make_sequence(std::move(line)));
  }
  return generator_of(std::move(out));
}

value map_filter(machine& m, const value& input, arguments given) {
  std::vector<value> out;
  if (given.positional.empty()) {
    const bound_arguments args("map", std::move(given), {"attribute", "default"});
    const attribute_path path = path_of(args.required(0));
    for (const value& item : counted_items(m, input)) {
      value found = follow(path, item);
      out.push_back(found.is_undefined() && args.has(1) ? args.at(1) : std::move(found));
    }
    return generator_of(std::move(out));
  }
  const value name = given.positional.front();
  if (name.as_text() == nullptr) {
    fail("map needs the name of a filter, or attribute=");
  }
  given.positional.erase(given.positional.begin());
  for (const value& item : counted_items(m, input)) {
    out.push_back(apply_filter(m, name.as_text()->bytes(), item, given));
  }
  return generator_of(std::move(out));
}

/// select and its kin: items, or an attribute of each, that pass a test, or that are true.
template <bool by_attribute, bool wanted> value select_filter(machine& m, const value& input, arguments given) {
  attribute_path path;
  if (by_attribute) {
    if (given.positional.empty()) {
      fail("selectattr and rejectattr need the name of an attribute");
    }
    path = path_of(given.positional.front());
    given.positional.erase(given.positional.begin());
  }
  value name;
  if (!given.positional.empty()) {
    name = given.positional.front();
    given.positional.erase(given.positional.begin());
    if (name.as_text() == nullptr) {
      fail(fmt::format("the name of a test is of type {}, not a text", type_name(name)));
    }
  }
  std::vector<value> out;
  for (const value& item : counted_items(m, input)) {
    const value judged = follow(path, item);
    const bool passes = name.is_undefined() ? is_true(judged) : apply_test(m, name.as_text()->bytes(), judged, given);
    if (passes == wanted) {
      out.push_back(item);
    }
  }
  return generator_of(std::move(out));
}

value tojson_filter(machine& m, const value& input, arguments given) {
  const bound_arguments args("tojson", std::move(given), {"ensure_ascii", "indent", "separators", "sort_keys"});
  json_style style;
  style.ascii_only = args.truth_or(0, false);
  style.sorted_keys = args.truth_or(3, false);
  if (args.has(1) && !args.at(1).is_none()) {
    const bool is_text = args.at(1).as_text() != nullptr;
    const int64_t width = is_text ? 0 : args.integer(1);
    m.expect_bytes(static_cast<double>(width));
    style.indent = is_text ? args.words(1) : text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '));
    style.between_items = text(",");
  }
  if (args.has(2) && !args.at(2).is_none()) {
    const std::vector<value> separators = items_of(args.at(2));
    if (separators.size() != 2 || separators[0].as_text() == nullptr || separators[1].as_text() == nullptr) {
      fail("tojson: separators must be two texts");
    }
    style.between_items = *separators[0].as_text();
    style.after_key = *separators[1].as_text();
  }
  return m.made(to_json(m, input, style));
}

struct filter_entry {
  std::string_view name;
  value (*run)(machine& m, const value& input, arguments given);
};

constexpr std::array all_filters{
    filter_entry{"abs", abs_filter},
    filter_entry{"batch", batch_filter},
    filter_entry{"capitalize", capitalize_filter},
    filter_entry{"center", center_filter},
    filter_entry{"count", length_filter},
    filter_entry{"d", default_filter},
    filter_entry{"default", default_filter},
    filter_entry{"dictsort", dictsort_filter},
    filter_entry{"e", escape_filter},
    filter_entry{"escape", escape_filter},
    filter_entry{"first", first_filter},
    filter_entry{"float", float_filter},
    filter_entry{"format", format_filter},
    filter_entry{"indent", indent_filter},
    filter_entry{"int", int_filter},
    filter_entry{"items", items_filter},
    filter_entry{"join", join_filter},
    filter_entry{"last", last_filter},
    filter_entry{"length", length_filter},
    filter_entry{"list", list_filter},
    filter_entry{"lower", lower_filter},
    filter_entry{"map", map_filter},
    filter_entry{"max", extreme_filter<true>},
    filter_entry{"min", extreme_filter<false>},
    filter_entry{"reject", select_filter<false, false>},
    filter_entry{"rejectattr", select_filter<true, false>},
    filter_entry{"replace", replace_filter},
    filter_entry{"reverse", reverse_filter},
    filter_entry{"round", round_filter},
    filter_entry{"safe", safe_filter},
    filter_entry{"select", select_filter<false, true>},
    filter_entry{"selectattr", select_filter<true, true>},
    filter_entry{"sort", sort_filter},
    filter_entry{"string", string_filter},
    filter_entry{"sum", sum_filter},
    filter_entry{"title", title_filter},
    filter_entry{"tojson", tojson_filter},
    filter_entry{"trim", trim_filter},
    filter_entry{"unique", unique_filter},
    filter_entry{"upper", upper_filter},
    filter_entry{"wordcount", word_count_filter},
};

// --- tests

template <int64_t rest> bool parity_test(machine& m, const value& of, const value&) {
  return equal(apply(m, operation::modulo, of, int64_t{2}), rest);
}

bool divisible_test(machine& m, const value& of, const value& by) {
  return equal(apply(m, operation::modulo, of, by), int64_t{0});
}

template <relation how> bool relation_test(machine& m, const value& of, const value& other) {
  return holds(m, how, of, other);
}

/// Python's "is": of what has no identity of its own here, the same type and value.
bool same_test(machine&, const value& of, const value& other) {
  if (of.as_sequence() != nullptr || of.as_mapping() != nullptr) {
    return of.as_sequence() == other.as_sequence() && of.as_mapping() == other.as_mapping();
  }
  return type_name(of) == type_name(other) && equal(of, other);
}

bool is_bool(const value& of, bool wanted) { return of.get<bool>() != nullptr && *of.get<bool>() == wanted; }

bool iterable_test(machine&, const value& of, const value&) {
  return of.as_sequence() != nullptr || of.as_mapping() != nullptr || of.as_text() != nullptr || of.is_undefined();
}

bool sequence_test(machine& m, const value& of, const value& other) {
  const sequence* items = of.as_sequence();
  return iterable_test(m, of, other) && (items == nullptr || items->what != sequence::kind::generator);
}

template <bool upper_wanted> bool case_test(machine& m, const value& of, const value&) {
  return is_true(m.invoke(attribute_of(to_text(m, of), upper_wanted ? "isupper" : "islower"), {}));
}

bool known_filter(std::string_view name) {
  return std::any_of(all_filters.begin(), all_filters.end(), [&](const filter_entry& f) { return f.name == name; });
}

struct test_entry {
  std::string_view name;
  int arguments;
  bool (*run)(machine& m, const value& of, const value& other);
};

constexpr std::array all_tests{
    test_entry{"!=", 1, relation_test<relation::unequal>},
    test_entry{"<", 1, relation_test<relation::less>},
    test_entry{"<=", 1, relation_test<relation::less_equal>},
    test_entry{"==", 1, relation_test<relation::equal>},
    test_entry{">", 1, relation_test<relation::greater>},
    test_entry{">=", 1, relation_test<relation::greater_equal>},
    test_entry{"boolean", 0, [](machine&, const value& of, const value&) { return of.get<bool>() != nullptr; }},
    test_entry{"callable", 0,
               [](machine&, const value& of, const value&) {
                 return of.as_object() != nullptr && of.as_object()->callable();
               }},
    test_entry{"defined", 0, [](machine&, const value& of, const value&) { return !of.is_undefined(); }},
    test_entry{"divisibleby", 1, divisible_test},
    test_entry{"eq", 1, relation_test<relation::equal>},
    test_entry{"equalto", 1, relation_test<relation::equal>},
    test_entry{
        "escaped", 0,
        [](machine&, const value& of, const value&) { return of.as_string() != nullptr && of.as_string()->markup; }},
    test_entry{"even", 0, parity_test<0>},
    test_entry{"false", 0, [](machine&, const value& of, const value&) { return is_bool(of, false); }},
    test_entry{"filter", 0,
               [](machine&, const value& of, const value&) {
                 return of.as_text() != nullptr && known_filter(of.as_text()->bytes());
               }},
    test_entry{"float", 0, [](machine&, const value& of, const value&) { return of.get<double>() != nullptr; }},
    test_entry{"ge", 1, relation_test<relation::greater_equal>},
    test_entry{"greaterthan", 1, relation_test<relation::greater>},
    test_entry{"gt", 1, relation_test<relation::greater>},
    test_entry{"in", 1, relation_test<relation::in>},
    test_entry{"integer", 0, [](machine&, const value& of, const value&) { return of.get<int64_t>() != nullptr; }},
    test_entry{"iterable", 0, iterable_test},
    test_entry{"le", 1, relation_test<relation::less_equal>},
    test_entry{"lessthan", 1, relation_test<relation::less>},
    test_entry{"lower", 0, case_test<false>},
    test_entry{"lt", 1, relation_test<relation::less>},
    test_entry{"mapping", 0, [](machine&, const value& of, const value&) { return of.as_mapping() != nullptr; }},
    test_entry{"ne", 1, relation_test<relation::unequal>},
    test_entry{"none", 0, [](machine&, const value& of, const value&) { return of.is_none(); }},
    test_entry{"number", 0, [](machine&, const value& of, const value&) { return of.as_number().has_value(); }},
    test_entry{"odd", 0, parity_test<1>},
    test_entry{"sameas", 1, same_test},
    test_entry{"sequence", 0, sequence_test},
    test_entry{"string", 0, [](machine&, const value& of, const value&) { return of.as_text() != nullptr; }},
    test_entry{"true", 0, [](machine&, const value& of, const value&) { return is_bool(of, true); }},
    test_entry{"undefined", 0, [](machine&, const value& of, const value&) { return of.is_undefined(); }},
    test_entry{"upper", 0, case_test<true>},
};

template <class Table> std::string names_of(const Table& table) {
  std::vector<std::string_view> names;
  for (const auto& entry : table) {
    names.push_back(entry.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

template <class Table> const typename Table::value_type* find_entry(const Table& table, std::string_view name) {
  const auto* found = std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : found;
}

}  // namespace

void require_filter(std::string_view name, int64_t line) {
  if (find_entry(all_filters, name) == nullptr) {
    fail_at(line, fmt::format("there is no filter \"{}\" (known: {})", name, names_of(all_filters)));
  }
}

void require_test(std::string_view name, int64_t line) {
  if (find_entry(all_tests, name) == nullptr) {
    fail_at(line, fmt::format("there is no test \"{}\" (known: {})", name, names_of(all_tests)));
  }
}

value apply_filter(machine& m, std::string_view name, const value& input, arguments given) {
  const filter_entry* found = find_entry(all_filters, name);
  if (found == nullptr) {
    fail(fmt::format("there is no filter \"{}\" (known: {})", name, names_of(all_filters)));
  }
  m.spend(1 + (input.as_text() != nullptr ? weight_of(input) / 16 : 0));
  return found->run(m, input, std::move(given));
}

bool apply_test(machine& m, std::string_view name, const value& input, arguments given) {
  const test_entry* found = find_entry(all_tests, name);
  if (found == nullptr) {
    fail(fmt::format("there is no test \"{}\" (known: {})", name, names_of(all_tests)));
  }
  m.spend(1);
  if (!given.named.empty() || static_cast<int>(given.positional.size()) != found->arguments) {
    fail(fmt::format("the test \"{}\" takes {} argument(s), {} are given", name, found->arguments,
                     given.positional.size() + given.named.size()));
  }
  return found->run(m, input, found->arguments > 0 ? given.positional.front() : value());
}

}  // namespace troupe::io::jinja
