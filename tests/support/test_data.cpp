#include "support/test_data.hpp"

namespace troupe {

std::string test_data() { return TROUPE_TEST_DATA; }

std::filesystem::path source_tree() { return std::filesystem::path(test_data()).parent_path().parent_path(); }

}  // namespace troupe
