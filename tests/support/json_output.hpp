/// What a program says to other programs.
#pragma once

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sstream>
#include <string>

namespace troupe::test {

/// The last line of the output that is a JSON object: words for people may stand around it. A failure of the test where
/// there is none.
inline nlohmann::json json_output(const std::string& output) {
  nlohmann::json found;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('{')) {
      found = nlohmann::json::parse(line, nullptr, false);
    }
  }
  EXPECT_TRUE(found.is_object()) << output;
  return found;
}

}  // namespace troupe::test
