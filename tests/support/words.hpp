/// Command lines, in words.
#pragma once

#include "support/test_data.hpp"

#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace troupe::test {

using words = std::vector<std::string>;

inline words operator+(words a, const words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Of a text, which blanks and ends of lines part.
inline words words_of(const std::string& text) {
  std::istringstream all(text);
  return {std::istream_iterator<std::string>(all), {}};
}

/// `troupe run` of tests/data/jobs/JOB.ini in a folder.
inline words run_of_job(const std::string& job, const std::filesystem::path& run) {
  return {"run", test_data() + "/jobs/" + job + ".ini", "--run.dir", run.string()};
}

}  // namespace troupe::test
