#include "io/jinja/value.hpp"

#include "base/error.hpp"
#include "io/jinja/machine.hpp"
#include "io/jinja/methods.hpp"
#include "io/tokenizer/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace troupe::io::jinja {
namespace {

constexpr int depth_limit = 100;

int checked_depth(int inner) {
  if (inner >= depth_limit) {
    fail(fmt::format("values are nested more than {} deep", depth_limit));
  }
  return inner + 1;
}

int64_t added(int64_t weight, const value& more) {
  constexpr int64_t most = int64_t{1} << 40;
  return std::min(most, weight + weight_of(more));
}

bool equal_items(const std::vector<value>& a, const std::vector<value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
}

bool equal_entries(const mapping& a, const mapping& b) {
  return a.entries.size() == b.entries.size() &&
         std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
           const value* other = b.find(entry.first);
           return other != nullptr && equal(entry.second, *other);
         });
}

bool less_items(const std::vector<value>& a, const std::vector<value>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!equal(a[i], b[i])) {
      return less(a[i], b[i]);
    }
  }
  return a.size() < b.size();
}

value character_at(const string_value& from, int64_t index) {
  const std::vector<size_t> bounds = character_bounds(from.words.bytes());
  const auto count = static_cast<int64_t>(bounds.size()) - 1;
  const int64_t at = index < 0 ? index + count : index;
  if (at < 0 || at >= count) {
    return make_undefined(fmt::format("str object has no element {}", index));
  }
  const auto i = static_cast<size_t>(at);
  return {from.words.part(bounds[i], bounds[i + 1] - bounds[i]), from.markup};
}

/// The indices of a Python slice of `count` items.
std::vector<size_t> slice_indices(int64_t count, const value& from, const value& to, const value& by) {
  const auto bound = [](const value& v, int64_t otherwise) {
    if (v.is_undefined() || v.is_none()) {
      return otherwise;
    }
    const auto number = v.as_integer();
    if (!number) {
      fail(fmt::format("a slice has a bound of type {}, not an integer", type_name(v)));
    }
    return *number;
  };
  const int64_t step = bound(by, 1);
  if (step == 0) {
    fail("slice step cannot be zero");
  }
  const auto placed = [&](const value& v, int64_t otherwise) {
    const int64_t least = step > 0 ? 0 : -1;
    const int64_t most = step > 0 ? count : count - 1;
    int64_t at = bound(v, otherwise);
    if (v.is_undefined() || v.is_none()) {
      return at;
    }
    at = at < 0 ? std::max(at, -count - 1) + count : at;
    return std::clamp(at, std::min(least, most), std::max(least, most));
  };
  const int64_t begin = placed(from, step > 0 ? 0 : count - 1);
  const int64_t end = placed(to, step > 0 ? count : -1);
  std::vector<size_t> indices;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    indices.push_back(static_cast<size_t>(i));
    if (step > 0 ? step >= end - i : step <= end - i) {
      break;
    }
    i += step;
  }
  return indices;
}

value slice_text(const string_value& of, const value& from, const value& to, const value& step) {
  const std::vector<size_t> bounds = character_bounds(of.words.bytes());
  text result;
  for (const size_t i : slice_indices(static_cast<int64_t>(bounds.size()) - 1, from, to, step)) {
    result.append(of.words, bounds[i], bounds[i + 1] - bounds[i]);
  }
  return {std::move(result), of.markup};
}

}  // namespace

const value* mapping::find(const value& key) const {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return equal(entry.first, key); });
  return found == entries.end() ? nullptr : &found->second;
}

const value* mapping::find(std::string_view key) const {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
    const text* words = entry.first.as_text();
    return words != nullptr && words->bytes() == key;
  });
  return found == entries.end() ? nullptr : &found->second;
}

std::optional<value> object::attribute(std::string_view) const { return std::nullopt; }

value object::call(machine&, arguments) { fail(fmt::format("'{}' object is not callable", type_name())); }

std::optional<int64_t> value::as_integer() const {
  if (const auto* truth = get<bool>()) {
    return *truth ? 1 : 0;
  }
  const auto* number = get<int64_t>();
  return number != nullptr ? std::optional(*number) : std::nullopt;
}

std::optional<double> value::as_number() const {
  if (const auto* number = get<double>()) {
    return *number;
  }
  const auto whole = as_integer();
  return whole ? std::optional(static_cast<double>(*whole)) : std::nullopt;
}

int value::depth() const {
  if (const sequence* items = as_sequence()) {
    return items->depth;
  }
  if (const mapping* entries = as_mapping()) {
    return entries->depth;
  }
  const object* thing = as_object();
  return thing != nullptr ? thing->depth() : 0;
}

