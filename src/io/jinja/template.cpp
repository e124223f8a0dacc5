#include "io/jinja/template.hpp"

#include "base/error.hpp"
#include "io/jinja/evaluator.hpp"
#include "io/jinja/parser.hpp"

namespace troupe::io::jinja {

program::program(std::string_view source, std::string where) : where_(std::move(where)) {
  try {
    body_ = std::make_shared<const block>(parse(source));
  } catch (const error& problem) {
    throw error(problem.code(), "{}, {}", where_, problem.what());
  }
}

text program::render(std::vector<std::pair<std::string, value>> variables, const std::string& date) const {
  evaluator run(std::move(variables), date);
  try {
    return run.run(*body_);
  } catch (const error& problem) {
    throw error(problem.code(), "{}, line {}: {}", where_, run.line(), problem.what());
  }
}

}  // namespace troupe::io::jinja
