#include "io/jinja/machine.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::io::jinja {

void machine::spend(int64_t steps) {
  steps_ += steps;
  if (steps_ > step_limit) {
    fail(fmt::format("the template takes more than {} steps", step_limit));
  }
}

void machine::expect_bytes(double bytes) const {
  if (bytes > static_cast<double>(text_limit)) {
    fail(fmt::format("a text would have more than {} bytes", text_limit));
  }
}

value machine::made(text words, bool markup) {
  expect_bytes(static_cast<double>(words.size()));
  constexpr int64_t bytes_a_step = 256;
  spend(static_cast<int64_t>(words.size()) / bytes_a_step);
  return {std::move(words), markup};
}

value machine::invoke(const value& callee, arguments given) {
  if (const auto* missing = callee.get<undefined>()) {
    fail(missing->why ? *missing->why : "what is called is undefined");
  }
  object* thing = callee.as_object();
  if (thing == nullptr) {
    fail(fmt::format("'{}' object is not callable", type_name(callee)));
  }
  return thing->call(*this, std::move(given));
}

bound_arguments::bound_arguments(std::string_view function, arguments given,
                                 std::initializer_list<std::string_view> parameters)
    : function_(function), parameters_(parameters), values_(parameters.size()), given_(parameters.size(), false) {
  if (given.positional.size() > parameters_.size()) {
    fail(fmt::format("{} takes at most {} argument(s), {} are given", function_, parameters_.size(),
                     given.positional.size()));
  }
  for (size_t i = 0; i < given.positional.size(); ++i) {
    values_[i] = std::move(given.positional[i]);
    given_[i] = true;
  }
  for (auto& [name, argument] : given.named) {
    const auto at = static_cast<size_t>(std::find(parameters_.begin(), parameters_.end(), name) - parameters_.begin());
    if (at == parameters_.size() || given_[at]) {
      fail(fmt::format("{} {} an argument \"{}\"", function_, at == parameters_.size() ? "has not" : "was given twice",
                       name));
    }
    values_[at] = std::move(argument);
    given_[at] = true;
  }
}

const value& bound_arguments::required(size_t i) const {
  if (!given_[i]) {
    fail(fmt::format("{} needs the argument \"{}\"", function_, parameters_[i]));
  }
  return values_[i];
}

const text& bound_arguments::words(size_t i) const {
  const text* words = required(i).as_text();
  if (words == nullptr) {
    fail(fmt::format("{}: \"{}\" is of type {}, not a text", function_, parameters_[i], type_name(values_[i])));
  }
  return *words;
}

int64_t bound_arguments::integer(size_t i) const {
  const auto number = required(i).as_integer();
  if (!number) {
    fail(fmt::format("{}: \"{}\" is of type {}, not an integer", function_, parameters_[i], type_name(values_[i])));
  }
  return *number;
}

text bound_arguments::words_or(size_t i, std::string_view otherwise) const {
  return has(i) && !at(i).is_none() ? words(i) : text(otherwise);
}

}  // namespace troupe::io::jinja