void fail(const std::string& what) { throw error(errc::bad_argument, what); }

value make_undefined(std::string why) { return undefined{std::make_shared<const std::string>(std::move(why))}; }

value make_text(std::string_view words) { return text(words); }

value make_sequence(std::vector<value> items, sequence::kind what) {
  auto made = std::make_shared<sequence>();
  int depth = 0;
  for (const value& item : items) {
    depth = std::max(depth, item.depth());
    made->weight = added(made->weight, item);
  }
  made->what = what;
  made->items = std::move(items);
  made->depth = checked_depth(depth);
  return std::shared_ptr<const sequence>(std::move(made));
}

value make_mapping(std::vector<std::pair<value, value>> entries) {
  auto made = std::make_shared<mapping>();
  int depth = 0;
  for (const auto& entry : entries) {
    depth = std::max({depth, entry.first.depth(), entry.second.depth()});
    made->weight = added(added(made->weight, entry.first), entry.second);
  }
  made->entries = std::move(entries);
  made->depth = checked_depth(depth);
  return std::shared_ptr<const mapping>(std::move(made));
}

int64_t weight_of(const value& of) {
  if (const text* words = of.as_text()) {
    return 1 + static_cast<int64_t>(words->size() / 64);
  }
  if (const sequence* items = of.as_sequence()) {
    return items->weight;
  }
  const mapping* entries = of.as_mapping();
  return entries != nullptr ? entries->weight : 1;
}

value from_json(const nlohmann::ordered_json& json, uint8_t marks) {
  switch (json.type()) {
  case nlohmann::ordered_json::value_t::boolean:
    return json.get<bool>();
  case nlohmann::ordered_json::value_t::number_integer:
    return json.get<int64_t>();
  case nlohmann::ordered_json::value_t::number_unsigned:
    if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail(fmt::format("the number {} is too large", json.get<uint64_t>()));
    }
    return json.get<int64_t>();
  case nlohmann::ordered_json::value_t::number_float:
    return json.get<double>();
  case nlohmann::ordered_json::value_t::string:
    require_utf8_text(json.get_ref<const std::string&>());
    return text(json.get_ref<const std::string&>(), marks);
  case nlohmann::ordered_json::value_t::array: {
    std::vector<value> items;
    for (const auto& item : json) {
      items.push_back(from_json(item, marks));
    }
    return make_sequence(std::move(items));
  }
  case nlohmann::ordered_json::value_t::object: {
    std::vector<std::pair<value, value>> entries;
    for (const auto& [key, item] : json.items()) {
      entries.emplace_back(text(key, marks), from_json(item, marks));
    }
    return make_mapping(std::move(entries));
  }
  default:
    return none{};
  }
}

void require_defined(const value& of) {
  if (const auto* missing = of.get<undefined>()) {
    fail(missing->why ? *missing->why : "a value is undefined");
  }
}

void require_hashable(const value& key) {
  const sequence* items = key.as_sequence();
  if (key.as_mapping() != nullptr || (items != nullptr && items->what == sequence::kind::list)) {
    fail(fmt::format("unhashable type: '{}'", type_name(key)));
  }
  if (items != nullptr && items->what == sequence::kind::tuple) {
    std::for_each(items->items.begin(), items->items.end(), require_hashable);
  }
}

std::string_view type_name(const value& of) {
  if (of.is_undefined()) {
    return "Undefined";
  }
  if (of.get<bool>() != nullptr) {
    return "bool";
  }
  if (of.get<int64_t>() != nullptr) {
    return "int";
  }
  if (of.get<double>() != nullptr) {
    return "float";
  }
  if (const string_value* words = of.as_string()) {
    return words->markup ? "Markup" : "str";
  }
  if (const sequence* items = of.as_sequence()) {
    return items->what == sequence::kind::list ? "list" : items->what == sequence::kind::tuple ? "tuple" : "generator";
  }
  if (of.as_mapping() != nullptr) {
    return "dict";
  }
  return of.is_none() ? "NoneType" : of.as_object()->type_name();
}

bool is_true(const value& of) {
  if (const auto number = of.as_number()) {
    return *number != 0;
  }
  if (const text* words = of.as_text()) {
    return !words->empty();
  }
  if (const sequence* items = of.as_sequence()) {
    return items->what == sequence::kind::generator || !items->items.empty();
  }
  if (const mapping* entries = of.as_mapping()) {
    return !entries->entries.empty();
  }
  return of.as_object() != nullptr;
}

