/// Where the tests' data are.
#pragma once

#include <string>

namespace troupe::test {

/// The folder tests/data.
std::string test_data();

}  // namespace troupe::test
