#include "io/jinja/functions.hpp"

#include "base/error.hpp"
#include "io/jinja/print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

namespace troupe::io::jinja {
namespace {

value raise_exception(machine& m, arguments given) {
  const bound_arguments args("raise_exception", std::move(given), {"message"});
  fail(to_text(m, args.required(0)).bytes());
}

value strftime_now(machine& m, arguments given) {
  const bound_arguments args("strftime_now", std::move(given), {"format"});
  if (m.date().empty()) {
    fail("the template asks for today's date, and none is given: set template-date (in a job) or --date to YYYY-MM-DD");
  }
  return make_text(format_date(m.date(), args.words(0).bytes()));
}

value range(machine& m, arguments given) {
  const bound_arguments args("range", std::move(given), {"start", "stop", "step"});
  const int64_t start = args.has(1) ? args.integer(0) : 0;
  const int64_t stop = args.has(1) ? args.integer(1) : args.integer(0);
  const int64_t step = args.integer_or(2, 1);
  if (step == 0) {
    fail("range() arg 3 must not be zero");
  }
  constexpr size_t most = 100'000;  // that of Jinja2's sandbox
  std::vector<value> out;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    out.emplace_back(i);
    if (out.size() > most) {
      fail(fmt::format("a range has more than {} items", most));
    }
    if (__builtin_add_overflow(i, step, &i)) {
      break;
    }
  }
  m.spend(static_cast<int64_t>(out.size()));
  return make_sequence(std::move(out));
}

value dict(machine&, arguments given) { return make_mapping(gather_entries("dict", std::move(given))); }

class function final : public object {
public:
  using body = std::function<value(machine&, arguments)>;
  function(body run, int depth) : run_(std::move(run)), depth_(depth) {}
  std::string_view type_name() const override { return "function"; }
  bool callable() const override { return true; }
  int depth() const override { return depth_ + 1; }
  value call(machine& m, arguments given) override { return run_(m, std::move(given)); }

private:
  body run_;
  int depth_;
};

}  // namespace

value make_function(std::function<value(machine&, arguments)> run, int depth) {
  return std::static_pointer_cast<object>(std::make_shared<function>(std::move(run), depth));
}

std::optional<value> name_space::attribute(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.first == name; });
  return found == entries_.end() ? std::nullopt : std::optional(found->second);
}

void name_space::set(std::string_view name, value what) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.first == name; });
  if (found == entries_.end()) {
    entries_.emplace_back(name, std::move(what));
  } else {
    found->second = std::move(what);
  }
}

std::optional<value> find_function(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, value (*)(machine&, arguments)>, 4> all{
      {{"raise_exception", raise_exception}, {"strftime_now", strftime_now}, {"range", range}, {"dict", dict}}};
  for (const auto& [known, run] : all) {
    if (known == name) {
      return make_function(run);
    }
  }
  return std::nullopt;
}

std::string format_date(const std::string& date, const std::string& format) {
  std::tm when{};
  const bool shaped = date.size() == 10 && date[4] == '-' && date[7] == '-';
  const auto number = [&](size_t at, size_t length, int& out) {
    const char* end = date.data() + at + length;
    return std::from_chars(date.data() + at, end, out).ptr == end;
  };
  if (!shaped || !number(0, 4, when.tm_year) || !number(5, 2, when.tm_mon) || !number(8, 2, when.tm_mday)) {
    throw error(errc::bad_argument, "\"{}\" is not a date: write it YYYY-MM-DD", date);
  }
  when.tm_year -= 1900;
  when.tm_mon -= 1;
  const std::tm asked = when;
  const std::time_t seconds = ::timegm(&when);  // fills in the day of the week and of the year
  if (when.tm_mday != asked.tm_mday || when.tm_mon != asked.tm_mon || ::gmtime_r(&seconds, &when) == nullptr) {
    throw error(errc::bad_argument, "there is no day {}", date);
  }
  std::string out(4096, '\0');
  const std::string ended = format + '.';  // so that an empty result differs from one that does not fit
  const size_t length = std::strftime(out.data(), out.size(), ended.c_str(), &when);
  if (length == 0) {
    throw error(errc::bad_argument, "a date by the format \"{}\" has more than {} characters", format, out.size());
  }
  out.resize(length - 1);
  return out;
}

std::vector<std::pair<value, value>> gather_entries(std::string_view function, arguments given) {
  std::vector<std::pair<value, value>> entries;
  const auto put = [&](const value& key, const value& what) {
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return equal(e.first, key); });
    if (found == entries.end()) {
      entries.emplace_back(key, what);
    } else {
      found->second = what;
    }
  };
  for (const value& from : given.positional) {
    if (from.as_mapping() == nullptr) {
      fail(fmt::format("{}: an argument is of type {}, not a dictionary", function, type_name(from)));
    }
    for (const auto& [key, what] : from.as_mapping()->entries) {
      put(key, what);
    }
  }
  for (const auto& [name, what] : given.named) {
    put(make_text(name), what);
  }
  return entries;
}

}  // namespace troupe::io::jinja
