// Renders templates by the line, for the comparison with Jinja2 (differential.py): from each JSON object
// {"template", "variables", "date"} on standard input one of {"text"} or {"error"}.
#include "base/error.hpp"
#include "io/jinja/template.hpp"
#include "io/jinja/value.hpp"

#include <nlohmann/json.hpp>

#include <iostream>
#include <string>

using namespace troupe;

static nlohmann::ordered_json rendered(const nlohmann::ordered_json& job) {
  try {
    const io::jinja::program source(job.at("template").get<std::string>(), "the template");
    std::vector<std::pair<std::string, io::jinja::value>> variables;
    for (const auto& [name, held] : job.at("variables").items()) {
      variables.emplace_back(name, io::jinja::from_json(held, io::jinja::from_data));
    }
    return {{"text", source.render(std::move(variables), job.at("date").get<std::string>()).bytes()}};
  } catch (const error& problem) {
    return {{"error", problem.what()}};
  }
}

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << rendered(nlohmann::ordered_json::parse(line)).dump() << '\n';
  }
  return 0;
}
