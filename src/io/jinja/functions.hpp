/// The functions that every template has: raise_exception, strftime_now, namespace, range, dict.
#pragma once

#include "io/jinja/machine.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::io::jinja {

/// `depth` is that of the containers that `run` holds.
value make_function(std::function<value(machine&, arguments)> run, int depth = 0);

/// What namespace(...) makes: its attributes can be set, from within loops too.
class name_space final : public object {
public:
  std::string_view type_name() const override { return "Namespace"; }
  std::optional<value> attribute(std::string_view name) const override;
  void set(std::string_view name, value what);
  void clear() { entries_.clear(); }

private:
  std::vector<std::pair<std::string, value>> entries_;
};

/// The function of that name. namespace is the evaluator's own: it keeps what it makes.
std::optional<value> find_function(std::string_view name);

/// `date` (YYYY-MM-DD) as strftime has it, at midnight.
/// Errors  bad_argument: not a date.
std::string format_date(const std::string& date, const std::string& format);

/// The entries of the mappings and names given, later ones first.
std::vector<std::pair<value, value>> gather_entries(std::string_view function, arguments given);

}  // namespace troupe::io::jinja
