/// Where the tests' data are.
#pragma once

#include <filesystem>
#include <string>

namespace troupe {

/// The folder tests/data.
std::string test_data();

/// The folder that has src, jobs, docs and tests.
std::filesystem::path source_tree();

}  // namespace troupe