bool equal(const value& a, const value& b) {
  const auto whole_a = a.as_integer();
  const auto whole_b = b.as_integer();
  if (whole_a && whole_b) {
    return *whole_a == *whole_b;
  }
  const auto number_a = a.as_number();
  const auto number_b = b.as_number();
  if (number_a || number_b) {
    return number_a && number_b && *number_a == *number_b;
  }
  if (a.as_text() != nullptr && b.as_text() != nullptr) {
    return *a.as_text() == *b.as_text();
  }
  if (a.as_sequence() != nullptr && b.as_sequence() != nullptr) {
    const sequence& x = *a.as_sequence();
    const sequence& y = *b.as_sequence();
    return &x == &y || (x.what == y.what && x.what != sequence::kind::generator && equal_items(x.items, y.items));
  }
  if (a.as_mapping() != nullptr && b.as_mapping() != nullptr) {
    return equal_entries(*a.as_mapping(), *b.as_mapping());
  }
  if (a.as_object() != nullptr) {
    return a.as_object() == b.as_object();
  }
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const value& a, const value& b) {
  const auto whole_a = a.as_integer();
  const auto whole_b = b.as_integer();
  if (whole_a && whole_b) {
    return *whole_a < *whole_b;
  }
  if (a.as_number() && b.as_number()) {
    return *a.as_number() < *b.as_number();
  }
  if (a.as_text() != nullptr && b.as_text() != nullptr) {
    return a.as_text()->bytes() < b.as_text()->bytes();  // the order of UTF-8 is that of its code points
  }
  if (a.as_sequence() != nullptr && b.as_sequence() != nullptr && a.as_sequence()->what == b.as_sequence()->what) {
    return less_items(a.as_sequence()->items, b.as_sequence()->items);
  }
  require_defined(a);
  require_defined(b);
  fail(fmt::format("'<' not supported between instances of '{}' and '{}'", type_name(a), type_name(b)));
}

std::vector<value> items_of(const value& of) {
  if (const sequence* items = of.as_sequence()) {
    if (items->what == sequence::kind::generator && std::exchange(items->used, true)) {
      return {};
    }
    return items->items;
  }
  std::vector<value> result;
  if (const mapping* entries = of.as_mapping()) {
    for (const auto& entry : entries->entries) {
      result.push_back(entry.first);
    }
    return result;
  }
  if (const string_value* words = of.as_string()) {
    const std::vector<size_t> bounds = character_bounds(words->words.bytes());
    for (size_t i = 0; i + 1 < bounds.size(); ++i) {
      result.emplace_back(words->words.part(bounds[i], bounds[i + 1] - bounds[i]), words->markup);
    }
    return result;
  }
  if (of.is_undefined()) {
    return result;
  }
  fail(fmt::format("'{}' object is not iterable", type_name(of)));
}

value attribute_of(const value& of, std::string_view name) {
  require_defined(of);
  if (auto method = find_method(of, name)) {
    return std::move(*method);
  }
  if (const mapping* entries = of.as_mapping()) {
    if (const value* found = entries->find(name)) {
      return *found;
    }
  }
  if (const object* thing = of.as_object()) {
    if (auto found = thing->attribute(name)) {
      return std::move(*found);
    }
  }
  return make_undefined(fmt::format("'{} object' has no attribute '{}'", type_name(of), name));
}

value item_of(const value& of, const value& key) {
  require_defined(of);
  if (const mapping* entries = of.as_mapping()) {
    if (const value* found = entries->find(key)) {
      return *found;
    }
  }
  if (const text* name = key.as_text()) {
    return attribute_of(of, name->bytes());
  }
  const auto index = key.as_integer();
  if (!index) {
    return make_undefined(fmt::format("{} object has no such element", type_name(of)));
  }
  if (const string_value* words = of.as_string()) {
    return character_at(*words, *index);
  }
  const sequence* items = of.as_sequence();
  if (items != nullptr && items->what != sequence::kind::generator) {
    const auto count = static_cast<int64_t>(items->items.size());
    const int64_t at = *index < 0 ? *index + count : *index;
    if (at >= 0 && at < count) {
      return items->items[static_cast<size_t>(at)];
    }
  }
  return make_undefined(fmt::format("{} object has no element {}", type_name(of), *index));
}

value slice_of(const value& of, const value& from, const value& to, const value& step) {
  require_defined(of);
  if (const string_value* words = of.as_string()) {
    return slice_text(*words, from, to, step);
  }
  const sequence* items = of.as_sequence();
  if (items == nullptr || items->what == sequence::kind::generator) {
    fail(fmt::format("'{}' object is not subscriptable", type_name(of)));
  }
  std::vector<value> part;
  for (const size_t i : slice_indices(static_cast<int64_t>(items->items.size()), from, to, step)) {
    part.push_back(items->items[i]);
  }
  return make_sequence(std::move(part), items->what);
}

}  // namespace troupe::io::jinja
