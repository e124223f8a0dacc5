/// Where the tests' data are.
#pragma once

#include <string>

namespace troupe {

/// The folder tests/data.
std::string test_data();

}  // namespace troupe
