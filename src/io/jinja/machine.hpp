/// What the parts of an evaluation share: its limits, and calls.
#pragma once

#include "io/jinja/value.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::io::jinja {

/// What is given to a function, a macro, a filter or a test.
struct arguments {
  std::vector<value> positional;
  std::vector<std::pair<std::string, value>> named;
};

class machine {
public:
  static constexpr int64_t step_limit = 1'000'000;
  static constexpr size_t text_limit = size_t{16} << 20;

  /// Counts towards the limit of steps, so that no template runs for ever.
  /// Errors  bad_argument beyond it.
  void spend(int64_t steps);

  /// A text that was made: within the limit of size, and its bytes cost steps.
  /// Errors  bad_argument.
  value made(text words, bool markup = false);

  /// Before a text of so many bytes is made.
  /// Errors  bad_argument.
  void expect_bytes(double bytes) const;

  /// Errors  bad_argument: not callable, or what the call reports.
  value invoke(const value& callee, arguments given);

  /// Of the job, YYYY-MM-DD; empty: none is given.
  const std::string& date() const { return date_; }

protected:
  explicit machine(std::string date) : date_(std::move(date)) {}
  ~machine() = default;

private:
  std::string date_;
  int64_t steps_ = 0;
};

/// Arguments in the order of a function's parameters.
class bound_arguments {
public:
  /// Errors  bad_argument: too many of them, an unknown name, one given twice.
  bound_arguments(std::string_view function, arguments given, std::initializer_list<std::string_view> parameters);

  /// Whether the parameter was given.
  bool has(size_t i) const { return given_[i]; }
  /// Undefined where it was not.
  const value& at(size_t i) const { return values_[i]; }

  /// Errors  bad_argument: not given, or of another type.
  const value& required(size_t i) const;
  const text& words(size_t i) const;
  int64_t integer(size_t i) const;

  text words_or(size_t i, std::string_view otherwise) const;
  int64_t integer_or(size_t i, int64_t otherwise) const { return has(i) ? integer(i) : otherwise; }
  bool truth_or(size_t i, bool otherwise) const { return has(i) ? is_true(at(i)) : otherwise; }

private:
  std::string function_;
  std::vector<std::string_view> parameters_;
  std::vector<value> values_;
  std::vector<bool> given_;
};

}  // namespace troupe::io::jinja
