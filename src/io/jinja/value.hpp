/// The values of a template: Python's, as far as templates see them.
#pragma once

#include "io/jinja/text.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace troupe::io::jinja {

class value;
class machine;
struct arguments;

/// What a name or attribute is that is not there: false, empty when printed; an error when it is used otherwise.
struct undefined {
  std::shared_ptr<const std::string> why;  ///< "'x' is undefined"
};

struct none {};

/// `markup`: made by the filter safe. Adding another text to it escapes that for HTML, as in Jinja2.
struct string_value {
  text words;
  bool markup = false;
};

/// A list, a tuple, or what map, select and their kin yield: a generator, which is true, has no length and can be
/// gone through once.
struct sequence {
  enum class kind { list, tuple, generator };
  kind what = kind::list;
  std::vector<value> items;
  int depth = 1;              ///< of containers in containers
  int64_t weight = 1;         ///< what comparing or copying it may cost: see weight_of
  mutable bool used = false;  ///< generator: gone through
};

/// A dictionary; keeps the order of its entries.
struct mapping {
  std::vector<std::pair<value, value>> entries;
  int depth = 1;
  int64_t weight = 1;

  const value* find(const value& key) const;
  const value* find(std::string_view key) const;
};

/// What else a template can hold: functions, macros, namespaces, loops.
class object {
public:
  virtual ~object() = default;
  object(const object&) = delete;
  object& operator=(const object&) = delete;

  /// Python's name of the type, for errors.
  virtual std::string_view type_name() const = 0;
  virtual std::optional<value> attribute(std::string_view) const;
  virtual bool callable() const { return false; }
  virtual value call(machine&, arguments);
  virtual int depth() const { return 1; }

protected:
  object() = default;
};

class value {
public:
  value() = default;
  value(undefined what) : what_(std::move(what)) {}
  value(none what) : what_(what) {}
  value(bool truth) : what_(truth) {}
  value(int64_t number) : what_(number) {}
  value(double number) : what_(number) {}
  value(text words, bool markup = false)
      : what_(std::make_shared<const string_value>(string_value{std::move(words), markup})) {}
  value(std::shared_ptr<const sequence> items) : what_(std::move(items)) {}
  value(std::shared_ptr<const mapping> entries) : what_(std::move(entries)) {}
  value(std::shared_ptr<object> thing) : what_(std::move(thing)) {}
  value(const char*) = delete;  // would be a bool

  template <class T> const T* get() const { return std::get_if<T>(&what_); }

  bool is_undefined() const { return get<undefined>() != nullptr; }
  bool is_none() const { return get<none>() != nullptr; }
  const string_value* as_string() const { return pointee<const string_value>(); }
  const text* as_text() const { return as_string() != nullptr ? &as_string()->words : nullptr; }
  const sequence* as_sequence() const { return pointee<const sequence>(); }
  const mapping* as_mapping() const { return pointee<const mapping>(); }
  object* as_object() const { return pointee<object>(); }

  /// An integer or a truth value, which is one.
  std::optional<int64_t> as_integer() const;
  /// A number of any kind.
  std::optional<double> as_number() const;

  /// Of containers in containers: 0 for what is none.
  int depth() const;

private:
  template <class T> T* pointee() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&what_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }

  std::variant<undefined, none, bool, int64_t, double, std::shared_ptr<const string_value>,
               std::shared_ptr<const sequence>, std::shared_ptr<const mapping>, std::shared_ptr<object>>
      what_;
};

/// Ends the evaluation; the template adds its name and line.
/// Errors  bad_argument.
[[noreturn]] void fail(const std::string& what);

value make_undefined(std::string why);
value make_text(std::string_view words);

/// Errors  bad_argument where containers would be nested more than 100 deep.
value make_sequence(std::vector<value> items, sequence::kind what = sequence::kind::list);
value make_mapping(std::vector<std::pair<value, value>> entries);

/// The number of values in a value, of texts each 64 bytes as one; at most 2^40.
int64_t weight_of(const value& of);

/// Texts and keys of `json` get `marks`.
/// Errors  bad_argument: a text that is not UTF-8, an integer beyond 64 bits.
value from_json(const nlohmann::ordered_json& json, uint8_t marks);

/// Errors  bad_argument: undefined, with the reason.
void require_defined(const value& of);

/// Errors  bad_argument: a list or a dictionary, or a tuple with one of them in it, cannot be a key.
void require_hashable(const value& key);

/// Python's names: "str", "int", "NoneType".
std::string_view type_name(const value& of);

bool is_true(const value& of);
bool equal(const value& a, const value& b);

/// Python's <.
/// Errors  bad_argument for what has no order.
bool less(const value& a, const value& b);

/// What a for loop goes through: items, keys, characters, nothing of an undefined value.
/// Errors  bad_argument.
std::vector<value> items_of(const value& of);

/// The entry of a value that an attribute or item names; undefined where it has none.
/// Errors  bad_argument: the value itself is undefined.
value attribute_of(const value& of, std::string_view name);
value item_of(const value& of, const value& key);

/// Python's s[a:b:c]; undefined parts are left out.
value slice_of(const value& of, const value& from, const value& to, const value& step);

}  // namespace troupe::io::jinja
